"""The statement: what this enclave says happened, as deterministic CBOR (RFC 8949, 4.2.1), and the tree above it.

The CDDL is in VERIFICATION.md. Statements are written once and returned verbatim; nobody, not even this program,
reads one back. The hashes are those of RFC 9162, 2.1.1.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import cbor2

from enclave_worker.handlers.operation import Values
from enclave_worker.upstream.exchange import Answer, Failure
from policy.headers import is_secret
from policy.rules import Allowed

PROFILE = "tytle/attested-fetch/v1"
LEAF_PREFIX = b"\x00"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What every statement of one worker process repeats: service name, manifest digest (SHA-256), boot (16 bytes)."""

    service: str
    manifest: bytes
    boot: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """When and for whom: the caller's `id` and `challenge`, `seq` in this boot, the enclave's clock in milliseconds."""

    id: str
    seq: int
    time_ms: int
    challenge: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a query came to: `values`, and SHA-256 (32 bytes) of their field elements; or the `error` code alone."""

    operation: str
    schema: str
    values: Values | None = None
    fields: bytes | None = None
    error: str | None = None


Exchange = tuple[Allowed, Answer | Failure]


def encode(
    identity: Identity, circumstances: Circumstances, exchanges: Iterable[Exchange], result: Result | None = None
) -> bytes:
    """Return the statement's bytes. `exchanges` are the requests in the order they were made, with what came."""
    statement: dict[str, Any] = {
        "profile": PROFILE,
        "service": identity.service,
        "manifest": identity.manifest,
        "boot": identity.boot,
        "id": circumstances.id,
        "seq": circumstances.seq,
        "time": circumstances.time_ms,
        "exchanges": [_exchange(allowed, outcome) for allowed, outcome in exchanges],
    }
    if circumstances.challenge is not None:
        statement["challenge"] = circumstances.challenge
    if result is not None:
        statement["result"] = _result(result)
    return deterministic(statement)


def user_data(root: bytes, fields: bytes | None = None, *, size: int = 1) -> bytes:
    """Return what is signed for a tree of `size` statements; where it is one, the root is its leaf.

    `fields` repeats the digest of a result's field elements, for who wants these and not the statement.
    """
    more = {} if fields is None else {"fields": fields}
    return deterministic({"profile": PROFILE, "root": root, "size": size, **more})


def leaf_hash(statement: bytes) -> bytes:
    """Return SHA-256(0x00 || statement): a leaf of the RFC 9162 tree."""
    return hashlib.sha256(LEAF_PREFIX + statement).digest()


def deterministic(value: object) -> bytes:
    """Return the deterministic encoding of a value whose map keys are text.

    cbor2 sorts keys by length first (RFC 7049, 3.9). For keys that are all text the order is the same as RFC 8949's
    bytewise one, since a text's head encodes its length.
    """
    return cbor2.dumps(value, canonical=True)


def _result(result: Result) -> dict[str, Any]:
    said: dict[str, Any] = {"operation": result.operation, "schema": result.schema}
    if result.error is not None:
        return {**said, "error": result.error}
    return {**said, "values": result.values, "fields": result.fields}


def _exchange(allowed: Allowed, outcome: Answer | Failure) -> dict[str, Any]:
    exchange: dict[str, Any] = {
        "request": _request(allowed),
        "upstream": _upstream(outcome),
        "attempts": outcome.attempts,
    }
    match outcome:
        case Answer():
            exchange["response"] = {
                "status": outcome.status,
                "headers": [[_name(name), value] for name, value in outcome.headers],
                "body": _digest(outcome.body),
                "framing": outcome.framing,
            }
        case Failure():
            exchange["failure"] = {"kind": outcome.kind, "detail": outcome.detail}
    return exchange


def _request(allowed: Allowed) -> dict[str, Any]:
    secret = allowed.upstream.secret_headers
    return {
        "method": allowed.method,
        "url": allowed.url.text,
        "headers": [[h.name, None if is_secret(h.name, secret) else h.value.encode()] for h in allowed.headers],
        "body": _digest(allowed.body),
    }


def _upstream(outcome: Answer | Failure) -> dict[str, Any]:
    transport = outcome.transport
    if transport is None:
        return {"tls": None}
    known = {"cipher": transport.cipher, "certificate": transport.certificate, "spki": transport.spki}
    return {"tls": transport.tls, **{name: value for name, value in known.items() if value is not None}}


def _digest(body: bytes) -> dict[str, Any]:
    return {"sha256": hashlib.sha256(body).digest(), "length": len(body)}


def _name(name: bytes) -> str:
    return name.decode("ascii")  # `upstream.head` takes tokens only
