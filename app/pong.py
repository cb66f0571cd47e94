"""What an enclave says of itself when it is pinged: shape-checked, since nothing else about it is known.

Everything but the type may be missing: the predecessor's pong has nothing else. What is there must have its shape.
"""

import json
from dataclasses import dataclass
from typing import Any

MAX_PONG_BYTES = 16 * 1024  # ours: ten times the longest that a worker sends
MAX_KEYS = 8  # ours: a worker has its current key, the one before, and no more
_HEX = frozenset("0123456789abcdef")
_BOOT_DIGITS, _KEY_DIGITS = 32, 64


class NotAPong(Exception):
    """Bytes are not the answer to a ping. Without the bytes: it is a stranger's word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pong:
    """`boot` is 32 hex digits; `nsm_age_ms` the time since the NSM last gave a document, in milliseconds, None where it
    has given none yet; `nsm_failures` how often it has failed since, None where the worker does not say. `keys` are the
    ids (32 bytes) of the keys that sealed requests may be for.
    """

    boot: str | None = None
    service: str | None = None
    nsm_age_ms: int | None = None
    nsm_failures: int | None = None
    keys: tuple[bytes, ...] = ()


def read(payload: bytes) -> Pong:
    """Return what `payload` says.

    Raises:
        NotAPong: it is none.
    """
    if len(payload) > MAX_PONG_BYTES:
        raise NotAPong("too long")
    try:
        given = json.loads(payload)
    except (ValueError, RecursionError) as exc:
        raise NotAPong("not JSON") from exc
    if not isinstance(given, dict) or given.get("type") != "pong":
        raise NotAPong("not a pong")
    return Pong(
        boot=_hex(given, "boot", _BOOT_DIGITS),
        service=_text(given, "service"),
        nsm_age_ms=_count(given, "nsmAgeMs"),
        nsm_failures=_count(given, "nsmFailures"),
        keys=_keys(given.get("keys", [])),
    )


def _text(given: dict[str, Any], name: str) -> str | None:
    value = given.get(name)
    if value is not None and not isinstance(value, str):
        raise NotAPong(f"{name} is no text")
    return value


def _hex(given: dict[str, Any], name: str, digits: int) -> str | None:
    value = _text(given, name)
    if value is not None and not (len(value) == digits and _HEX.issuperset(value)):
        raise NotAPong(f"{name} is not {digits} hex digits")
    return value


def _count(given: dict[str, Any], name: str) -> int | None:
    value = given.get(name)
    if value is not None and not (type(value) is int and 0 <= value < 2**63):
        raise NotAPong(f"{name} is no count")
    return value


def _keys(given: object) -> tuple[bytes, ...]:
    if not isinstance(given, list) or len(given) > MAX_KEYS:
        raise NotAPong("keys is no short list")
    names = [_hex({"key": value}, "key", _KEY_DIGITS) for value in given]
    return tuple(bytes.fromhex(name) for name in names if name is not None)
