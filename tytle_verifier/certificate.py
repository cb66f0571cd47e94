"""One X.509 certificate as the few facts that step 3 judges (RULES K1, X3-X10).

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
from cryptography.x509.oid import NameOID, SignatureAlgorithmOID

from tytle_verifier.errors import DocumentError

MAX_CERTIFICATE_BYTES = 1024  # AWS attestation_process.md 3.2.1: cert = bytes .size (1..1024)
_Kind = TypeVar("_Kind", bound=x509.ExtensionType)
_UNDERSTOOD_CRITICAL = (x509.BasicConstraints.oid, x509.KeyUsage.oid)
_UNREADABLE = (
    ValueError,
    TypeError,
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

    Raises: DocumentError (RULES K1, K2).
    """
    if not 1 <= len(der) <= MAX_CERTIFICATE_BYTES:
        raise DocumentError(f"{name} size", got=f"{len(der)} bytes", expected=f"1..{MAX_CERTIFICATE_BYTES}")
    try:
        return _facts(der)
    except _UNREADABLE as error:
        raise DocumentError(f"{name} is not one DER certificate", got=str(error)) from error


@lru_cache(maxsize=512)  # a pure function of the bytes: it remembers what they say, not whether it is true
def _facts(der: bytes) -> Certificate:
    parsed = x509.load_der_x509_certificate(der)
    constraints, usage = _extension(parsed, x509.BasicConstraints), _extension(parsed, x509.KeyUsage)
    key = parsed.public_key()
    on_p384 = isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP384R1)
    names = parsed.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return Certificate(
        der=der,
        subject=parsed.subject.public_bytes(),
        issuer=parsed.issuer.public_bytes(),
        common_name=str(names[0].value) if len(names) == 1 else "",
        not_before=parsed.not_valid_before_utc,
        not_after=parsed.not_valid_after_utc,
        version_3=parsed.version is x509.Version.v3,
        ecdsa_sha384=parsed.signature_algorithm_oid == SignatureAlgorithmOID.ECDSA_WITH_SHA384,
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


def _extension(parsed: x509.Certificate, kind: type[_Kind]) -> x509.Extension[_Kind] | None:
    try:
        return parsed.extensions.get_extension_for_class(kind)
    except x509.ExtensionNotFound:
        return None
