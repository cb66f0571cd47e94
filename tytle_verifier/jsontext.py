"""JSON and base64 as this room takes them: one value, no key twice, no NaN, canonical padded base64 (RFC 4648).

The JSON around the evidence is unsigned; what two parsers could read in two ways is refused. So is, unread, what would
fill the memory: 16 MiB of `[],` are some 400 MiB as Python's lists.
"""

from __future__ import annotations

import base64
import json
import re
from typing import Final, NoReturn

from tytle_verifier.errors import InputError

MAX_PARTS: Final = 10_000  # ours, and the parent's for a request: a reply with 200 headers has fewer than 1,000
_OPENERS = b'"[{,'
_PART = re.compile(rb'"[^"]*"?|[\[{,]')


def decode(data: bytes, what: str) -> object:
    """Return the JSON value in `data`, which is UTF-8 without BOM. Raises: InputError, whatever the bytes."""
    try:
        check_parts(data, MAX_PARTS)
        value: object = json.loads(data.decode(), object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        problem = str(error)
    else:
        return value
    raise InputError(f"{what} is not JSON", got=problem)  # not from `error`, which holds all of `data`


def check_parts(data: bytes, most: int) -> None:
    """Return if JSON has at most `most` parts: strings, names included, and `[`, `{` and `,` outside of them.

    What is no JSON may pass or not. Raises: ValueError.
    """
    if sum(data.count(opener) for opener in _OPENERS) <= most:
        return  # inside strings or not
    plain = data.replace(b"\\\\", b"").replace(b'\\"', b"")  # now every quotation mark begins or ends a string
    if any(count > most for count, _ in enumerate(_PART.finditer(plain), start=1)):
        raise ValueError(f"more than {most} strings, lists, objects and commas")


def from_base64(text: str, where: str) -> bytes:
    """Return the bytes that `text` spells in the one canonical way. Raises: InputError."""
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise InputError(f"{where} is not base64", got=text) from error
    if base64.b64encode(data).decode() != text:
        raise InputError(f"{where} is not canonical base64", got=text)
    return data


def utf8(text: str, where: str) -> bytes:
    """Return `text` as UTF-8. Raises: InputError for a lone surrogate, which JSON can spell and UTF-8 cannot."""
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{where} holds a lone surrogate") from error


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key appears twice in one object")
    return made


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
