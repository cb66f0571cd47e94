"""One function per request. Each takes `exchange` first: bytes of a request in, bytes of the reply out.

`Device.exchange` is the real one; anything of the same shape will do. Every function raises what `exchange` raises,
`Refused` when the module says no, and `MalformedReply` when the reply is not one to this request.

Two callers must not share an `exchange` that is not safe for that; Linux itself serialises requests to /dev/nsm.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from nsm import responses
from nsm.document import Fields, read
from nsm.errors import EchoMismatch, MalformedReply
from nsm.requests import (
    MAX_NONCE_BYTES,
    MAX_PUBLIC_KEY_BYTES,
    MAX_REQUEST_BYTES,
    MAX_USER_DATA_BYTES,
    Attestation,
    DescribeNSM,
    DescribePCR,
    ExtendPCR,
    GetRandom,
    LockPCR,
    LockPCRs,
    Request,
    encode,
)
from nsm.responses import MAX_RESPONSE_BYTES

__all__ = [
    "MAX_NONCE_BYTES",
    "MAX_PUBLIC_KEY_BYTES",
    "MAX_REQUEST_BYTES",
    "MAX_RESPONSE_BYTES",
    "MAX_USER_DATA_BYTES",
    "Attested",
    "Exchange",
    "attest",
    "describe",
    "describe_pcr",
    "extend_pcr",
    "get_random",
    "lock_pcr",
    "lock_pcrs",
]

Exchange = Callable[[bytes], bytes]
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Attested:
    """A document as the module sent it, and what it says. Not verified; its three fields are those asked for."""

    document: bytes
    fields: Fields


def attest(
    exchange: Exchange,
    *,
    nonce: bytes | None = None,
    user_data: bytes | None = None,
    public_key: bytes | None = None,
) -> Attested:
    """Ask for a document with these fields: nonce and user_data up to 512 bytes, public_key 1..1024.

    Raises:
        ValueError: a field is outside AWS's limits; nothing was asked.
        EchoMismatch: the document has another value than was asked for.
    """
    request = Attestation(nonce=nonce, user_data=user_data, public_key=public_key)
    reply = _ask(exchange, request, responses.AttestationReply)
    fields = read(reply.document)
    _compare("nonce", nonce, fields.nonce)
    _compare("user_data", user_data, fields.user_data)
    _compare("public_key", public_key, fields.public_key)
    return Attested(document=reply.document, fields=fields)


def describe(exchange: Exchange) -> responses.NsmDescription:
    """Ask for the module's version, identity and registers."""
    return _ask(exchange, DescribeNSM(), responses.NsmDescription)


def describe_pcr(exchange: Exchange, index: int) -> responses.PcrDescription:
    """Ask for the value and the lock of register `index`."""
    return _ask(exchange, DescribePCR(index=index), responses.PcrDescription)


def extend_pcr(exchange: Exchange, index: int, data: bytes) -> bytes:
    """Replace register `index` by SHA384(old value || data) and return the new value. Not idempotent."""
    return _ask(exchange, ExtendPCR(index=index, data=data), responses.PcrExtended).data


def lock_pcr(exchange: Exchange, index: int) -> None:
    """Make register `index` read-only. Locking it twice is Refused with ReadOnlyIndex."""
    _ask(exchange, LockPCR(index=index), responses.PcrLocked)


def lock_pcrs(exchange: Exchange, count: int) -> None:
    """Make the registers 0 .. count - 1 read-only, those that are already read-only included."""
    _ask(exchange, LockPCRs(range=count), responses.PcrsLocked)


def get_random(exchange: Exchange) -> bytes:
    """Ask for random bytes: at least one, 256 from today's modules."""
    return _ask(exchange, GetRandom(), responses.Randomness).random


def _ask(exchange: Exchange, request: Request, kind: type[T]) -> T:
    reply = responses.decode(exchange(encode(request)))
    if not isinstance(reply, kind):
        raise MalformedReply(f"asked for {type(request).__name__}, got {type(reply).__name__}")
    return reply


def _compare(field: str, asked: bytes | None, got: bytes | None) -> None:
    if asked != got:
        raise EchoMismatch(field, expected=asked, got=got)
