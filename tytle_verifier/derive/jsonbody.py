"""JSON of an upstream, by the rules of DERIVATIONS.md: RFC 8259, one meaning, bounded; nothing else is a value.

Integers stay exact, and whatever has a fraction or an exponent stays the text it was: no float is made of anything.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NoReturn

from tytle_verifier import jsontext
from tytle_verifier.derive.trace import malformed

MAX_PARTS: Final = 400_000
MAX_LEVELS: Final = 32
MAX_INTEGER_DIGITS: Final = 4300
_BLANKS = " \t\r\n"
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Decimal:
    """A number with a fraction or an exponent, as it was written."""

    text: str


def read_object(body: bytes) -> dict[str, object]:
    """Return the one object in `body`. Raises: Unanswered, whatever the bytes."""
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise malformed("not UTF-8") from error
    text = text.strip(_BLANKS)
    if not text.startswith("{"):
        raise malformed("not a JSON object")
    try:
        jsontext.check_parts(body, MAX_PARTS)
        value: object = json.loads(
            text, object_pairs_hook=_unique, parse_int=_integer, parse_float=_decimal, parse_constant=_no_constant
        )
    except (ValueError, RecursionError) as error:
        raise malformed("not JSON") from error
    if not isinstance(value, dict) or _levels(value) > MAX_LEVELS:
        raise malformed("not an object of at most 32 levels")
    return value


def text_of(members: dict[str, object], name: str) -> str:
    """Return a member that must be a string. Raises: Unanswered."""
    value = members.get(name)
    if not isinstance(value, str) or _SURROGATE.search(value):
        raise malformed(f"{name} is no string")
    return value


def text_or_none(members: dict[str, object], name: str) -> str | None:
    """Return a member that must be a string, null or missing. Raises: Unanswered."""
    return None if members.get(name) is None else text_of(members, name)


def object_of(members: dict[str, object], name: str) -> dict[str, object]:
    """Return a member that must be an object. Raises: Unanswered."""
    value = members.get(name)
    if not isinstance(value, dict):
        raise malformed(f"{name} is no object")
    return value


def _levels(value: object) -> int:
    """Return how deep `value` is nested, without recursion; 33 or more stop the count."""
    level, row = 0, _nested([value])
    while row and level <= MAX_LEVELS:
        level += 1
        row = _nested(inner for outer in row for inner in (outer.values() if isinstance(outer, dict) else outer))
    return level


def _nested(values: Iterable[object]) -> list[dict[str, object] | list[object]]:
    return [value for value in values if isinstance(value, dict | list)]


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key appears twice in one object")
    return made


def _integer(text: str) -> int:
    if len(text.removeprefix("-")) > MAX_INTEGER_DIGITS:
        raise ValueError("an integer of more than 4300 digits")
    return int(text)


def _decimal(text: str) -> Decimal:
    return Decimal(text=text)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
