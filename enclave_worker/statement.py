"""The statement: what this enclave says happened, as deterministic CBOR (RFC 8949, 4.2.1), and the tree above it.

The CDDL is in VERIFICATION.md. Statements are written once and returned verbatim; nobody, not even this program,
reads one back. The hashes are those of RFC 9162, 2.1.1.

Every map of a statement is built with its keys in the order that they have in the encoding, shorter ones first: to have
cbor2 sort them takes three times as long as to encode them. A test compares the two.
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
        "id": circumstances.id,
        "seq": circumstances.seq,
        "boot": identity.boot,
        "time": circumstances.time_ms,
    }
    if result is not None:
        statement["result"] = _result(result)
    statement |= {"profile": PROFILE, "service": identity.service, "manifest": identity.manifest}
    if circumstances.challenge is not None:
        statement["challenge"] = circumstances.challenge
    statement["exchanges"] = [_exchange(allowed, outcome) for allowed, outcome in exchanges]
    return cbor2.dumps(statement)


def user_data(root: bytes, fields: bytes | None = None, *, size: int = 1) -> bytes:
    """Return what is signed for a tree of `size` statements; where it is one, the root is its leaf.

    `fields` repeats the digest of a result's field elements, for who wants these and not the statement.
    """
    signed: dict[str, Any] = {"root": root, "size": size}
    if fields is not None:
        signed["fields"] = fields
    return cbor2.dumps({**signed, "profile": PROFILE})


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
    if result.error is not None:
        return {"error": result.error, "schema": result.schema, "operation": result.operation}
    values = sorted((result.values or {}).items(), key=lambda item: (len(item[0].encode()), item[0].encode()))
    return {
        "fields": result.fields,
        "schema": result.schema,
        "values": dict(values),
        "operation": result.operation,
    }


def _exchange(allowed: Allowed, outcome: Answer | Failure) -> dict[str, Any]:
    asked = {"request": _request(allowed), "attempts": outcome.attempts}
    if isinstance(outcome, Failure):
        failure = {"kind": outcome.kind, "detail": outcome.detail}
        return {"failure": failure, **asked, "upstream": _upstream(outcome)}
    response = {
        "body": {"length": len(outcome.body), "sha256": outcome.sha256},
        "status": outcome.status,
        "framing": outcome.framing,
        "headers": [[_name(name), value] for name, value in outcome.headers],
    }
    return {**asked, "response": response, "upstream": _upstream(outcome)}


def _request(allowed: Allowed) -> dict[str, Any]:
    secret = allowed.upstream.secret_headers
    return {
        "url": allowed.url.text,
        "body": {"length": len(allowed.body), "sha256": hashlib.sha256(allowed.body).digest()},
        "method": allowed.method,
        "headers": [[h.name, None if is_secret(h.name, secret) else h.value.encode()] for h in allowed.headers],
    }


def _upstream(outcome: Answer | Failure) -> dict[str, Any]:
    transport = outcome.transport
    if transport is None:
        return {"tls": None}
    known = {"spki": transport.spki, "cipher": transport.cipher, "certificate": transport.certificate}
    return {"tls": transport.tls, **{name: value for name, value in known.items() if value is not None}}


def _name(name: bytes) -> str:
    return name.decode("ascii")  # `upstream.head` takes tokens only
