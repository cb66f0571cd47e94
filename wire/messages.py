"""What the frames say: a call and a ping, read from JSON once and never passed on as a dict.

A call is the body of `POST /attest/fetch` as it is: the parent reads it with this grammar to fail early, the worker
reads it again and trusts nothing. Fields: ARCHITECTURE.md, "Parent HTTP API". What a URL, a method or a header may
hold is the business of `policy/`; here they are strings.
"""

import base64
import binascii
from dataclasses import dataclass
from typing import Any

from wire import jsontext
from wire.errors import MessageError

MIN_CHALLENGE_BYTES = 16  # 128 bits: guessing or repeating one is out of reach
MAX_CHALLENGE_BYTES = 64
MAX_ID_CHARS = 128
MAX_TIMEOUT_MS = 120_000  # twice the predecessor's longest wait
MODES = ("document",)
DEFAULT_MODE = "document"
CALL_FIELDS = frozenset({"id", "url", "method", "headers", "body", "bodyEncoding", "challenge", "mode", "timeoutMs"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One wished-for fetch. `headers` keep the caller's order and spelling; `body` is None when not given."""

    id: str | None
    url: str
    method: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    challenge: bytes | None = None
    mode: str = DEFAULT_MODE
    timeout_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Ping:
    """Asks whether the worker is alive; answered without taking a place in any queue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityQuestion:
    """Asks who the worker is; the answer's document carries `challenge` (16 to 64 bytes) as its nonce."""

    challenge: bytes | None


PING = b'{"type":"ping"}'


def decode_request(payload: bytes) -> Call | Ping | IdentityQuestion:
    """Read a frame's payload. Any object whose `type` is `ping` is a ping, as in the predecessor.

    Raises:
        MessageError: it is none of the three; `field` names the culprit.
    """
    fields = jsontext.parse_object(payload)
    if fields.get("type") == "ping":
        return Ping()
    return _identity_question(fields) if fields.get("type") == "identity" else _call(fields)


def decode_call(payload: bytes) -> Call:
    """Read the body of `POST /attest/fetch`.

    Raises:
        MessageError: it is not a call; `field` names the culprit.
    """
    return _call(jsontext.parse_object(payload))


def encode_call(call: Call) -> bytes:
    """Return the payload that `decode_request` reads back as `call`. Fields that say nothing are left out."""
    fields: dict[str, Any] = {"id": call.id, "url": call.url, "method": call.method}
    fields["headers"] = dict(call.headers)
    if call.body is not None:
        fields["body"], encoding = encode_body(call.body)
        if encoding != "utf-8":
            fields["bodyEncoding"] = encoding
    if call.challenge is not None:
        fields["challenge"] = base64.b64encode(call.challenge).decode()
    if call.mode != DEFAULT_MODE:
        fields["mode"] = call.mode
    if call.timeout_ms is not None:
        fields["timeoutMs"] = call.timeout_ms
    return jsontext.dump(fields)


def encode_identity_question(question: IdentityQuestion) -> bytes:
    """Return the payload that `decode_request` reads back as `question`."""
    fields: dict[str, Any] = {"type": "identity"}
    if question.challenge is not None:
        fields["challenge"] = base64.b64encode(question.challenge).decode()
    return jsontext.dump(fields)


def decode_challenge(text: str) -> bytes:
    """Read a challenge: base64 of 16 to 64 bytes.

    Raises:
        MessageError: it is none.
    """
    challenge = _base64("challenge", text)
    if not MIN_CHALLENGE_BYTES <= len(challenge) <= MAX_CHALLENGE_BYTES:
        raise MessageError("challenge", f"must be {MIN_CHALLENGE_BYTES} to {MAX_CHALLENGE_BYTES} bytes in base64")
    return challenge


def encode_body(body: bytes) -> tuple[str, str]:
    """Return a body as JSON text and the name of its encoding: `utf-8` where that is exact, else `base64`."""
    try:
        return body.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        return base64.b64encode(body).decode(), "base64"


def _call(fields: dict[str, Any]) -> Call:
    if not fields.get("url") or not fields.get("method"):
        raise MessageError("", "Missing required fields: url, method")
    unknown = sorted(fields.keys() - CALL_FIELDS)
    if unknown:
        raise MessageError(_quoted(unknown[0]), "unknown field")
    return Call(
        id=_id(fields.get("id")),
        url=jsontext.text("url", fields["url"]),
        method=jsontext.text("method", fields["method"]),
        headers=_headers(fields.get("headers")),
        body=_body(fields.get("body"), fields.get("bodyEncoding", "utf-8")),
        challenge=_challenge(fields.get("challenge")),
        mode=_mode(fields.get("mode")),
        timeout_ms=_timeout(fields.get("timeoutMs")),
    )


def _quoted(name: str) -> str:
    return ascii(name[:64])


def _id(value: object) -> str | None:
    if value is None or value == "":
        return None
    text = jsontext.text("id", value)
    if len(text) > MAX_ID_CHARS or not all("!" <= char <= "~" for char in text):
        raise MessageError("id", f"must be 1 to {MAX_ID_CHARS} visible ASCII characters without blanks")
    return text


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
    return text.encode() if encoding == "utf-8" else _base64("body", text)


def _identity_question(fields: dict[str, Any]) -> IdentityQuestion:
    unknown = sorted(fields.keys() - {"type", "challenge"})
    if unknown:
        raise MessageError(_quoted(unknown[0]), "unknown field")
    return IdentityQuestion(challenge=_challenge(fields.get("challenge")))


def _challenge(value: object) -> bytes | None:
    return None if value is None else decode_challenge(jsontext.text("challenge", value))


def _mode(value: object) -> str:
    if value is None:
        return DEFAULT_MODE
    mode = jsontext.text("mode", value)
    if mode not in MODES:
        raise MessageError("mode", f"must be one of: {', '.join(MODES)}")
    return mode


def _timeout(value: object) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_TIMEOUT_MS:
        raise MessageError("timeoutMs", f"must be a whole number from 1 to {MAX_TIMEOUT_MS}")
    return value


def _base64(field: str, text: str) -> bytes:
    problem = "is not standard base64 with padding"
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise MessageError(field, problem) from exc
    if base64.b64encode(data) != text.encode():  # Python tolerates "AP/+=" and stray bits before the padding
        raise MessageError(field, problem)
    return data
