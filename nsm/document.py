"""Reads the fields of an attestation document. It does NOT verify the document: no signature, chain or time.

Inside the enclave that is enough: the document comes from the hypervisor, and what is compared is only whether it
answers our request. Whoever receives a document from somebody else must verify it (`tytle_verifier`).

Format: AWS docs/attestation_process.md 2.2 and 3.2.2. A COSE_Sign1 array, bare as AWS emits it or under tag 18 as
AWS's text shows it, whose payload is one CBOR map, of definite or, since 2025, indefinite length. A field that is
not set is null in practice and may be absent by the text; both read as None. Unknown keys of the payload are
ignored, for the reason given in `nsm.responses`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from nsm.errors import MalformedReply
from nsm.responses import PCR_BYTES, one_item, typed

DIGEST = "SHA384"  # the only one allowed, AWS docs/attestation_process.md 3.2.2.2
MAX_PCRS = 32  # the same
MAX_PAYLOAD_BYTES = 16384  # AWS docs/attestation_process.md 3.1
MAX_TIMESTAMP_MS = 2**64 - 1  # uint .size 8, AWS docs/attestation_process.md 2.2
_TAG_18 = b"\xd2"  # COSE_Sign1, RFC 9052 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """What a document says, unverified. `timestamp_ms` is the hypervisor's clock, in ms since 1970 UTC.

    `pcrs` maps 0..31 to 48 bytes each: 0..15 and every other locked register. `certificate` is the leaf's DER, not
    read. The others are not kept.
    """

    module_id: str
    timestamp_ms: int
    digest: str
    pcrs: Mapping[int, bytes]
    user_data: bytes | None
    nonce: bytes | None
    public_key: bytes | None
    certificate: bytes


def read(document: bytes) -> Fields:
    """Return the fields of `document`, all of them of the right type and range. Raises MalformedReply.

    Not checked: protected header, signature, certificates (only that they are there), and the lengths of user_data,
    nonce and public_key: modules sign longer ones than AWS's text allows, and the asker knows what it asked for.
    """
    payload = typed(one_item(_payload(document)), dict, "payload")
    certificate = typed(payload.get("certificate"), bytes, "certificate")
    if not typed(payload.get("cabundle"), list, "cabundle"):
        raise MalformedReply("cabundle is empty")
    return Fields(
        module_id=_module_id(payload),
        timestamp_ms=_timestamp(payload),
        digest=_digest(payload),
        pcrs=MappingProxyType(_pcrs(payload)),
        user_data=_optional(payload, "user_data"),
        nonce=_optional(payload, "nonce"),
        public_key=_optional(payload, "public_key"),
        certificate=certificate,
    )


def _payload(document: bytes) -> bytes:
    sign1 = typed(one_item(document.removeprefix(_TAG_18)), list, "document")
    shape = [type(element) for element in sign1]
    if shape != [bytes, dict, bytes, bytes]:
        raise MalformedReply("a document is [bytes, map, bytes, bytes]")
    payload: bytes = sign1[2]
    if not 0 < len(payload) <= MAX_PAYLOAD_BYTES:
        raise MalformedReply(f"payload must have 1..{MAX_PAYLOAD_BYTES} bytes, got {len(payload)}")
    return payload


def _module_id(payload: dict[object, object]) -> str:
    value = typed(payload.get("module_id"), str, "module_id")
    if not value:
        raise MalformedReply("module_id is empty")
    return value


def _timestamp(payload: dict[object, object]) -> int:
    value = typed(payload.get("timestamp"), int, "timestamp")
    if not 0 < value <= MAX_TIMESTAMP_MS:
        raise MalformedReply(f"timestamp must be 1..{MAX_TIMESTAMP_MS}, got {value}")
    return value


def _digest(payload: dict[object, object]) -> str:
    value = typed(payload.get("digest"), str, "digest")
    if value != DIGEST:
        raise MalformedReply(f"digest must be {DIGEST}, got {value[:32]!r}")
    return value


def _pcrs(payload: dict[object, object]) -> dict[int, bytes]:
    pcrs = typed(payload.get("pcrs"), dict, "pcrs")
    if not 0 < len(pcrs) <= MAX_PCRS:
        raise MalformedReply(f"pcrs must have 1..{MAX_PCRS} entries, got {len(pcrs)}")
    for index, value in pcrs.items():
        if not 0 <= typed(index, int, "index of a PCR") < MAX_PCRS:
            raise MalformedReply(f"index of a PCR must be 0..{MAX_PCRS - 1}, got {index}")
        if len(typed(value, bytes, f"PCR{index}")) != PCR_BYTES[DIGEST]:
            raise MalformedReply(f"PCR{index} must have {PCR_BYTES[DIGEST]} bytes, got {len(value)}")
    return pcrs


def _optional(payload: dict[object, object], name: str) -> bytes | None:
    value = payload.get(name)
    return None if value is None else typed(value, bytes, name)
