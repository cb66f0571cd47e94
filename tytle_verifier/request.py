"""What the caller asked: the side of step 8 that the relying party knows for certain, because it wrote it.

Read from the JSON that was sent to the parent (`POST /attest/fetch` or `/attest/query`), or built by the program that
sent it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeVar

from tytle_verifier import jsontext
from tytle_verifier.errors import InputError, PolicyError
from tytle_verifier.reply import body_bytes
from tytle_verifier.shape import Fields, WrongShape
from tytle_verifier.statement import CHALLENGE_BYTES

_Read = TypeVar("_Read")
_QUERY = ("service", "operation", "params")
_QUERY_OPTIONAL = ("id", "schema", "challenge", "mode", "timeoutMs")
_OPTIONAL = ("id", "headers", "body", "bodyEncoding", "challenge", "mode", "timeoutMs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request as sent: headers in order and as spelt, `body` as bytes (none is b""), `challenge` of 16..64 bytes.

    `id` is the caller's own, None where it let the enclave choose.

    Raises: PolicyError for a challenge of another length.
    """

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    challenge: bytes | None = None
    id: str | None = None

    def __post_init__(self) -> None:
        check_challenge(self.challenge)


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A query as sent; a `schema` or `id` of None left the choice to the enclave.

    `params` are compared with the values that repeat them (step 8), and for an operation that is known here those left
    out count as null; of the others nobody can say what became of them: the enclave's code turned them into its
    upstream calls. They may hold credentials.

    Raises: PolicyError for a challenge of another length.
    """

    service: str
    operation: str
    params: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}), repr=False, hash=False)
    schema: str | None = None
    challenge: bytes | None = None
    id: str | None = None

    def __post_init__(self) -> None:
        check_challenge(self.challenge)


def check_challenge(challenge: bytes | None) -> None:
    """Demand 16..64 bytes of a challenge. Raises: PolicyError."""
    least, most = CHALLENGE_BYTES
    if challenge is not None and not least <= len(challenge) <= most:
        raise PolicyError(f"a challenge has {least}..{most} bytes, not {len(challenge)}")


def decode(data: bytes) -> Request:
    """Read the JSON of a `POST /attest/fetch`. Its mode and timeoutMs are not kept. Raises: PolicyError."""
    return _decoded(data, _request)


def decode_query(data: bytes) -> Query:
    """Read the JSON of a `POST /attest/query`. Its mode and timeoutMs are not kept. Raises: PolicyError."""
    return _decoded(data, _query)


def decode_either(data: bytes) -> Request | Query:
    """Read the JSON of either; what has an `operation` is a query. Raises: PolicyError."""
    return _decoded(data, lambda value: _query(value) if _is_query(value) else _request(value))


def _decoded(data: bytes, read: Callable[[object], _Read]) -> _Read:
    try:
        return read(jsontext.decode(data, "request"))
    except (InputError, WrongShape) as error:
        raise PolicyError(f"request: {error.detail}") from error


def _is_query(value: object) -> bool:
    return isinstance(value, dict) and "operation" in value


def _request(value: object) -> Request:
    fields = Fields(value, "", required=("method", "url"), optional=_OPTIONAL)
    return Request(
        method=fields.text("method"),
        url=fields.text("url"),
        headers=fields.maybe("headers", fields.texts) or (),
        body=fields.maybe("body", lambda key: body_bytes(fields, key)) or b"",
        id=fields.maybe("id", fields.text),
        challenge=_challenge(fields),
    )


def _query(value: object) -> Query:
    fields = Fields(value, "", required=_QUERY, optional=_QUERY_OPTIONAL)
    return Query(
        service=fields.text("service"),
        operation=fields.text("operation"),
        params=MappingProxyType(fields.of("params", dict)),
        schema=fields.maybe("schema", fields.text),
        id=fields.maybe("id", fields.text),
        challenge=_challenge(fields),
    )


def _challenge(fields: Fields) -> bytes | None:
    return fields.maybe("challenge", lambda key: jsontext.from_base64(fields.text(key), key))
