"""Deterministic CBOR (RFC 8949 4.2.1) of plain values, floats included, without cbor2 and without our own code."""

import math
import struct
from typing import Any

from tests import verifier_kit as kit


def encode(value: Any, *, in_order: bool = True) -> bytes:
    """Return the encoding. Keys are put in bytewise order, or left as they are where `in_order` is false."""
    match value:
        case float():
            return _float(value)
        case list():
            return kit.head(4, len(value)) + b"".join(encode(each, in_order=in_order) for each in value)
        case dict():
            pairs = [(encode(k, in_order=in_order), encode(v, in_order=in_order)) for k, v in value.items()]
            return kit.head(5, len(value)) + b"".join(k + v for k, v in (sorted(pairs) if in_order else pairs))
        case _:
            return kit.cbor(value)


def _float(value: float) -> bytes:
    if math.isnan(value):
        return b"\xf9\x7e\x00"
    for lead, form in ((b"\xf9", ">e"), (b"\xfa", ">f")):
        try:
            packed = struct.pack(form, value)
        except OverflowError:
            continue
        if struct.unpack(form, packed)[0] == value:
            return lead + packed
    return b"\xfb" + struct.pack(">d", value)
