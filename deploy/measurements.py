"""`build/images/NAME/measurements.json`, which `make image` writes (eif/record.py): what is taken from it, checked."""

import json
import re
from dataclasses import dataclass

from deploy.errors import BadMeasurements

MAX_BYTES = 1024 * 1024  # ours: one has 2 KiB
MAX_EIF_BYTES = 16 * 1024**3  # ours: far above any image, and far below what would overflow a unit file's numbers
_PCR = re.compile(r"[0-9a-f]{96}")  # SHA-384
PINNED = ("PCR0", "PCR1", "PCR2")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurements:
    """One image: its service, PCR0 to PCR2 in hex, where it was built from, and its size in bytes.

    `commit` is a hash, or text that says why there is none; `base` is NAME@sha256:DIGEST, or begins with `local`.
    """

    service: str
    pcrs: tuple[str, str, str]
    commit: str
    base: str
    eif_bytes: int


def read(data: bytes) -> Measurements:
    """Read a measurements file.

    Raises:
        BadMeasurements: it is not one, or it is of an image in debug mode (all-zero registers).
    """
    try:
        found = json.loads(data) if len(data) <= MAX_BYTES else None
    except (ValueError, RecursionError) as error:
        raise BadMeasurements(f"not JSON: {error}") from error
    if not isinstance(found, dict):
        raise BadMeasurements(f"expected one JSON object of at most {MAX_BYTES} bytes")
    eif = found.get("eif")
    size = eif.get("bytes") if isinstance(eif, dict) else None
    if type(size) is not int or not 0 < size <= MAX_EIF_BYTES:
        raise BadMeasurements("eif.bytes: expected the size of an image")
    pcr0, pcr1, pcr2 = (_pcr(found, name) for name in PINNED)
    service, commit, base = (_text(found, name) for name in ("service", "commit", "base"))
    return Measurements(service=service, pcrs=(pcr0, pcr1, pcr2), commit=commit, base=base, eif_bytes=size)


def _pcr(found: dict[str, object], name: str) -> str:
    value = found.get(name)
    if not isinstance(value, str) or not _PCR.fullmatch(value) or value == "0" * 96:
        raise BadMeasurements(f"{name}: expected 96 hexadecimal digits, not all of them 0")
    return value


def _text(found: dict[str, object], name: str) -> str:
    value = found.get(name)
    if not isinstance(value, str) or not value:
        raise BadMeasurements(f"{name}: expected text")
    return value
