"""One case of the corpus: a script and what a strict client must make of it.

Rule: the expectation follows the RFC named in `why`; "ours" marks a rule that is stricter than the RFC.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.hostile.actions import Action, ReadRequest, Script, Send

PLAIN = "plain"  # plain HTTP; the manifest says tls = false
RAW = "raw"  # plain TCP where the client expects TLS

TLS_1_2 = "TLSv1.2"
TLS_1_3 = "TLSv1.3"
BOTH = (TLS_1_2, TLS_1_3)

OK = b"HTTP/1.1 200 OK\r\n"
MAX_BODY = 64 * 1024  # bytes; what the client under test is told to accept


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A complete answer. `headers`, if given: those named X-*, in order, names in lower case."""

    status: int = 200
    body: bytes = b"hello"
    framing: str = "content-length"
    headers: tuple[tuple[bytes, bytes], ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """No answer, for one of the six kinds of failure."""

    kind: str


Expected = Answered | Failed

TLS = Failed(kind="tls")
TIMEOUT = Failed(kind="timeout")
TRUNCATED = Failed(kind="truncated")
MALFORMED = Failed(kind="malformed")
TOO_LARGE = Failed(kind="too-large")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """`variant` names an entry of devstack.tls_variants.VARIANTS, or is PLAIN or RAW."""

    name: str
    script: Script
    expect: Expected
    why: str
    variant: str = "good"
    versions: tuple[str, ...] = (TLS_1_3,)
    method: str = "GET"


def reply(data: bytes, *end: Action) -> Script:
    """A script that reads a request, sends `data` in one piece, and then does `end`."""
    return (ReadRequest(), Send(data), *end)


def head(*fields: bytes, status: bytes = OK) -> bytes:
    """A response head: status line, fields, empty line, every line ended by CRLF."""
    return status + b"".join(field + b"\r\n" for field in fields) + b"\r\n"


def sized(*fields: bytes, status: bytes = OK, body: bytes = b"hello") -> bytes:
    """A response with a right Content-Length."""
    return head(*fields, b"Content-Length: %d" % len(body), status=status) + body


def chunked(data: bytes) -> bytes:
    """A chunked response whose body is `data`, chunk sizes and all, as given."""
    return head(b"Transfer-Encoding: chunked") + data


HELLO = sized()
CHUNKED_HELLO = chunked(b"5\r\nhello\r\n0\r\n\r\n")
CLOSE_HELLO = head() + b"hello"
