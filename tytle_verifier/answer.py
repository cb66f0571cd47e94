"""Step 8: the statement against the policy, against what the caller holds, and against what the reply shows.

Each function compares one thing and returns the line that the report prints for it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from tytle_verifier import parameters, results, url
from tytle_verifier.errors import PolicyError, StatementError, shown
from tytle_verifier.policy import Policy, Release, TlsDemands
from tytle_verifier.reply import Reply
from tytle_verifier.request import Query, Request
from tytle_verifier.statement import Digest, Exchange, Failure, Response, Statement, Upstream

FAILURE_STATUS: Final = {"timeout": 504}  # RFC 9110 15.6.5; a gateway's answers for its upstream
OTHER_FAILURE_STATUS = 502  # RFC 9110 15.6.3
MAX_CLOCK_GAP_MS = 300_000  # ours: enclave clock against the hypervisor's, and the time a fetch and the queue take


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The policy, and which of its releases step 6 found."""

    policy: Policy
    release: Release


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What the caller holds: its request, a response body, the challenge it sent; None where it holds none.

    Of a query, the body is that of the last upstream call.
    """

    request: Request | Query | None
    body: bytes | None
    challenge: bytes | None


def expected_challenge(policy: Policy, request: Request | Query | None) -> bytes | None:
    """Return the challenge that request or policy expect. Raises: PolicyError where they expect different ones."""
    asked = request.challenge if request else None
    if asked is not None and policy.challenge is not None and asked != policy.challenge:
        raise PolicyError("the request and the policy expect different challenges")
    return asked if asked is not None else policy.challenge


def check_origin(statement: Statement, accepted: Accepted) -> str:
    """Compare the service, and the manifest where the release pins one. Raises: StatementError."""
    policy, release = accepted.policy, accepted.release
    if statement.service != policy.service:
        raise StatementError("service", got=statement.service, expected=policy.service)
    if release.manifest is None:
        return f"service {statement.service}"
    if statement.manifest != release.manifest:
        raise StatementError("manifest digest", got=statement.manifest, expected=release.manifest)
    return f"service {statement.service}, manifest {statement.manifest.hex()[:16]}..."


def check_mode(mode: str, policy: Policy) -> tuple[str, ...]:
    """Compare the mode with those that the policy accepts, if it lists any. Raises: StatementError."""
    if not policy.modes:
        return ()
    if mode not in policy.modes:
        raise StatementError("mode", got=mode, expected=", ".join(sorted(policy.modes)))
    return (f"mode {mode}",)


def check_clock(statement: Statement, signed_ms: int) -> str:
    """Compare the enclave's clock with the signed time of the document, both ms. Raises: StatementError."""
    gap = signed_ms - statement.time_ms
    if abs(gap) > MAX_CLOCK_GAP_MS:
        raise StatementError("statement time", got=f"{gap} ms before the document", expected=f"{MAX_CLOCK_GAP_MS} ms")
    return f"statement time {statement.time_ms} ms, {gap} ms before the document's"


def check_challenge(statement: Statement, policy: Policy, held: Held) -> tuple[str, ...]:
    """Compare the challenge with the one the caller sent, if it holds one. Raises: StatementError."""
    expected = held.challenge
    if expected is None:
        if policy.require_challenge:
            raise StatementError("challenge", got="none to compare with", expected="the one that the caller sent")
        return ()
    if statement.challenge != expected:
        raise StatementError("challenge", got=statement.challenge or "none", expected=expected)
    return (f"challenge {expected.hex()[:16]}... ({len(expected)} bytes)",)


def check_exchange(exchange: Exchange, policy: Policy) -> str:
    """Compare method, URL and transport of one exchange with the policy. Raises: StatementError."""
    sent = exchange.request
    target = url.parse(sent.url)
    if policy.methods and sent.method not in policy.methods:
        raise StatementError("method", got=sent.method, expected=", ".join(sorted(policy.methods)))
    if not policy.allows_url(sent.url):
        raise StatementError("URL", got=sent.url, expected=", ".join(policy.urls))
    if not isinstance(exchange.outcome, Response):
        return f"{shown(sent.method)} {shown(sent.url)} failed: {shown(exchange.outcome.kind)}"
    transport = _check_tls(target, exchange.upstream, policy.tls)
    return f"{shown(sent.method)} {shown(sent.url)} over {transport}"


def _check_tls(target: url.Url, upstream: Upstream, demands: TlsDemands) -> str:
    if target.scheme == "http":
        if target.host not in demands.plain_http_hosts:
            raise StatementError("plain HTTP", got=target.host, expected="a host that the policy names")
        if upstream.tls is not None:
            raise StatementError("TLS under an http URL", got=upstream.tls, expected="none")
        return "plain HTTP (allowed by name)"
    if upstream.tls not in demands.versions:
        raise StatementError("TLS version", got=upstream.tls or "none", expected=", ".join(sorted(demands.versions)))
    if demands.spki and upstream.spki not in demands.spki:
        raise StatementError("upstream public key", got=upstream.spki or "none", expected="one that the policy pins")
    return upstream.tls + (", pinned key" if demands.spki else "")


def check_request(statement: Statement, held: Held) -> tuple[str, ...]:
    """Compare what the caller asked with what the enclave says it was asked. Raises: StatementError."""
    asked = held.request
    if asked is None:
        return ()
    if asked.id is not None and statement.id != asked.id:
        raise StatementError("request id", got=statement.id, expected=asked.id)
    return (_check_query(statement, asked) if isinstance(asked, Query) else _check_fetch(statement, asked),)


def _check_query(statement: Statement, asked: Query) -> str:
    """Compare service, operation, schema, and the parameters with the values that repeat them (`parameters`)."""
    if statement.service != asked.service:
        raise StatementError("service asked", got=statement.service, expected=asked.service)
    result = statement.result
    if result is None:
        if isinstance(statement.answer.outcome, Response):
            raise StatementError("result", got="none", expected=f"one of {asked.operation}")
        return "a query whose last call failed"
    if result.operation != asked.operation:
        raise StatementError("operation", got=result.operation, expected=asked.operation)
    if asked.schema is not None and result.schema != asked.schema:
        raise StatementError("schema", got=result.schema, expected=asked.schema)
    return f"operation {shown(result.operation)} as asked{parameters.compare(result, asked).line}"


def _check_fetch(statement: Statement, asked: Request) -> str:
    """Compare method, URL, headers in order, and body.

    The value of a withheld header is NOT compared, only that it was sent.
    """
    if statement.result is not None:
        raise StatementError("a query's result", got=statement.result.operation, expected="the answer to a fetch")
    sent = statement.answer.request
    if (sent.method, sent.url) != (asked.method, asked.url):
        got, expected = _without_query(sent.method, sent.url), _without_query(asked.method, asked.url)
        where = "request line" if got != expected else "request line: the query"
        raise StatementError(where, got=got, expected=expected)
    names = [name for name, _ in sent.headers]
    if names != [name for name, _ in asked.headers]:
        raise StatementError("request headers", got=names, expected=[name for name, _ in asked.headers])
    for (name, value), (_, wanted) in zip(sent.headers, asked.headers, strict=True):
        if value is not None and value.decode("latin-1") != wanted:
            got, expected = _withheld(value), _withheld(wanted.encode("latin-1", "replace"))
            raise StatementError(f"request header {shown(name)}", got=got, expected=expected)
    check_digest("request body", asked.body, sent.body)
    return f"request as asked: {len(names)} headers, body of {sent.body.length} bytes"


def _without_query(method: str, url: str) -> str:
    """Return a request line for an error: a query may hold secrets, and errors travel far."""
    path, mark, _ = url.partition("?")
    return f"{method} {path}{mark}{'...' if mark else ''}"


def _withheld(value: bytes) -> str:
    """Return what an error may say of a header's value, which may be a credential."""
    return f"{len(value)} bytes, SHA-256 {hashlib.sha256(value).hexdigest()[:16]}..."


def check_shown(statement: Statement, reply: Reply, policy: Policy) -> tuple[str, ...]:
    """Compare what the reply shows with the result, or where there is none with the last exchange.

    Raises: StatementError.
    """
    if statement.result is not None:
        return results.check(statement, reply, policy.schemas)
    results.check_none(reply)
    return (_check_exchange_shown(reply, statement.answer),)


def _check_exchange_shown(reply: Reply, exchange: Exchange) -> str:
    """Compare success, status, headers and body."""
    outcome = exchange.outcome
    answered = isinstance(outcome, Response)
    if reply.success is not answered:
        raise StatementError("success", got=reply.success, expected=answered)
    if not isinstance(outcome, Response):
        return _check_failure(reply, outcome)
    if reply.status != outcome.status:
        raise StatementError("status", got=reply.status, expected=outcome.status)
    expected = joined(outcome.headers)
    if dict(reply.headers) != expected:
        differing = sorted(set(reply.headers) ^ set(expected.items()))
        raise StatementError("response headers", got=[name for name, _ in differing], expected="those attested")
    check_digest("response body", reply.body, outcome.body)
    return f"status {outcome.status}, {len(outcome.headers)} headers, body of {outcome.body.length} bytes"


def _check_failure(reply: Reply, failure: Failure) -> str:
    expected = FAILURE_STATUS.get(failure.kind, OTHER_FAILURE_STATUS)
    if reply.status != expected:
        raise StatementError(f"status of a failed fetch ({failure.kind})", got=reply.status, expected=expected)
    if reply.body or reply.headers:
        raise StatementError("a failed fetch shows an answer", got=f"{len(reply.body)} bytes", expected="nothing")
    return f"no answer: {shown(failure.kind)}, {shown(failure.detail)}"


def check_held_body(exchange: Exchange, held: Held) -> tuple[str, ...]:
    """Compare a response body that the caller holds with the attested digest. Raises: StatementError."""
    if held.body is None:
        return ()
    if not isinstance(exchange.outcome, Response):
        raise StatementError("the body held", got=f"{len(held.body)} bytes", expected="none: the fetch failed")
    check_digest("the body held", held.body, exchange.outcome.body)
    return ("the body held is the attested one",)


def joined(headers: tuple[tuple[str, bytes], ...]) -> dict[str, str]:
    """Return headers as a reply shows them: lower-case names, repeated ones joined with ", ", bytes as Latin-1."""
    made: dict[str, str] = {}
    for name, value in headers:
        key, text = name.lower(), value.decode("latin-1")
        made[key] = f"{made[key]}, {text}" if key in made else text
    return made


def check_digest(what: str, body: bytes, digest: Digest) -> None:
    """Compare a body with its attested length and SHA-256. Raises: StatementError."""
    if len(body) != digest.length:
        raise StatementError(f"{what} length", got=len(body), expected=digest.length)
    if hashlib.sha256(body).digest() != digest.sha256:
        raise StatementError(f"{what} SHA-256", got=hashlib.sha256(body).digest(), expected=digest.sha256)


def unchecked(statement: Statement, reply: Reply, accepted: Accepted, held: Held) -> tuple[str, ...]:
    """Return a line for each thing that neither this policy nor this caller gave anything to compare with."""
    exchange, policy = statement.answer, accepted.policy
    withheld = [shown(name) for name, value in exchange.request.headers if value is None]
    asked = held.request
    lines = {
        "challenge: whether this answer was made for this caller, and only once": held.challenge is None,
        "what was asked: no request given": asked is None,
        **(parameters.compare(statement.result, asked).unchecked(asked.operation) if isinstance(asked, Query) else {}),
        "manifest digest: the release pins none": accepted.release.manifest is None,
        "mode: the policy lists none": not policy.modes,
        "URL: the policy lists none": not policy.urls,
        "method: the policy lists none": not policy.methods,
        "upstream public key: chosen by the enclave's root store": not policy.tls.spki,
        f"values of withheld headers: {', '.join(withheld)}": bool(withheld),
        "the enclave's clock since its session began": reply.attestation.mode == "session",
        "boot and seq: whether other statements were held back": True,
        "the courier's error text": reply.error is not None,
        **results.unchecked(statement, policy.schemas),
        "whether the upstream told the truth": True,
    }
    return tuple(line for line, applies in lines.items() if applies)
