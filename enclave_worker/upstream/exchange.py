"""What came of one request to an upstream: an answer or a failure, both worth a statement."""

from dataclasses import dataclass
from typing import Literal

Framing = Literal["content-length", "chunked", "close", "none"]
FailureKind = Literal["connect", "tls", "timeout", "truncated", "malformed", "too-large"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Transport:
    """How the upstream was reached. `tls` and `cipher` are OpenSSL's names, None over plain HTTP.

    `certificate` is the SHA-256 of the leaf certificate (DER), `spki` that of its SubjectPublicKeyInfo (DER).
    """

    tls: str | None = None
    cipher: str | None = None
    certificate: bytes | None = None
    spki: bytes | None = None


PLAIN = Transport()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A complete final response: header fields in their order and spelling, body bytes as sent, not decompressed.

    `sha256` is that of the body, taken once: bodies have megabytes. `framing` says what ended the body; "close" stands
    for a TLS close_notify. `attempts` counts the connections on which the request was begun.
    """

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    sha256: bytes
    framing: Framing
    transport: Transport
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """No complete response. `detail` is made of our own words, never of bytes from the peer.

    Kinds: "connect" (no byte stream to the upstream), "tls" (handshake, certificate, name, version, alert), "timeout"
    (a phase's deadline), "truncated" (the connection ended before the message did), "malformed" (not strict HTTP/1.1),
    "too-large" (head or body above its cap). `transport` is None when the TLS handshake was not finished.
    """

    kind: FailureKind
    detail: str
    transport: Transport | None
    attempts: int


class UpstreamError(Exception):
    """Raised inside this folder, turned into a `Failure` by `client.Client`."""

    def __init__(self, kind: FailureKind, detail: str) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind
        self.detail = detail
