"""Step 2: the payload of an NSM attestation document -> one frozen value.

The limits are AWS's where real documents keep them, and wider, with the reason beside them, where they do not.
What a field means is not judged here: nothing is believed before step 4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Final, TypeVar

from tytle_verifier import cbor, certificate
from tytle_verifier.certificate import Certificate
from tytle_verifier.errors import DocumentError, PolicyError
from tytle_verifier.when import from_ms

MAX_TIMESTAMP_MS = 253_402_300_799_999  # the end of the year 9999, where calendars end
PCR_BYTES = 48  # SHA-384; AWS's 32 and 64 belong to digests that no NSM uses
MAX_PCRS = 32  # AWS attestation_process.md 3.2.1
MAX_CABUNDLE = 8  # ours; AWS has always sent 4
MAX_PUBLIC_KEY_BYTES = 1024  # AWS 3.2.2.2 and 2.2; 0 bytes are accepted because AWS signs them
_REQUIRED: Final = frozenset({"module_id", "digest", "timestamp", "pcrs", "certificate", "cabundle"})
_OPTIONAL: Final = frozenset({"public_key", "user_data", "nonce"})
_Wanted = TypeVar("_Wanted", bytes, str, int)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The two points on which careful verifiers differ and a caller may choose.

    `max_optional_bytes` bounds user_data and nonce: AWS says 512 in one place and 1024 in another, and has signed
    746. `allow_unknown_fields` tolerates keys outside AWS's list, should AWS add one; they are signed, and ignored.
    """

    max_optional_bytes: int = 1024
    allow_unknown_fields: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.max_optional_bytes <= 1024:
            raise PolicyError("max_optional_bytes must be 0..1024")


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """The fields of an attestation document, checked for shape only; null and absent fields are both None.

    `timestamp_ms` is the hypervisor's clock; `pcrs` maps an index 0..31 to 48 bytes; `cabundle` is root first.
    """

    module_id: str
    timestamp_ms: int
    pcrs: Mapping[int, bytes]
    certificate: Certificate
    cabundle: tuple[Certificate, ...]
    public_key: bytes | None
    user_data: bytes | None
    nonce: bytes | None

    @property
    def signed_at(self) -> datetime:
        """The document's own time, UTC."""
        return from_ms(self.timestamp_ms)


def decode(payload: bytes, rules: Rules) -> Document:
    """Read the payload of a document. Raises: DocumentError."""
    try:
        value = cbor.decode(payload, cbor.PAYLOAD)
    except cbor.MalformedCbor as error:
        raise DocumentError(f"payload: {error.problem}", got=error.got, expected=error.expected) from error
    fields = _fields(value, rules)
    if _typed(fields, "digest", str) != "SHA384":
        raise DocumentError("digest", got=fields["digest"], expected="SHA384")
    return Document(
        module_id=_module_id(fields),
        timestamp_ms=_timestamp(fields),
        pcrs=_pcrs(fields["pcrs"]),
        certificate=certificate.load(_typed(fields, "certificate", bytes), name="certificate"),
        cabundle=_cabundle(fields["cabundle"]),
        public_key=_optional(fields, "public_key", MAX_PUBLIC_KEY_BYTES),
        user_data=_optional(fields, "user_data", rules.max_optional_bytes),
        nonce=_optional(fields, "nonce", rules.max_optional_bytes),
    )


def _fields(value: object, rules: Rules) -> dict[str, object]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise DocumentError("payload", got=type(value).__name__, expected="a map with text keys")
    absent = sorted(key for key in _REQUIRED if value.get(key) is None)
    if absent:
        raise DocumentError("mandatory field absent or null", got=", ".join(absent))
    unknown = sorted(value.keys() - _REQUIRED - _OPTIONAL)
    if unknown and not rules.allow_unknown_fields:
        raise DocumentError("unknown field", got=", ".join(unknown))
    return value


def _typed(fields: dict[str, object], name: str, kind: type[_Wanted]) -> _Wanted:
    value = fields[name]
    if type(value) is not kind:
        raise DocumentError(f"{name} type", got=type(value).__name__, expected=kind.__name__)
    return value


def _module_id(fields: dict[str, object]) -> str:
    module_id = _typed(fields, "module_id", str)
    if not module_id:
        raise DocumentError("module_id is empty")
    return module_id


def _timestamp(fields: dict[str, object]) -> int:
    timestamp = _typed(fields, "timestamp", int)
    if not 0 < timestamp <= MAX_TIMESTAMP_MS:
        raise DocumentError("timestamp", got=timestamp, expected=f"1..{MAX_TIMESTAMP_MS} ms")
    return timestamp


def _pcrs(value: object) -> Mapping[int, bytes]:
    if not isinstance(value, dict) or not 1 <= len(value) <= MAX_PCRS:
        raise DocumentError("pcrs", got=type(value).__name__, expected=f"a map of 1..{MAX_PCRS}")
    for index, measurement in value.items():
        if type(index) is not int or not 0 <= index < MAX_PCRS:
            raise DocumentError("PCR index", got=index, expected=f"an integer 0..{MAX_PCRS - 1}")
        if type(measurement) is not bytes or len(measurement) != PCR_BYTES:
            raise DocumentError(f"PCR{index}", got=measurement, expected=f"{PCR_BYTES} bytes")
    return MappingProxyType(dict(sorted(value.items())))


def _cabundle(value: object) -> tuple[Certificate, ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_CABUNDLE:
        size = f" of {len(value)}" if isinstance(value, list) else ""
        raise DocumentError("cabundle", got=f"{type(value).__name__}{size}", expected=f"1..{MAX_CABUNDLE}")
    for index, der in enumerate(value):
        if type(der) is not bytes:
            raise DocumentError(f"cabundle[{index}]", got=type(der).__name__, expected="bytes")
    return tuple(certificate.load(der, name=f"cabundle[{index}]") for index, der in enumerate(value))


def _optional(fields: dict[str, object], name: str, limit_bytes: int) -> bytes | None:
    if fields.get(name) is None:
        return None
    value = _typed(fields, name, bytes)
    if len(value) > limit_bytes:
        raise DocumentError(f"{name} size", got=f"{len(value)} bytes", expected=f"at most {limit_bytes}")
    return value
