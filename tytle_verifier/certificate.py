"""One X.509 certificate as the few facts that step 3 judges.

Parsing is `cryptography`'s, which takes exactly one DER certificate. Nothing is judged here except that the bytes are
such a certificate and that its extensions can be read; a certificate is believed only after `chain.verify`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tytle_verifier.errors import DocumentError

# What AWS's certificates carry, byte for byte; every other encoding of the same key or algorithm is refused.
P384_SPKI = bytes.fromhex("3076301006072a8648ce3d020106052b8104002203620004")  # named curve, uncompressed: RFC 5480
ECDSA_SHA384 = bytes.fromhex("300a06082a8648ce3d040303")  # without parameters: RFC 5758, 3.2
MAX_SERIAL_BITS = 160  # RFC 5280, 4.1.2.2 means 159; AWS has certificates with 160
MAX_CERTIFICATE_BYTES = 1024  # AWS attestation_process.md 3.2.1: cert = bytes .size (1..1024)
_Kind = TypeVar("_Kind", bound=x509.ExtensionType)
_UNDERSTOOD_CRITICAL = (x509.BasicConstraints.oid, x509.KeyUsage.oid)
_UNREADABLE = (
    ValueError,
    TypeError,
    KeyError,  # an unknown TLS feature (RFC 7633): cryptography looks it up in a table
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
    Warning,  # `python -W error`: what cryptography only complains about is refused
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """The facts of one certificate. Times are aware UTC datetimes; `key` is None unless it lies on P-384.

    `is_ca` is None and `constraints_critical` False where there are no basic constraints; `path_length` is None where
    it is not limited; `unknown_critical` lists the OIDs of critical extensions that step 3 does not process.
    """

    der: bytes
    subject: bytes
    issuer: bytes
    common_name: str
    not_before: datetime
    not_after: datetime
    version_3: bool
    ecdsa_sha384: bool
    key: ec.EllipticCurvePublicKey | None
    is_ca: bool | None
    constraints_critical: bool
    path_length: int | None
    digital_signature: bool
    key_cert_sign: bool
    unknown_critical: tuple[str, ...]
    parsed: x509.Certificate


def load(der: bytes, *, name: str) -> Certificate:
    """Read one DER certificate of 1..1024 bytes; `name` is how errors call it, for example `cabundle[2]`.

    Raises: DocumentError.
    """
    if not 1 <= len(der) <= MAX_CERTIFICATE_BYTES:
        raise DocumentError(f"{name} size", got=f"{len(der)} bytes", expected=f"1..{MAX_CERTIFICATE_BYTES}")
    try:
        return _facts(der)
    except _UNREADABLE as error:
        raise DocumentError(f"{name} is not one DER certificate", got=f"{type(error).__name__}: {error}") from error


@lru_cache(maxsize=512)  # a pure function of the bytes: it remembers what they say, not whether it is true
def _facts(der: bytes) -> Certificate:
    parsed = x509.load_der_x509_certificate(der)
    if not 0 < parsed.serial_number < 1 << MAX_SERIAL_BITS:  # cryptography only warns of some
        raise ValueError("the serial number is not positive, or too long")
    constraints, usage = _extension(parsed, x509.BasicConstraints), _extension(parsed, x509.KeyUsage)
    key = parsed.public_key()
    on_p384 = (
        isinstance(key, ec.EllipticCurvePublicKey)
        and isinstance(key.curve, ec.SECP384R1)
        and P384_SPKI in parsed.tbs_certificate_bytes
    )
    names = parsed.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return Certificate(
        der=der,
        subject=parsed.subject.public_bytes(),
        issuer=parsed.issuer.public_bytes(),
        common_name=str(names[0].value) if len(names) == 1 else "",
        not_before=parsed.not_valid_before_utc,
        not_after=parsed.not_valid_after_utc,
        version_3=parsed.version is x509.Version.v3,
        ecdsa_sha384=_is_ecdsa_sha384(der, parsed),
        key=key if on_p384 else None,  # type: ignore[arg-type]  # narrowed by on_p384
        is_ca=None if constraints is None else constraints.value.ca,
        constraints_critical=constraints is not None and constraints.critical,
        path_length=None if constraints is None else constraints.value.path_length,
        digital_signature=usage is not None and usage.value.digital_signature,
        key_cert_sign=usage is not None and usage.value.key_cert_sign,
        unknown_critical=tuple(
            e.oid.dotted_string for e in parsed.extensions if e.critical and e.oid not in _UNDERSTOOD_CRITICAL
        ),
        parsed=parsed,
    )


def _is_ecdsa_sha384(der: bytes, parsed: x509.Certificate) -> bool:
    """Tell whether both algorithm identifiers are exactly ecdsa-with-SHA384, and the signature has no unused bits."""
    signature = parsed.signature
    length = len(signature) + 1
    head = b"\x03" + (bytes([length]) if length < 128 else b"\x81" + bytes([length])) + b"\x00"
    inside = ECDSA_SHA384 in parsed.tbs_certificate_bytes
    return inside and der.endswith(ECDSA_SHA384 + head + signature)


def _extension(parsed: x509.Certificate, kind: type[_Kind]) -> x509.Extension[_Kind] | None:
    try:
        return parsed.extensions.get_extension_for_class(kind)
    except x509.ExtensionNotFound:
        return None
