"""Requests to the Nitro Secure Module as frozen values, and the CBOR that AWS's own client would send for them.

AWS's client serialises `Request` of `src/api/mod.rs` with serde: a request without fields is a text string, any
other a map of one entry, name to fields. Lengths are definite and integers minimal, as cbor2 writes them. The one
difference: AWS's client writes user_data before nonce. The order means nothing to the module, so we keep that of the
predecessor, whose recorded requests are our vectors.

Not checked: whether the module has a register of that index. It has the last word, and answers InvalidIndex.
"""

import dataclasses

import cbor2

MAX_REQUEST_BYTES = 0x1000  # NSM_REQUEST_MAX_SIZE, Linux include/uapi/linux/nsm.h
MAX_INDEX = 0xFFFF  # indexes are u16 on the wire, AWS src/api/mod.rs

# AWS docs/attestation_process.md 3.2.2.2. Section 2.2 of the same page says 0..1024 for all three, and modules have
# signed more than that; documents beyond 3.2.2.2 are documents which a verifier by the book refuses.
MAX_USER_DATA_BYTES = 512
MAX_NONCE_BYTES = 512
MIN_PUBLIC_KEY_BYTES = 1
MAX_PUBLIC_KEY_BYTES = 1024


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DescribeNSM:
    """Asks for the module's version, identity and registers."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DescribePCR:
    """Asks for the value and the lock of register `index` (0..65535 on the wire, 0..31 in today's modules)."""

    index: int

    def __post_init__(self) -> None:
        _check_u16("index", self.index)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ExtendPCR:
    """Asks to replace register `index` by SHA384(old value || data). Not idempotent."""

    index: int
    data: bytes

    def __post_init__(self) -> None:
        _check_u16("index", self.index)
        _check_bytes("data", self.data, 0, MAX_REQUEST_BYTES)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LockPCR:
    """Asks to make register `index` read-only until the enclave ends."""

    index: int

    def __post_init__(self) -> None:
        _check_u16("index", self.index)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LockPCRs:
    """Asks to make the registers 0 .. range - 1 read-only until the enclave ends."""

    range: int

    def __post_init__(self) -> None:
        _check_u16("range", self.range)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Attestation:
    """Asks for a signed document that contains these fields, each absent (None) or within AWS's limits.

    The module signs what it is given; it does not look into any of them, not even into public_key.
    """

    nonce: bytes | None = None
    user_data: bytes | None = None
    public_key: bytes | None = None

    def __post_init__(self) -> None:
        if self.nonce is not None:
            _check_bytes("nonce", self.nonce, 0, MAX_NONCE_BYTES)
        if self.user_data is not None:
            _check_bytes("user_data", self.user_data, 0, MAX_USER_DATA_BYTES)
        if self.public_key is not None:
            _check_bytes("public_key", self.public_key, MIN_PUBLIC_KEY_BYTES, MAX_PUBLIC_KEY_BYTES)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class GetRandom:
    """Asks for random bytes."""


Request = DescribeNSM | DescribePCR | ExtendPCR | LockPCR | LockPCRs | Attestation | GetRandom

NAMES: dict[type[Request], str] = {
    DescribeNSM: "DescribeNSM",
    DescribePCR: "DescribePCR",
    ExtendPCR: "ExtendPCR",
    LockPCR: "LockPCR",
    LockPCRs: "LockPCRs",
    Attestation: "Attestation",
    GetRandom: "GetRandom",
}


def encode(request: Request) -> bytes:
    """Return the CBOR of `request`, fields in the order in which its class declares them.

    Not checked: MAX_REQUEST_BYTES, which only ExtendPCR can exceed; the device refuses it.
    """
    name = NAMES[type(request)]
    fields = {field.name: getattr(request, field.name) for field in dataclasses.fields(request)}
    return cbor2.dumps({name: fields} if fields else name)


def _check_u16(field: str, value: object) -> None:
    if type(value) is not int or not 0 <= value <= MAX_INDEX:  # a bool is an int to isinstance
        raise ValueError(f"{field} must be an integer 0..{MAX_INDEX}, got {value!r}")


def _check_bytes(field: str, value: object, at_least: int, at_most: int) -> None:
    if not isinstance(value, bytes):
        raise ValueError(f"{field} must be bytes, got {type(value).__name__}")
    if not at_least <= len(value) <= at_most:
        raise ValueError(f"{field} must have {at_least}..{at_most} bytes, got {len(value)}")
