"""The calls of a query as a derivation takes them: one after the other, each compared with the request it must be.

A derivation asks for the next call with the request that the specification says; what it gets is the upstream's
answer. Credentials are withheld from statements, so of them only the name is compared.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tytle_verifier.errors import DerivationError, shown
from tytle_verifier.statement import SentRequest, Value

Values = Mapping[str, Value]


class Unanswered(Exception):
    """The upstream's answer gives no values: `code` is one of DERIVATIONS.md's. Never leaves this folder."""

    def __init__(self, code: str, problem: str) -> None:
        self.code, self.problem = code, problem
        super().__init__(f"{code}: {problem}")


class CallsEnded(Exception):
    """The derivation needs a call that the statement does not have. Never leaves this folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One complete call: what the statement says of it, and the raw body that its digest vouches for."""

    request: SentRequest
    status: int
    headers: tuple[tuple[str, bytes], ...]
    body: bytes

    def sent(self, body: bytes) -> bool:
        """Say whether `body` was the request's."""
        digest = self.request.body
        return len(body) == digest.length and hashlib.sha256(body).digest() == digest.sha256

    def response_headers(self, name: str) -> tuple[str, ...]:
        """Return the values of a header, whose `name` is lower case, in their order, as Latin-1."""
        return tuple(value.decode("latin-1") for key, value in self.headers if key.lower() == name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a request header must be: its `value` (None for any), or `secret`, which the statement withholds."""

    value: str | None = None
    secret: bool = False
    optional: bool = False


Headers = Mapping[str, Header]


@dataclass(slots=True, kw_only=True)
class Trace:
    """Hands out the calls in order. `compared` and `not_compared` are lines for the report.

    `claimed` are the values that the statement has, None where it has an error: a derivation may look there for
    parameters only, and has to find them in a request.
    """

    calls: tuple[Call, ...]
    claimed: Values | None = None
    taken: int = 0
    compared: list[str] = field(default_factory=list)
    not_compared: list[str] = field(default_factory=list)

    def next(self, method: str, url: str | Callable[[str], bool], headers: Headers, body: bytes | None = None) -> Call:
        """Return the next call, if its request is this one; a `body` of None is left to the derivation.

        Raises: CallsEnded; DerivationError for another request.
        """
        if self.taken == len(self.calls):
            raise CallsEnded
        call, number = self.calls[self.taken], self.taken + 1
        sent = call.request
        if sent.method != method:
            raise DerivationError(f"method of call {number}", got=method, expected=sent.method)
        if not (sent.url == url if isinstance(url, str) else url(sent.url)):
            raise DerivationError(f"URL of call {number}", expected=_without_query(sent.url))
        self._check_headers(number, sent, headers)
        if body is not None:
            self.check_body(call, body)
        self.taken = number
        return call

    def check_body(self, call: Call, body: bytes) -> None:
        """Demand that `body` was the request's. Raises: DerivationError."""
        if not call.sent(body):
            number = self.calls.index(call) + 1
            got = f"SHA-256 {hashlib.sha256(body).hexdigest()}, {len(body)} bytes"
            expected = f"SHA-256 {call.request.body.sha256.hex()}, {call.request.body.length} bytes"
            raise DerivationError(f"request body of call {number}", got=got, expected=expected)

    def _check_headers(self, number: int, sent: SentRequest, headers: Headers) -> None:
        names = sorted(name.lower() for name, _ in sent.headers)
        if names != sorted(name for name, header in headers.items() if not header.optional or name in names):
            known = ", ".join(sorted(headers))
            raise DerivationError(f"request headers of call {number}", got=known, expected=", ".join(names))
        for name, value in sent.headers:
            wanted = headers[name.lower()]
            if wanted.secret is not (value is None):
                raise DerivationError(f"request header {shown(name)} of call {number}: withheld or not")
            if value is not None and wanted.value is not None and value != wanted.value.encode():
                raise DerivationError(
                    f"request header {shown(name)} of call {number}", expected=value.decode("latin-1")
                )


def _without_query(url: str) -> str:
    """Return a URL for an error: a query may hold secrets, and errors travel far."""
    path, mark, _ = url.partition("?")
    return f"{path}{mark}{'...' if mark else ''}"


def check_status(status: int, *, unauthorised: str = "upstream-unauthorised", other: str = "upstream-fault") -> None:
    """Demand 200. `other` is the code of what has none of its own outside 4xx.

    Raises: Unanswered with the code that the status has by itself.
    """
    if status == 200:
        return
    if status in (401, 403):
        raise Unanswered(unauthorised, f"status {status}")
    if status == 429 or status >= 500:
        raise Unanswered("upstream-unavailable", f"status {status}")
    raise Unanswered("upstream-fault" if 400 <= status < 500 else other, f"status {status}")


def malformed(problem: str) -> Unanswered:
    """Return that the answer has not the documented shape."""
    return Unanswered("upstream-malformed", problem)
