"""Reads what a caller shows: the header Authorization, and a certificate that a proxy in front passes on."""

import base64
import re
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from app.callers.caller import Certificate

_BEARER = re.compile(r"bearer +([A-Za-z0-9._~+/-]{1,512}=*)", re.IGNORECASE)  # RFC 6750 2.1
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----\s*", re.ASCII)
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_REMEMBERED = 256


class ProofError(Exception):
    """What was shown cannot be read. The message repeats nothing of it."""

    advice = "Send one header Authorization: Bearer TOKEN, or a certificate that the parent knows."


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxies:
    """Who may say which certificate a caller showed: peers by address, or whoever reaches the unix socket."""

    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    unix: bool = False

    def include(self, peer: str) -> bool:
        """Whether `peer` is one of them: an IP address, or "" for a peer on a unix socket."""
        if not peer:
            return self.unix
        if not self.networks:
            return False
        try:
            address = ip_address(peer)
        except ValueError:
            return False
        return any(address in network for network in self.networks)


def parse_proxies(text: str) -> Proxies:
    """Read addresses and networks with commas between; `unix` among them stands for the unix socket.

    Raises:
        ValueError: one of them is neither.
    """
    entries = {entry.strip() for entry in text.split(",")} - {""}
    networks = tuple(ip_network(entry) for entry in sorted(entries - {"unix"}))
    if any(network.prefixlen == 0 for network in networks):
        raise ValueError("a network of all addresses trusts everybody")
    return Proxies(networks=networks, unix="unix" in entries)


def bearer(authorization: str) -> str:
    """Return the token of a header Authorization.

    Raises:
        ProofError: another scheme, or no token of RFC 6750.
    """
    match = _BEARER.fullmatch(authorization)
    if match is None:
        raise ProofError("expected the header Authorization: Bearer TOKEN")
    return match[1]


@lru_cache(_REMEMBERED)
def forwarded(header: str) -> Certificate:
    """Return the certificate in a proxy's header Client-Cert.

    Two spellings: RFC 9440 (base64 of the DER between colons), and PEM percent-encoded (nginx:
    `$ssl_client_escaped_cert`). The subjectAltNames are not read: such callers are known by digest.

    Raises:
        ProofError: neither.
    """
    return Certificate(digest=sha256(_der(header)).digest())


def pem_digest(pem: str) -> str:
    """Return the SHA-256 of one PEM certificate's DER, in hex. Raises ProofError: it is none."""
    match = _PEM.fullmatch(pem.strip())
    if match is None:
        raise ProofError("expected one certificate in PEM")
    return sha256(_decoded("".join(match[1].split()))).hexdigest()


def _der(header: str) -> bytes:
    if len(header) > 2 and header.startswith(":") and header.endswith(":"):
        return _decoded(header[1:-1])
    match = _PEM.fullmatch(_ESCAPE.sub(lambda found: chr(int(found[1], 16)), header))
    if match is None:
        raise ProofError("expected the certificate as RFC 9440 or nginx writes it")
    return _decoded("".join(match[1].split()))


def _decoded(text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError as exc:
        raise ProofError("the certificate is not base64") from exc
    if not data.startswith(b"\x30"):  # DER SEQUENCE
        raise ProofError("the certificate is not DER")
    return data
