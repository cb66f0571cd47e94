"""TLS to the upstream: which peers are believed, and the fingerprint of the one that answered.

Rules: TLS 1.2 or later, ECDHE key exchange and AEAD ciphers only; the name is checked against subjectAltName, never
against the common name; an end of stream without close_notify is an error. Python hides such an end twice over: its
`suppress_ragged_eofs` default, and OP_IGNORE_UNEXPECTED_EOF, which it sets on every context. Both are switched off
here, or a host that cuts the connection could have a stump attested.
"""

import hashlib
import socket
import ssl

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from enclave_worker.upstream.exchange import Transport, UpstreamError

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"  # for TLS 1.2; every TLS 1.3 suite is AEAD with (EC)DHE


def client_context(roots_pem: str) -> ssl.SSLContext:
    """Return a context that believes the certificate authorities in `roots_pem` and no others.

    Not checked, as everywhere in the Web PKI of today: revocation and certificate transparency.

    Raises:
        ValueError: there is no root in it.
        ssl.SSLError: it is not PEM.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # CERT_REQUIRED and check_hostname are on
    context.load_verify_locations(cadata=roots_pem)
    if not context.get_ca_certs():
        raise ValueError("no trusted root certificates: every upstream would be refused")
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.set_alpn_protocols(["http/1.1"])
    context.hostname_checks_common_name = False
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    return context


def handshake(sock: socket.socket, context: ssl.SSLContext, host: str, *, timeout: float) -> ssl.SSLSocket:
    """Return `sock` under TLS, its peer proven to be `host`. `sock` belongs to the result, or is closed.

    `timeout` (seconds) covers the whole handshake, however slowly its bytes drip.

    Raises:
        UpstreamError: "tls" or "timeout".
    """
    sock.settimeout(timeout)
    try:
        return context.wrap_socket(sock, server_hostname=host, suppress_ragged_eofs=False)
    except TimeoutError as exc:
        sock.close()
        raise UpstreamError("timeout", "tls: the handshake took too long") from exc
    except ssl.SSLCertVerificationError as exc:
        sock.close()
        raise UpstreamError("tls", f"certificate: {exc.verify_message}") from exc
    except (OSError, ValueError) as exc:
        sock.close()
        raise UpstreamError("tls", f"handshake: {reason(exc)}") from exc


def transport(sock: ssl.SSLSocket) -> Transport:
    """Return how `sock` reaches its peer: version, cipher and the fingerprints of the leaf certificate.

    Raises:
        UpstreamError: the peer showed no certificate, or one whose key cannot be read.
    """
    certificate = sock.getpeercert(binary_form=True)
    cipher = sock.cipher()
    if certificate is None or cipher is None:
        raise UpstreamError("tls", "the peer showed no certificate")
    return Transport(
        tls=sock.version(),
        cipher=cipher[0],
        certificate=hashlib.sha256(certificate).digest(),
        spki=hashlib.sha256(_spki(certificate)).digest(),
    )


def is_cut(error: BaseException | None) -> bool:
    """Whether the stream ended without close_notify. Python 3.11.2 has no class for OpenSSL 3's error."""
    return isinstance(error, ssl.SSLEOFError) or (
        isinstance(error, ssl.SSLError) and error.reason == "UNEXPECTED_EOF_WHILE_READING"
    )


def reason(error: Exception) -> str:
    """Return OpenSSL's own name for an error, such as `TLSV1_ALERT_PROTOCOL_VERSION`: no text of the peer's."""
    if is_cut(error) or isinstance(error, ConnectionError):
        return "the connection ended, as it does where the proxy cannot reach the upstream"
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__


def _spki(certificate: bytes) -> bytes:
    try:
        key = x509.load_der_x509_certificate(certificate).public_key()
        return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise UpstreamError("tls", "the certificate's public key cannot be read") from exc
