"""Strict CBOR: a bounded scan of the structure, then cbor2 for the values.

cbor2 ignores trailing bytes, keeps the last of two equal keys, and maps 0, 0.0, false and bignum 0 to one Python key;
it also obeys tags. So the scan walks the bytes first and proves that they lie in the small language in which none
of that can happen; only then cbor2 decodes them. The language (RFC 8949):

- exactly one data item, nothing after it; every length and count in its shortest form, none larger than the bytes left;
- no tags, no undefined, no simple values but false, true, null; strings never chunked; text is UTF-8;
- map keys are integers or text; no two keys of one map are equal (equal keys have equal bytes here);
- nesting at most 16 deep.

`DETERMINISTIC` adds RFC 8949 section 4.2.1: keys in ascending bytewise order, definite lengths, shortest floats.
`PAYLOAD` allows arrays and maps of indefinite length, as AWS's NSM emits since 2025, and refuses floats.
`ENVELOPE` is for bytes that no signature covers: definite lengths only, so that there is one spelling.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Final

import cbor2

from tytle_verifier.errors import VerificationError

MAX_NESTING = 16  # ours; a real document nests 2 deep, a statement 6
_BREAK: Final = 0xFF
_UINT, _NINT, _BYTES, _TEXT, _ARRAY, _MAP, _TAG = range(7)
_NAMED_SIMPLE: Final = frozenset({0xF4, 0xF5, 0xF6})  # false, true, null
_FLOATS: Final = {0xF9: (2, ">e"), 0xFA: (4, ">f"), 0xFB: (8, ">d")}


class MalformedCbor(VerificationError):
    """The bytes are outside the strict language. Callers turn it into the error of their step."""

    step = 1
    advice = "The bytes are damaged or were re-encoded on the way."


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """Which freedoms beyond the common language are allowed."""

    indefinite_containers: bool = False
    sorted_keys: bool = False
    floats: bool = False


ENVELOPE: Final = Dialect()
PAYLOAD: Final = Dialect(indefinite_containers=True)
DETERMINISTIC: Final = Dialect(sorted_keys=True, floats=True)


def decode(data: bytes, dialect: Dialect) -> object:
    """Return the one data item in `data` as int, bytes, str, list, dict, bool, None or float.

    The caller bounds `len(data)`. Raises: MalformedCbor, whatever the bytes.
    """
    end = _Scan(data, dialect).item(0, 0)
    if end != len(data):
        raise MalformedCbor("bytes after the CBOR item", got=f"{len(data) - end} more", expected="none")
    try:
        value: object = cbor2.loads(data)
    except (cbor2.CBORError, ValueError) as error:
        raise MalformedCbor(f"CBOR: {error}") from error
    return value


class _Scan:
    """One walk over `data`; every method takes an offset and returns the offset behind what it read."""

    __slots__ = ("_data", "_dialect")

    def __init__(self, data: bytes, dialect: Dialect) -> None:
        self._data = data
        self._dialect = dialect

    def item(self, at: int, depth: int) -> int:
        """Walk the item at `at`, which is nested `depth` deep."""
        if depth > MAX_NESTING:
            raise MalformedCbor("CBOR nesting", got=f"more than {MAX_NESTING}", expected=f"at most {MAX_NESTING}")
        first = self._byte(at)
        major = first >> 5
        if major == 7:
            return self._simple(at, first)
        if major == _TAG:
            raise MalformedCbor("CBOR tag", got=f"0x{first:02x} at byte {at}", expected="no tag")
        if major in (_ARRAY, _MAP) and first & 31 == 31 and self._dialect.indefinite_containers:
            return self._container(major, at + 1, None, depth)
        argument, after = self._head(at, first)
        if major in (_BYTES, _TEXT):
            return self._string(major, after, argument)
        return after if major in (_UINT, _NINT) else self._container(major, after, argument, depth)

    def _byte(self, at: int) -> int:
        if at >= len(self._data):
            raise MalformedCbor("CBOR ends early", got=f"{len(self._data)} bytes", expected="more")
        return self._data[at]

    def _head(self, at: int, first: int) -> tuple[int, int]:
        """Return the head's argument and the offset behind it; the shortest of the five forms is demanded."""
        info = first & 31
        if info < 24:
            return info, at + 1
        if info > 27:
            problem = "indefinite length" if info == 31 else "reserved additional information"
            raise MalformedCbor(f"CBOR {problem}", got=f"0x{first:02x} at byte {at}")
        size = 1 << (info - 24)
        self._byte(at + size)
        argument = int.from_bytes(self._data[at + 1 : at + 1 + size], "big")
        if argument < (24 if size == 1 else 1 << (4 * size)):
            raise MalformedCbor("CBOR head not in its shortest form", got=f"0x{first:02x} at byte {at}")
        return argument, at + 1 + size

    def _simple(self, at: int, first: int) -> int:
        if first in _NAMED_SIMPLE:
            return at + 1
        if first in _FLOATS and self._dialect.floats:
            return self._float(at, first)
        raise MalformedCbor("CBOR simple value", got=f"0x{first:02x} at byte {at}", expected="false, true, null")

    def _float(self, at: int, first: int) -> int:
        size, form = _FLOATS[first]
        self._byte(at + size)
        raw = self._data[at + 1 : at + 1 + size]
        if _shortest_float(struct.unpack(form, raw)[0]) != raw:
            raise MalformedCbor("CBOR float not in its shortest form", got=raw)
        return at + 1 + size

    def _string(self, major: int, start: int, length: int) -> int:
        if length > len(self._data) - start:
            raise MalformedCbor("CBOR string longer than its input", got=f"{length} bytes claimed")
        if major == _TEXT:
            try:
                self._data[start : start + length].decode()
            except UnicodeDecodeError as error:
                raise MalformedCbor("CBOR text is not UTF-8", got=f"at byte {start}") from error
        return start + length

    def _container(self, major: int, at: int, count: int | None, depth: int) -> int:
        width = 2 if major == _MAP else 1
        if count is not None and count * width > len(self._data) - at:
            raise MalformedCbor("CBOR count larger than its input", got=f"{count} entries claimed")
        seen: set[bytes] = set()
        last = b""
        done = 0
        while done != count:
            if count is None and self._byte(at) == _BREAK:
                return at + 1
            if major == _MAP:
                key_at, at = at, self._key(at)
                key = self._data[key_at:at]
                self._fresh(key, last, seen)
                seen.add(key)
                last = key
            at = self.item(at, depth + 1)
            done += 1
        return at

    def _key(self, at: int) -> int:
        if self._byte(at) >> 5 not in (_UINT, _NINT, _TEXT):
            raise MalformedCbor("CBOR map key", got=f"0x{self._data[at]:02x} at byte {at}", expected="integer or text")
        return self.item(at, MAX_NESTING)

    def _fresh(self, key: bytes, last: bytes, seen: set[bytes]) -> None:
        if key in seen:
            raise MalformedCbor("CBOR map key given twice", got=cbor2.loads(key))
        if self._dialect.sorted_keys and key < last:
            raise MalformedCbor("CBOR map keys not in bytewise order", got=cbor2.loads(key))


def _shortest_float(value: float) -> bytes:
    """Return the bytes of the shortest of the three IEEE 754 forms that holds `value` exactly (NaN: 7e00)."""
    if math.isnan(value):
        return b"\x7e\x00"
    for form in (">e", ">f"):
        try:
            raw = struct.pack(form, value)
        except OverflowError:
            continue
        if struct.unpack(form, raw)[0] == value:
            return raw
    return struct.pack(">d", value)
