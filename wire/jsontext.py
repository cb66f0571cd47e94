"""Strict JSON at an edge: one object, no duplicate keys, no NaN, bounded nesting and size, well-formed Unicode.

`json` alone keeps the last of two equal keys, accepts NaN and lets lone surrogates through; RFC 8259 warns of all
three. Two programs that disagree on what a text says are an attack surface.

It also builds whatever there is: `{"":0},` takes 7 bytes on the wire and some 250 in memory. So the parts of a text
(its strings, names included, and each `[`, `{` and `,` outside of them) are counted before anything is built of it.
"""

import binascii
import json
import re
from typing import Any, NoReturn

from wire.errors import MessageError

MAX_PARTS = 10_000  # ours: a call with all fields and 64 headers has fewer than 250. So many take some 2 MiB as objects
_BEGINS_PART = b'"[{,'
# An unclosed string is one match, up to the end, and not one for each quotation mark that a backslash hides in it.
_PART = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[\[{,]', re.DOTALL)


def parse_object(data: bytes, *, most: int = MAX_PARTS) -> dict[str, Any]:
    """Return the one JSON object that `data` holds, which has at most so many parts.

    Raises:
        MessageError: anything else. The text is not echoed: it may hold secrets.
    """
    check_parts(data, most)
    try:
        value = _DECODER.decode(data.decode("utf-8"))
    except UnicodeDecodeError as exc:
        problem = f"the JSON is not UTF-8 (byte {exc.start})"
    except json.JSONDecodeError as exc:
        problem = f"invalid JSON at character {exc.pos}: {exc.msg}"
    except RecursionError:
        problem = "the JSON is nested too deeply"
    except ValueError:  # an integer of more digits than Python converts
        problem = "invalid JSON: a number is too long"
    else:
        if isinstance(value, dict):
            return value
        problem = "the JSON must be an object"
    raise MessageError("", problem)  # not from the decoders' errors, which hold all of `data`


def check_parts(data: bytes, most: int = MAX_PARTS) -> None:
    """Return if JSON has at most so many parts. Takes time linear in its length, however its strings are written.

    Raises:
        MessageError: it has more.
    """
    if len(data) <= most or len(data) - len(data.translate(None, _BEGINS_PART)) <= most:
        return  # wherever they are: a part has one of these bytes at least
    if any(count > most for count, _ in enumerate(_PART.finditer(data), start=1)):
        raise MessageError("", f"the JSON has more than {most} strings, lists, objects and commas")


def dump(value: object) -> bytes:
    """Return compact JSON in UTF-8. The strings must be well-formed; `parse_object` and `text` see to that."""
    return _ENCODER.encode(value).encode()


def base64_member(name: str, data: bytes) -> bytes:
    """Return `"name":"..."`, a member of an object with `data` in base64, which nothing needs to escape."""
    return b'"%b":"%b"' % (name.encode(), binascii.b2a_base64(data, newline=False))


def with_members(value: dict[str, Any], *members: bytes) -> bytes:
    """Return `dump(value)`, an object that is not empty, with members that are JSON already behind its own."""
    return b",".join((dump(value)[:-1], *members)) + b"}"


def text(field: str, value: object) -> str:
    """Return `value` when it is a string of well-formed Unicode.

    Raises:
        MessageError: it is of another type, or holds half a surrogate pair.
    """
    if not isinstance(value, str):
        raise MessageError(field, f"must be a string, not {kind(value)}")
    if not _is_well_formed(value):
        raise MessageError(field, "holds half a surrogate pair")
    return value


def kind(value: object) -> str:
    """Return the JSON name of a value's type, for messages that must not echo the value."""
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def _is_well_formed(value: str) -> bool:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:  # it holds `value`: nothing is raised from it
        return False
    return True


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise MessageError("", "an object holds the same key twice")
    return found


def _refuse_constant(_name: str) -> NoReturn:
    raise MessageError("", "NaN and Infinity are not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse_constant)
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
