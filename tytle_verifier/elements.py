"""Step 8: the field elements of a query's values, computed anew (VERIFICATION.md, "Field elements").

An element is an unsigned number below the order of BN254's scalar field, written as 32 bytes, big-endian.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Final, TypeVar

from tytle_verifier.errors import StatementError
from tytle_verifier.schemas import Field, Schema
from tytle_verifier.statement import Value

ORDER: Final = 0x30644E72E131A029B85045B68181585D2833E84879B9709143E1F593F0000001  # EIP-197
ELEMENT_BYTES: Final = 32
MAX_SHORT_BYTES: Final = 31
MAX_EXACT: Final = 2**53 - 1  # larger integers are stated as decimal digits, which no JSON reader rounds
_DIGITS = re.compile(r"0|[1-9][0-9]{0,76}")  # ORDER has 77
_Wanted = TypeVar("_Wanted", str, int, bool)


def encode(schema: Schema, values: Mapping[str, Value], time_ms: int) -> bytes:
    """Return the elements of `values` at the statement's time. Raises: StatementError."""
    if values.keys() != {field.name for field in schema.fields}:
        raise StatementError("result.values", got=", ".join(sorted(values)), expected=f"the fields of {schema.id}")
    numbers = _versioned(schema, values, time_ms) if schema.versioned else _record(schema, values)
    return b"".join(number.to_bytes(ELEMENT_BYTES, "big") for number in numbers)


def texts(schema: Schema, values: Mapping[str, Value]) -> dict[str, str]:
    """Return, by field, the text behind each element that is a digest; an empty one for null."""
    return {field.name: text(values[field.name]) for field in schema.fields if field.encoding == "sha256"}


def text(value: Value) -> str:
    """Return a value as the predecessor wrote it: null as nothing, true and false as words, integers as digits."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _versioned(schema: Schema, values: Mapping[str, Value], time_ms: int) -> Iterator[int]:
    yield _digest(schema.definition)
    yield time_ms
    for field in schema.fields:
        value = values[field.name]
        if field.optional:
            yield 0 if value is None else 1
        yield 0 if field.optional and value is None else _EXACT[field.encoding](field, value)


def _record(schema: Schema, values: Mapping[str, Value]) -> Iterator[int]:
    """Yield as the predecessor did: null and empty are zero, whatever the field; numbers and booleans may be texts."""
    for field in schema.fields:
        value = values[field.name]
        if value is None or value == "":
            yield 0
        elif field.encoding == "uint":
            yield _below_order(field, _whole(field, value))
        else:
            yield _EXACT[field.encoding](field, text(value))


def _short(field: Field, value: Value) -> int:
    data = _of(field, value, str).encode()
    if len(data) > MAX_SHORT_BYTES or 0 in data:
        raise _unfit(field, f"{len(data)} bytes", "at most 31 bytes, none of them zero")
    return int.from_bytes(data, "big")


def _hashed(field: Field, value: Value) -> int:
    return _digest(_of(field, value, str))


def _boolean(field: Field, value: Value) -> int:
    return int(_of(field, value, bool))


def _uint(field: Field, value: Value) -> int:
    number = _whole(field, value) if isinstance(value, str) else _of(field, value, int)
    if isinstance(value, str) is not (number > MAX_EXACT):
        raise _unfit(field, type(value).__name__, "decimal digits beyond 2^53 - 1, a number up to there")
    return _below_order(field, number)


_EXACT: Final[Mapping[str, Callable[[Field, Value], int]]] = MappingProxyType(
    {"shortString": _short, "sha256": _hashed, "uint": _uint, "boolean": _boolean}
)


def _whole(field: Field, value: str | int) -> int:
    if isinstance(value, str) and not _DIGITS.fullmatch(value):
        raise _unfit(field, value, "decimal digits")
    return int(value)


def _below_order(field: Field, number: int) -> int:
    if not 0 <= number < ORDER:
        raise _unfit(field, number, "a number below the field's order")
    return number


def _of(field: Field, value: object, kind: type[_Wanted]) -> _Wanted:
    if type(value) is not kind:
        raise _unfit(field, type(value).__name__, kind.__name__)
    return value


def _digest(data: str) -> int:
    return int.from_bytes(hashlib.sha256(data.encode()).digest(), "big") % ORDER


def _unfit(field: Field, got: object, expected: object) -> StatementError:
    return StatementError(f"result.values.{field.name}", got=got, expected=expected)
