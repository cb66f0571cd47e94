"""CBOR whose bytes something signed commits to: bounded, deterministic, of one profile, or refused at step 7.

One meaning has one encoding, so the hash of the bytes is the hash of the meaning.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from tytle_verifier import cbor
from tytle_verifier.errors import BindingError
from tytle_verifier.shape import Fields, WrongShape

MAX_USER_DATA_BYTES = 512  # AWS attestation_process.md 3.2.2.2
_Read = TypeVar("_Read")


def decode(name: str, data: bytes, limit_bytes: int, read: Callable[[object], _Read]) -> _Read:
    """Return what `read` makes of the one value in `data`; `read` raises WrongShape. Raises: BindingError."""
    if len(data) > limit_bytes:
        raise BindingError(f"{name} size", got=f"{len(data)} bytes", expected=f"at most {limit_bytes}")
    try:
        return read(cbor.decode(data, cbor.DETERMINISTIC))
    except (cbor.MalformedCbor, WrongShape) as error:
        raise BindingError(f"{name}: {error.problem}", got=error.got, expected=error.expected) from error


def check_profile(fields: Fields, profile: str) -> None:
    """Demand that `profile` is this one. Raises: WrongShape."""
    if fields.text("profile") != profile:
        raise WrongShape("profile", got=fields.text("profile"), expected=profile)
