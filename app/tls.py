"""TLS where gunicorn itself ends it, with client certificates where roots for them are given.

As shipped, gunicorn makes a context for every connection, and a silent TLS peer holds its thread for ever: OpenSSL asks
again where a socket's own timeout (SO_RCVTIMEO) ends a plain read. Here one context serves all, handshakes take no
thread while they wait, and sockets are patient for SILENCE_SECONDS.
"""

import ssl
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from app.callers.caller import Certificate
from app.patience import PAUSE_SECONDS, SILENCE_SECONDS, Patient

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"  # of TLS 1.2; those of 1.3 are all of this kind
_KINDS = ("DNS", "URI", "email")


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """Paths of PEM files. With `client_roots` a client has to show a certificate below one of them."""

    certificate: str
    key: str
    client_roots: str | None = None


class Connection(Patient, ssl.SSLSocket):
    """A connection that is never blocked for ever, and knows its client's certificate."""

    _client: Certificate | None = None
    _shaken = False

    def setblocking(self, flag: bool) -> None:
        """Set a limited patience where gunicorn asks for an unlimited one."""
        self.settimeout(SILENCE_SECONDS if flag else 0.0)

    def do_handshake(self, block: bool = False) -> None:
        """Shake hands within that patience between two packets."""
        if self.gettimeout() is None:
            self.settimeout(SILENCE_SECONDS)
        super().do_handshake(block)

    def take(self, size: int) -> bytes:
        """As `Patient.take`; as much of the handshake as is still to be done comes first."""
        self.settimeout(0.0)
        try:
            if not self._shaken:
                self.do_handshake()
                self._shaken = True
            return ssl.SSLSocket.recv(self, size)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as exc:
            raise BlockingIOError from exc

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        """As `Patient.sendall`."""
        timeout = self.gettimeout()
        self.settimeout(timeout and PAUSE_SECONDS)
        super().sendall(data, flags)
        self.settimeout(timeout)

    @property
    def client_certificate(self) -> Certificate | None:
        """The client's certificate, which the handshake has checked; None where none was asked for."""
        if self._client is None:
            der = self.getpeercert(binary_form=True)
            said: Any = self.getpeercert()
            if der and said:  # the dictionary is empty where a certificate was not checked
                names = frozenset(f"{kind}:{name}" for kind, name in said.get("subjectAltName", ()) if kind in _KINDS)
                self._client = Certificate(digest=sha256(der).digest(), names=names)
        return self._client


def context(files: TlsFiles) -> ssl.SSLContext:
    """Return the context of the server: TLS 1.2 or later.

    Raises:
        OSError (ssl.SSLError among them): a file cannot be read, or is not what it should be.
    """
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.set_ciphers(CIPHERS)
    made.sslsocket_class = Connection
    made.load_cert_chain(files.certificate, files.key)
    if files.client_roots is not None:
        made.load_verify_locations(cafile=files.client_roots)
        made.verify_mode = ssl.CERT_REQUIRED
    return made
