"""Steps 7 and 8: the statement and the user data, CDDL (VERIFICATION.md, "Formats") -> frozen values.

Both are deterministic CBOR and are refused otherwise: one meaning has one encoding, so the hash of the bytes is the
hash of the meaning. Nothing here says that a statement is true; step 7 ties it to a document, step 8 judges it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from tytle_verifier import committed
from tytle_verifier.shape import Fields, WrongShape

PROFILE: Final = "tytle/attested-fetch/v1"
MAX_STATEMENT_BYTES = 1_048_576  # ours: 64 exchanges with 16 KiB of headers each
CHALLENGE_BYTES: Final = (16, 64)  # least and most
Value = str | int | bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """SHA-256 (32 bytes) and length in bytes of a body that is not in the statement."""

    sha256: bytes
    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SentRequest:
    """What the enclave was asked to send, in the caller's order and spelling; a value of None is a withheld secret."""

    method: str
    url: str
    headers: tuple[tuple[str, bytes | None], ...]
    body: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """What came back: status, headers complete and in order, body digest, and how the message's end was known."""

    status: int
    headers: tuple[tuple[str, bytes], ...]
    body: Digest
    framing: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """That no complete answer came, and why: a word (`kind`) and a sentence (`detail`)."""

    kind: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """The transport: `tls` is None for plain HTTP (or where no handshake ended); digests are SHA-256 of DER bytes."""

    tls: str | None
    cipher: str | None
    certificate: bytes | None
    spki: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One request and its outcome, after `attempts` tries."""

    request: SentRequest
    outcome: Response | Failure
    upstream: Upstream
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Values that the enclave's code read from the exchanges, and SHA-256 of their field elements.

    Step 8 demands that each value is a `Value`. That the values follow from the exchanges' bodies is NOT checked: the
    bodies are not in the statement.
    """

    operation: str
    schema: str
    values: Mapping[str, object]
    fields: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class NoResult:
    """That the upstreams answered, and that their answers give no values: `error` is a code."""

    operation: str
    schema: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What the enclave says. `time_ms` is the enclave's clock; `boot` and `seq` number what one process said."""

    service: str
    manifest: bytes
    id: str
    boot: bytes
    seq: int
    time_ms: int
    challenge: bytes | None
    exchanges: tuple[Exchange, ...]
    result: Result | NoResult | None

    @property
    def answer(self) -> Exchange:
        """The exchange that the reply shows: the last one."""
        return self.exchanges[-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class UserData:
    """What the document signs: the tree's `root` (32 bytes), its `size`, and a copy of the result's `fields`."""

    root: bytes
    size: int
    fields: bytes | None


def decode(data: bytes) -> Statement:
    """Read a statement's bytes. Raises: BindingError."""
    return committed.decode("statement", data, MAX_STATEMENT_BYTES, _statement)


def decode_user_data(data: bytes) -> UserData:
    """Read a document's user_data, or a session's payload. Raises: BindingError."""
    return committed.decode("user_data", data, committed.MAX_USER_DATA_BYTES, _user_data)


def _user_data(value: object) -> UserData:
    fields = Fields(value, "", required=("profile", "root", "size"), optional=("fields",))
    committed.check_profile(fields, PROFILE)
    return UserData(
        root=fields.sha256("root"), size=fields.natural("size", least=1), fields=fields.maybe("fields", fields.sha256)
    )


def _statement(value: object) -> Statement:
    required = ("profile", "service", "manifest", "id", "boot", "seq", "time", "exchanges")
    fields = Fields(value, "", required=required, optional=("challenge", "result"))
    committed.check_profile(fields, PROFILE)
    exchanges = fields.each("exchanges", _exchange)
    if not exchanges:
        raise WrongShape("exchanges", got="none", expected="one or more")
    return Statement(
        service=fields.text("service"),
        manifest=fields.sha256("manifest"),
        id=fields.text("id"),
        boot=fields.octets("boot", 16, 16),
        seq=fields.natural("seq"),
        time_ms=fields.natural("time"),
        challenge=fields.maybe("challenge", lambda key: fields.octets(key, *CHALLENGE_BYTES)),
        exchanges=exchanges,
        result=fields.maybe("result", lambda key: _result(fields.raw(key))),
    )


def _exchange(value: object, where: str) -> Exchange:
    fields = Fields(value, where, required=("request", "upstream", "attempts"), optional=("response", "failure"))
    if ("response" in fields) == ("failure" in fields):
        raise WrongShape(where, got="both or neither", expected="either a response or a failure")
    outcome: Response | Failure
    if "response" in fields:
        outcome = _response(fields.raw("response"), fields.place("response"))
    else:
        outcome = _failure(fields.raw("failure"), fields.place("failure"))
    return Exchange(
        request=_request(fields.raw("request"), fields.place("request")),
        outcome=outcome,
        upstream=_upstream(fields.raw("upstream"), fields.place("upstream")),
        attempts=fields.natural("attempts", least=1),
    )


def _status(fields: Fields) -> int:
    status = fields.natural("status", least=100)
    if status > 599:
        raise WrongShape(fields.place("status"), got=status, expected="100..599 (RFC 9110 15)")
    return status


def _request(value: object, where: str) -> SentRequest:
    fields = Fields(value, where, required=("method", "url", "headers", "body"))
    return SentRequest(
        method=fields.text("method"),
        url=fields.text("url"),
        headers=fields.each("headers", _header),
        body=_digest(fields.raw("body"), fields.place("body")),
    )


def _response(value: object, where: str) -> Response:
    fields = Fields(value, where, required=("status", "headers", "body", "framing"))
    headers = fields.each("headers", _header)
    known = tuple((name, content) for name, content in headers if content is not None)
    if len(known) != len(headers):
        raise WrongShape(fields.place("headers"), got="null", expected="bytes: only requests hold secrets")
    return Response(
        status=_status(fields),
        headers=known,
        body=_digest(fields.raw("body"), fields.place("body")),
        framing=fields.text("framing"),
    )


def _failure(value: object, where: str) -> Failure:
    fields = Fields(value, where, required=("kind", "detail"))
    return Failure(kind=fields.text("kind"), detail=fields.text("detail"))


def _upstream(value: object, where: str) -> Upstream:
    fields = Fields(value, where, required=("tls",), optional=("cipher", "certificate", "spki"))
    return Upstream(
        tls=None if fields.raw("tls") is None else fields.text("tls"),
        cipher=fields.maybe("cipher", fields.text),
        certificate=fields.maybe("certificate", fields.sha256),
        spki=fields.maybe("spki", fields.sha256),
    )


def _header(value: object, where: str) -> tuple[str, bytes | None]:
    if not isinstance(value, list) or len(value) != 2:
        raise WrongShape(where, got=type(value).__name__, expected="[name, value]")
    name, content = value
    if type(name) is not str or not (content is None or type(content) is bytes):
        raise WrongShape(where, expected="a text name and a bytes value or null")
    return name, content


def _digest(value: object, where: str) -> Digest:
    fields = Fields(value, where, required=("sha256", "length"))
    return Digest(sha256=fields.sha256("sha256"), length=fields.natural("length"))


def _result(value: object) -> Result | NoResult:
    fields = Fields(value, "result", required=("operation", "schema"), optional=("values", "fields", "error"))
    given = {key for key in ("values", "fields", "error") if key in fields}
    if given not in ({"values", "fields"}, {"error"}):
        raise WrongShape("result", expected="either values and fields, or an error")
    if "error" in fields:
        return NoResult(operation=fields.text("operation"), schema=fields.text("schema"), error=fields.text("error"))
    values = _frozen(fields.raw("values"))
    if not isinstance(values, Mapping) or not all(isinstance(key, str) for key in values):
        raise WrongShape("result.values", expected="a map with text keys")
    return Result(
        operation=fields.text("operation"),
        schema=fields.text("schema"),
        values=values,
        fields=fields.sha256("fields"),
    )


def _frozen(value: object) -> object:
    if isinstance(value, dict):
        return MappingProxyType({key: _frozen(inner) for key, inner in value.items()})
    return tuple(_frozen(inner) for inner in value) if isinstance(value, list) else value
