"""A server's certificate and key, as files hold them: what a stand-in needs of a CA, without the CA or its library."""

from __future__ import annotations

import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

GOOD_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerIdentity:
    """A certificate chain and its key, PEM, leaf first. `certificate` is the leaf in DER."""

    chain_pem: bytes
    key_pem: bytes
    certificate: bytes

    def context(self) -> ssl.SSLContext:
        """Returns a server context for TLS 1.2 and 1.3 with ECDHE and AEAD suites, no ALPN."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(GOOD_CIPHERS)
        with tempfile.TemporaryDirectory(prefix="devstack-tls-") as directory:
            chain, key = Path(directory, "chain.pem"), Path(directory, "key.pem")
            chain.write_bytes(self.chain_pem)
            key.write_bytes(self.key_pem)
            context.load_cert_chain(chain, key)
        return context


class Issuer(Protocol):
    """Whoever has an identity for a host name: a test CA, or a folder that one has filled."""

    def issue(self, *hosts: str) -> ServerIdentity:
        """Returns an identity for these host names."""
        ...


class IssuedBefore:
    """The identities in a folder, each as HOST.chain.pem and HOST.key.pem; written on another machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def issue(self, *hosts: str) -> ServerIdentity:
        """Returns the identity of the one host. Raises: OSError; ValueError for more hosts than one."""
        (host,) = hosts
        chain = (self._folder / f"{host}.chain.pem").read_bytes()
        key = (self._folder / f"{host}.key.pem").read_bytes()
        first = chain.decode("ascii").partition("-----END CERTIFICATE-----")
        return ServerIdentity(
            chain_pem=chain, key_pem=key, certificate=ssl.PEM_cert_to_DER_cert(first[0] + first[1] + "\n")
        )
