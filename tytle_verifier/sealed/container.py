"""The container that is sealed: u32 length, JSON, zero bytes up to a bucket, so that sizes say little.

Buckets are Padme's (Nikitin et al., "Reducing Metadata Leakage from Encrypted Files and Communication with PURBs",
2019): at most 12 % longer than their content, and few.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from tytle_verifier.errors import PolicyError, SealedAnswerError

_LENGTH: Final = struct.Struct(">I")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """The smallest and the largest container of one direction, in bytes."""

    least: int
    most: int


REQUEST: Final = Sizes(least=4096, most=7_340_032)  # as base64 in JSON it fits the parent's 10 MiB
ANSWER: Final = Sizes(least=16_384, most=12_058_624)  # as base64 in JSON it fits a frame of 16 MiB


def bucket_bytes(content_bytes: int, least: int) -> int:
    """Return the size of the container for that many bytes, the four of the length among them."""
    if content_bytes <= least:
        return least
    exponent = content_bytes.bit_length() - 1
    mantissa = exponent.bit_length()  # floor(log2(exponent)) + 1
    mask = (1 << (exponent - mantissa)) - 1
    return (content_bytes + mask) & ~mask


def fill(data: bytes, sizes: Sizes) -> bytes:
    """Return the container that holds `data`. Raises: PolicyError where none is large enough."""
    size = bucket_bytes(_LENGTH.size + len(data), sizes.least)
    if size > sizes.most:
        raise PolicyError(f"too large to be sealed: {len(data)} bytes, a container has at most {sizes.most}")
    return (_LENGTH.pack(len(data)) + data).ljust(size, b"\0")


def empty(container: bytes, sizes: Sizes) -> bytes:
    """Return what the container holds. Raises: SealedAnswerError for a wrong size or padding that is not zero."""
    if not sizes.least <= len(container) <= sizes.most:
        expected = f"{sizes.least}..{sizes.most} bytes"
        raise SealedAnswerError("container size", got=f"{len(container)} bytes", expected=expected)
    (length,) = _LENGTH.unpack_from(container)
    expected_bytes = bucket_bytes(_LENGTH.size + length, sizes.least)
    if len(container) != expected_bytes:
        raise SealedAnswerError("container size", got=f"{len(container)} bytes", expected=f"{expected_bytes} bytes")
    end = _LENGTH.size + length
    if container.count(0, end) != len(container) - end:
        raise SealedAnswerError("padding", got="other bytes", expected="zero bytes")
    return container[_LENGTH.size : end]
