"""The worker's replies as JSON, in the predecessor's shape. The parent passes them on untouched."""

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from enclave_worker import legacy
from enclave_worker.attestation import Committed
from enclave_worker.nsm_record import NsmRecord
from enclave_worker.upstream.exchange import Answer, Failure
from policy.headers import is_secret
from policy.rules import Allowed
from wire import jsontext
from wire.frames import MAX_FRAME_BYTES
from wire.messages import encode_body

NOTHING_SHA256 = hashlib.sha256(b"").digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """How a statement was signed. `shown` is the NSM's document as `shown.show` makes it.

    `nonce` is the predecessor's (hex) in mode `document`, `inclusion` the way to the root in `batch`, `message` the
    session key's COSE_Sign1 in `session`.
    """

    mode: str
    shown: bytes
    nonce: str | None = None
    inclusion: Committed | None = None
    message: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What an attested reply carries as proof. `timestamp` is in Unix seconds, `body_sha256` of what is handed out."""

    attestation_id: str
    statement: bytes
    body_sha256: bytes
    timestamp: int
    proof: Proof


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A reply's JSON, and what of it a parent is told that does not read it."""

    payload: bytes
    success: bool
    status: int


def refusal(status: int, error: str, *, code: str | None = None) -> Reply:
    """Return a reply that carries no attestation: nothing was fetched, or nothing may be handed out.

    `code` is for programs, where one has something to do about it.
    """
    fields: dict[str, Any] = {"success": False, "status": status, "headers": {}, "rawBody": "", "error": error}
    return of(fields if code is None else {**fields, "code": code})


def sealed(data: bytes) -> Reply:
    """Return the reply to a sealed call: all that it says is for whoever holds the reply key."""
    return Reply(payload=b'{"sealed":"%b"}' % base64.b64encode(data), success=True, status=200)


def pong(*, timestamp_ms: int, boot: bytes, service: str, nsm: NsmRecord, keys: Iterable[bytes]) -> Reply:
    """Return the answer to a ping: who this is, how fresh its NSM is, and which keys (ids) it can open."""
    return of(
        {
            "type": "pong",
            "timestamp": timestamp_ms,
            "service": service,
            "boot": boot.hex(),
            "nsmAgeMs": nsm.age_ms,
            "nsmFailures": nsm.failures,
            "keys": [key.hex() for key in keys],
        }
    )


def of(fields: dict[str, Any]) -> Reply:
    """Return the reply of these fields."""
    return _reply(fields, jsontext.dump(fields))


def of_attested(fields: dict[str, Any], attestation: bytes) -> Reply:
    """Return the reply of these fields and the JSON of its `attestation`."""
    return _reply(fields, jsontext.with_members(fields, b'"attestation":' + attestation))


def _reply(fields: dict[str, Any], payload: bytes) -> Reply:
    return Reply(payload=payload, success=fields.get("success", True), status=fields.get("status", 200))


def attested(
    allowed: Allowed, outcome: Answer | Failure, evidence: Evidence, *, most_bytes: int = MAX_FRAME_BYTES
) -> Reply:
    """Return the reply for a fetch, successful or not, with its evidence. It takes at most `most_bytes` (>= 11 MiB)."""
    fields = _answer(outcome, "text") if isinstance(outcome, Answer) else failed(outcome)
    evident = attestation(allowed, evidence)
    reply = of_attested(fields, evident)
    if len(reply.payload) > most_bytes and isinstance(outcome, Answer):
        # JSON escapes can make text six times longer; base64 never exceeds 4/3, which the body's cap allows for.
        reply = of_attested(_answer(outcome, "base64"), evident)
    return reply


def body_sha256(outcome: Answer | Failure) -> bytes:
    """Return the SHA-256 of the body that a reply hands out: that of the answer, or nothing."""
    return outcome.sha256 if isinstance(outcome, Answer) else NOTHING_SHA256


def _answer(answer: Answer, form: str) -> dict[str, Any]:
    if form == "text":
        text, encoding = encode_body(answer.body)
    else:
        text, encoding = base64.b64encode(answer.body).decode(), "base64"
    return {
        "success": True,
        "status": answer.status,
        "headers": _joined(answer.headers),
        "rawBody": text,
        "bodyEncoding": encoding,
    }


def failed(failure: Failure) -> dict[str, Any]:
    """Return the fields, without evidence, of the reply for a fetch that failed, or for the query that needed it."""
    return {
        "success": False,
        "status": 504 if failure.kind == "timeout" else 502,
        "headers": {},
        "rawBody": "",
        "bodyEncoding": "utf-8",
        "error": f"{failure.kind}: {failure.detail}",
    }


def _joined(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Lower-case names, repeated fields joined with a comma; the statement has them complete and in order."""
    joined: dict[str, str] = {}
    for name, value in headers:
        key, text = name.decode("ascii").lower(), value.decode("latin-1")
        joined[key] = f"{joined[key]}, {text}" if key in joined else text
    return joined


def attestation(allowed: Allowed, evidence: Evidence, *, fields: bytes | None = None) -> bytes:
    """Return the JSON of a reply's `attestation`. `allowed` is the request that it shows.

    `fields` is the SHA-256 of a result's field elements.
    """
    proof = evidence.proof
    shown: dict[str, Any] = {
        "attestationId": evidence.attestation_id,
        "responseHash": evidence.body_sha256.hex(),
        "requestHash": legacy.request_hash(allowed.url.text, allowed.method, _public_headers(allowed)),
        "apiEndpoint": allowed.url.endpoint,
        "apiMethod": allowed.method,
        "timestamp": evidence.timestamp,
        "nonce": proof.nonce,
        "mode": proof.mode,
    }
    if proof.inclusion is not None:
        shown["inclusion"] = _inclusion(proof.inclusion)
    if fields is not None:
        shown["bn254Hash"] = fields.hex()
    signed = [] if proof.message is None else [jsontext.base64_member("session", proof.message)]
    said = jsontext.base64_member("statement", evidence.statement)
    return jsontext.with_members(shown, proof.shown, said, *signed)


def _inclusion(committed: Committed) -> dict[str, Any]:
    path = [base64.b64encode(sibling).decode() for sibling in committed.path]
    return {"index": committed.index, "size": committed.size, "path": path}


def _public_headers(allowed: Allowed) -> list[tuple[str, str]]:
    secret = allowed.upstream.secret_headers
    return [(header.name, header.value) for header in allowed.headers if not is_secret(header.name, secret)]
