"""What the frames say: a call, a query, a ping, a question for the identity or a sealed call. Read from JSON once, and
never passed on as a dict.

A call is the body of `POST /attest/fetch` as it is, a query that of `POST /attest/query`: the parent reads it with
this grammar to fail early, the worker reads it again and trusts nothing. Fields: ARCHITECTURE.md, "Parent HTTP API".
What a URL, a method or a header may hold is the business of `policy/`; here they are strings.
"""

import base64
from dataclasses import dataclass, field, replace
from typing import Any

from wire import fields as read
from wire import hops, jsontext, queries, sealed
from wire.errors import MessageError
from wire.hops import Hop
from wire.queries import Query
from wire.sealed import SealedCall

CALL_FIELDS = frozenset({"id", "url", "method", "headers", "body", "bodyEncoding", "challenge", "mode", "timeoutMs"})
_TO_BE_CHANGED = (b'"id"', b'"timeoutMs"', b"\\u")  # the last could spell the others


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One wished-for fetch. `headers` keep the caller's order and spelling; `body` is None when not given."""

    id: str | None
    url: str = field(repr=False)
    method: str
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    body: bytes | None = field(default=None, repr=False)
    challenge: bytes | None = None
    mode: str = read.DEFAULT_MODE
    timeout_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Ping:
    """Asks whether the worker is alive; answered without taking a place in any queue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityQuestion:
    """Asks who the worker is; the answer's document carries `challenge` (16 to 64 bytes) as its nonce."""

    challenge: bytes | None


PING = b'{"type":"ping"}'


Message = Call | Query | Ping | IdentityQuestion | SealedCall


@dataclass(frozen=True, slots=True)
class Question:
    """A frame to a worker: the message, and what the parent says of the way."""

    message: Message
    hop: Hop


def decode_question(payload: bytes) -> Question:
    """Read a frame's payload.

    Raises:
        MessageError: it is no message; `field` names the culprit.
    """
    fields = jsontext.parse_object(payload)
    hop = hops.take(fields)
    return Question(_read_message(fields), hop)


def _read_message(fields: dict[str, Any]) -> Message:
    """Any object whose `type` is `ping` is a ping, as in the predecessor."""
    match fields.get("type"):
        case "ping":
            return Ping()
        case "identity":
            return _identity_question(fields)
        case sealed.FRAME_TYPE:
            return sealed.read(fields)
        case _:
            return read_question(fields)


def read_question(fields: dict[str, Any]) -> Call | Query:
    """Return the call or query that a JSON object says, as a frame or inside a sealed call.

    Raises:
        MessageError: it says neither; `field` names the culprit.
    """
    return queries.read_query(fields) if queries.MARK in fields else read_call(fields)


def decode_call(payload: bytes) -> Call:
    """Read the body of `POST /attest/fetch`.

    Raises:
        MessageError: it is not a call; `field` names the culprit.
    """
    return read_call(jsontext.parse_object(payload))


def encode_call(call: Call) -> bytes:
    """Return the payload that `decode_question` reads back as `call`. Fields that say nothing are left out."""
    fields: dict[str, Any] = {"id": call.id, "url": call.url, "method": call.method}
    fields["headers"] = dict(call.headers)
    if call.body is not None:
        fields["body"], encoding = encode_body(call.body)
        if encoding != "utf-8":
            fields["bodyEncoding"] = encoding
    if call.challenge is not None:
        fields["challenge"] = base64.b64encode(call.challenge).decode()
    if call.mode != read.DEFAULT_MODE:
        fields["mode"] = call.mode
    if call.timeout_ms is not None:
        fields["timeoutMs"] = call.timeout_ms
    return jsontext.dump(fields)


def forward(said: bytes, call: Call, *, request_id: str, timeout_ms: int) -> bytes:
    """Return the payload of `call`, which `decode_call` read from `said`, under this id and with this time.

    What was said travels as it is, however large, where nothing in it has to be changed: no member may be there twice,
    by whatever spelling of its name, and the predecessor's worker expects headers.
    """
    if not call.headers or any(mark in said for mark in _TO_BE_CHANGED):
        return encode_call(replace(call, id=request_id, timeout_ms=timeout_ms))
    return b'%b,"id":%b,"timeoutMs":%d}' % (said.rstrip(b" \t\r\n")[:-1], jsontext.dump(request_id), timeout_ms)


def encode_identity_question(question: IdentityQuestion) -> bytes:
    """Return the payload that `decode_question` reads back as `question`."""
    fields: dict[str, Any] = {"type": "identity"}
    if question.challenge is not None:
        fields["challenge"] = base64.b64encode(question.challenge).decode()
    return jsontext.dump(fields)


def encode_body(body: bytes) -> tuple[str, str]:
    """Return a body as JSON text and the name of its encoding: `utf-8` where that is exact, else `base64`."""
    try:
        return body.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        return base64.b64encode(body).decode(), "base64"


def read_call(fields: dict[str, Any]) -> Call:
    """Return the call that a JSON object says.

    Raises:
        MessageError: it says none; `field` names the culprit.
    """
    if not fields.get("url") or not fields.get("method"):
        raise MessageError("", "Missing required fields: url, method")
    read.only(fields, CALL_FIELDS)
    return Call(
        id=read.identifier(fields.get("id")),
        url=jsontext.text("url", fields["url"]),
        method=jsontext.text("method", fields["method"]),
        headers=_headers(fields.get("headers")),
        body=_body(fields.get("body"), fields.get("bodyEncoding", "utf-8")),
        challenge=read.challenge(fields.get("challenge")),
        mode=read.mode(fields.get("mode")),
        timeout_ms=read.timeout_ms(fields.get("timeoutMs")),
    )


def _headers(value: object) -> tuple[tuple[str, str], ...]:
    if value is None:
        return ()
    if not isinstance(value, dict):
        raise MessageError("headers", f"must be an object, not {jsontext.kind(value)}")
    return tuple((jsontext.text("headers", n), jsontext.text("headers", v)) for n, v in value.items())


def _body(value: object, encoding: object) -> bytes | None:
    if encoding not in ("utf-8", "base64"):
        raise MessageError("bodyEncoding", "must be utf-8 or base64")
    if value is None:
        return None
    text = jsontext.text("body", value)
    return text.encode() if encoding == "utf-8" else read.base64_bytes("body", text)


def _identity_question(fields: dict[str, Any]) -> IdentityQuestion:
    read.only(fields, frozenset({"type", "challenge"}))
    return IdentityQuestion(challenge=read.challenge(fields.get("challenge")))
