"""Replies of the Nitro Secure Module as frozen values, read strictly from CBOR.

The wire form is that of `Response` in AWS's `src/api/mod.rs`: a reply without fields is a text string, any other a
map of one entry, name to fields; an error is {"Error": code}. Refused: bytes after the item, tags, duplicate keys,
wrong types, unknown replies and unknown error codes. Ignored: unknown fields of a known reply. AWS's client ignores
them too, so a module may gain some, and an enclave, whose code cannot change without its PCR0, must outlive that.
"""

import enum
import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NoReturn, TypeVar

import cbor2

from nsm.errors import ErrorCode, MalformedReply, Refused

MAX_RESPONSE_BYTES = 0x3000  # NSM_RESPONSE_MAX_SIZE, Linux include/uapi/linux/nsm.h
PCR_BYTES = {"SHA256": 32, "SHA384": 48, "SHA512": 64}  # AWS docs/attestation_process.md 2.2: 32/48/64
MAX_U16 = 0xFFFF  # versions, indexes and counts are u16, AWS src/api/mod.rs
_MAX_DEPTH = 8  # the deepest thing we read, a document's payload, has 2 levels

T = TypeVar("T")


class Digest(enum.Enum):
    """The hash function of a module's registers. Every module known so far has SHA384."""

    SHA256 = "SHA256"
    SHA384 = "SHA384"
    SHA512 = "SHA512"


@dataclass(frozen=True, slots=True, kw_only=True)
class NsmDescription:
    """What the module says of itself. `module_id` names the enclave: i-<17 hex>-enc<16 hex>."""

    version_major: int
    version_minor: int
    version_patch: int
    module_id: str
    max_pcrs: int
    locked_pcrs: frozenset[int]
    digest: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class PcrDescription:
    """A register: `lock` is true when it is read-only; `data` has 32, 48 or 64 bytes."""

    lock: bool
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class PcrExtended:
    """A register was extended; `data` is its new value, 32, 48 or 64 bytes."""

    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class PcrLocked:
    """A register was locked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PcrsLocked:
    """A range of registers was locked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttestationReply:
    """The signed document, as received. Not checked here: anything about it (see `nsm.document`)."""

    document: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Randomness:
    """At least one random byte; today's modules send 256."""

    random: bytes


Response = NsmDescription | PcrDescription | PcrExtended | PcrLocked | PcrsLocked | AttestationReply | Randomness


def decode(data: bytes) -> Response:
    """Read one reply from exactly `data`.

    Raises:
        Refused: it is an error of the module.
        MalformedReply: it is not a reply.
    """
    item = one_item(data)
    if isinstance(item, str):
        return _known(UNIT_REPLIES, item)()
    if not isinstance(item, dict) or len(item) != 1:
        raise MalformedReply(f"a reply is a text or a map of one entry, got {_kind(item)}")
    (name, fields), *_ = item.items()
    if name == "Error":
        raise Refused(_error_code(fields))
    return _known(REPLIES, name)(typed(fields, dict, f"fields of {name}"))


def one_item(data: bytes) -> object:
    """Decode exactly one CBOR item: no tags, no duplicate keys, nothing after it. Raises MalformedReply.

    Accepted: indefinite lengths (AWS's documents have one since 2025) and integers longer than necessary. Map keys
    may be of any type, so who reads a map must check theirs: in Python 0, False and 0.0 are the same key.
    """
    stream = io.BytesIO(data)
    decoder = cbor2.CBORDecoder(stream, semantic_decoders=_NO_TAGS, max_depth=_MAX_DEPTH, allow_duplicate_keys=False)
    try:
        item: object = decoder.decode()
    except cbor2.CBORDecodeError as error:
        raise MalformedReply(f"not CBOR as the module writes it: {error}") from error
    if rest := len(stream.read()):  # cbor2 leaves the stream at the end of the item
        raise MalformedReply(f"{rest} bytes after the end of the CBOR item")
    return item


def typed(value: object, kind: type[T], what: str) -> T:
    """Return `value` if it is exactly of type `kind`: a bool is no int here. Raises MalformedReply."""
    if type(value) is not kind:
        raise MalformedReply(f"{what} must be {kind.__name__}, got {_kind(value)}")
    return value


class _NoTags(Mapping[int, Callable[[object, bool], object]]):
    """An override for every tag there is; cbor2 would turn a tagged bignum into an int that nobody can tell."""

    def __getitem__(self, tag: int) -> Callable[[object, bool], object]:
        return _refuse_tag

    def __iter__(self) -> Iterator[int]:
        return iter(())

    def __len__(self) -> int:
        return 0


def _refuse_tag(_value: object, _immutable: bool) -> NoReturn:
    raise ValueError("the module writes no tags")


_NO_TAGS = _NoTags()


def _known(table: Mapping[str, T], name: object) -> T:
    if not isinstance(name, str) or name not in table:
        raise MalformedReply(f"no such reply: {_kind(name)}")
    return table[name]


def _error_code(name: object) -> ErrorCode:
    try:
        return ErrorCode[typed(name, str, "error code")]
    except KeyError as error:
        raise MalformedReply(f"no such error code: {_kind(name)}") from error


def _description(fields: dict[object, object]) -> NsmDescription:
    return NsmDescription(
        version_major=_u16(fields, "version_major"),
        version_minor=_u16(fields, "version_minor"),
        version_patch=_u16(fields, "version_patch"),
        module_id=_module_id(fields),
        max_pcrs=_u16(fields, "max_pcrs"),
        locked_pcrs=_locked(fields),
        digest=_digest(fields),
    )


def _pcr(fields: dict[object, object]) -> PcrDescription:
    return PcrDescription(lock=typed(fields.get("lock"), bool, "lock"), data=_pcr_value(fields))


def _pcr_value(fields: dict[object, object]) -> bytes:
    value = typed(fields.get("data"), bytes, "data")
    if len(value) not in PCR_BYTES.values():
        raise MalformedReply(f"data must have 32, 48 or 64 bytes, got {len(value)}")
    return value


def _random(fields: dict[object, object]) -> Randomness:
    value = typed(fields.get("random"), bytes, "random")
    if not value:
        raise MalformedReply("random has no bytes")
    return Randomness(random=value)


def _module_id(fields: dict[object, object]) -> str:
    value = typed(fields.get("module_id"), str, "module_id")
    if not value:
        raise MalformedReply("module_id is empty")
    return value


def _locked(fields: dict[object, object]) -> frozenset[int]:
    indexes = typed(fields.get("locked_pcrs"), list, "locked_pcrs")
    return frozenset(_checked_u16(index, "locked_pcrs") for index in indexes)


def _digest(fields: dict[object, object]) -> Digest:
    name = typed(fields.get("digest"), str, "digest")
    try:
        return Digest(name)
    except ValueError as error:
        raise MalformedReply(f"no such digest: {_kind(name)}") from error


def _u16(fields: dict[object, object], name: str) -> int:
    return _checked_u16(fields.get(name), name)


def _checked_u16(value: object, what: str) -> int:
    number = typed(value, int, what)
    if not 0 <= number <= MAX_U16:
        raise MalformedReply(f"{what} must be 0..{MAX_U16}, got {number}")
    return number


def _kind(value: object) -> str:
    """A short name for a value in a message: its text if it is a short text, else its type only."""
    return repr(value[:32]) if isinstance(value, str) else type(value).__name__


UNIT_REPLIES: dict[str, Callable[[], Response]] = {"LockPCR": PcrLocked, "LockPCRs": PcrsLocked}

REPLIES: dict[str, Callable[[dict[object, object]], Response]] = {
    "DescribeNSM": _description,
    "DescribePCR": _pcr,
    "ExtendPCR": lambda fields: PcrExtended(data=_pcr_value(fields)),
    "Attestation": lambda fields: AttestationReply(document=typed(fields.get("document"), bytes, "document")),
    "GetRandom": _random,
}
