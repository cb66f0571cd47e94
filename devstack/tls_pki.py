"""A test CA and the server certificates that it signs for the upstream stand-ins.

Rule: keys are made at start and live in memory; nothing here is a secret worth keeping and nothing may
be trusted outside a test or `make run`. A leaf says what its Profile says, wrong things included: the
wrong ones are in tls_variants. Profile of the good ones: RFC 5280 section 4.2, names as in RFC 9525.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from devstack.tls_identity import ServerIdentity

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

CA_LIFETIME = dt.timedelta(days=30)
LEAF_LIFETIME = dt.timedelta(days=7)
CLOCK_SKEW = dt.timedelta(hours=1)  # a laptop's clock against a container's


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What a leaf certificate says. `dns` empty leaves the subjectAltName out altogether."""

    common_name: str
    dns: tuple[str, ...]
    not_before: dt.datetime
    not_after: dt.datetime
    ca: bool = False
    key_cert_sign_only: bool = False
    usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.SERVER_AUTH


class Authority:
    """A root CA for tests: P-256, self-signed, valid for 30 days around `now`.

    `now` is the time the certificates are made for; without it the machine's clock is read once, here.
    """

    def __init__(self, *, name: str = "devstack test CA", now: dt.datetime | None = None) -> None:
        self.now = dt.datetime.now(dt.UTC) if now is None else now
        self._key: PrivateKey = ec.generate_private_key(ec.SECP256R1())
        self._subject = _name(name)
        self._certificate = self._root()

    @property
    def roots_pem(self) -> str:
        """The CA certificate, PEM: the only root a client of these stand-ins needs."""
        return self._certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")

    def write_roots(self, directory: Path) -> Path:
        """Writes `devstack-ca.pem` (the certificate; never the key) and returns its path."""
        path = directory / "devstack-ca.pem"
        path.write_text(self.roots_pem, encoding="ascii")
        return path

    def issue(self, *hosts: str) -> ServerIdentity:
        """Returns a good identity for these DNS names (or IP addresses).

        Raises: ValueError without a name.
        """
        if not hosts:
            raise ValueError("a certificate needs at least one host name")
        return self.sign(self.profile(*hosts))

    def profile(self, *hosts: str) -> Profile:
        """Returns the profile of a good leaf; the hostile variants change one field of it."""
        return Profile(
            common_name=hosts[0],
            dns=hosts,
            not_before=self.now - CLOCK_SKEW,
            not_after=self.now + LEAF_LIFETIME,
        )

    def sign(self, profile: Profile, *, key: PrivateKey | None = None) -> ServerIdentity:
        """Signs a leaf under this CA; `key` defaults to a new P-256 key."""
        key = ec.generate_private_key(ec.SECP256R1()) if key is None else key
        leaf = _leaf(profile, key, issuer=self._subject, issuer_key=self._key)
        return _identity(key, leaf)

    def sign_below(self, issuer: Profile, profile: Profile) -> ServerIdentity:
        """Signs `profile` with the key of a leaf of ours: a chain through something that is no CA."""
        middle_key = ec.generate_private_key(ec.SECP256R1())
        middle = _leaf(issuer, middle_key, issuer=self._subject, issuer_key=self._key)
        key = ec.generate_private_key(ec.SECP256R1())
        leaf = _leaf(profile, key, issuer=middle.subject, issuer_key=middle_key)
        return _identity(key, leaf, middle)

    def self_signed(self, profile: Profile) -> ServerIdentity:
        """Signs a leaf with its own key; of this CA it takes nothing but the clock in the profile."""
        key = ec.generate_private_key(ec.SECP256R1())
        return _identity(key, _leaf(profile, key, issuer=_name(profile.common_name), issuer_key=key))

    def _root(self) -> x509.Certificate:
        builder = _builder(self._subject, self._subject, self._key)
        builder = builder.not_valid_before(self.now - CLOCK_SKEW).not_valid_after(self.now + CA_LIFETIME)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
        builder = builder.add_extension(_key_usage(leaf=False, issuer=True), critical=True)
        return builder.sign(self._key, hashes.SHA256())


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(subject: x509.Name, issuer: x509.Name, key: PrivateKey) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer)
    builder = builder.serial_number(x509.random_serial_number()).public_key(key.public_key())
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return builder.add_extension(identifier, critical=False)


def _key_usage(*, leaf: bool, issuer: bool, rsa_exchange: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=leaf,
        key_encipherment=rsa_exchange,
        key_cert_sign=issuer,
        crl_sign=issuer,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _leaf(profile: Profile, key: PrivateKey, *, issuer: x509.Name, issuer_key: PrivateKey) -> x509.Certificate:
    builder = _builder(_name(profile.common_name), issuer, key)
    builder = builder.not_valid_before(profile.not_before).not_valid_after(profile.not_after)
    constraints = x509.BasicConstraints(ca=profile.ca, path_length=None)
    builder = builder.add_extension(constraints, critical=True)
    usage = _key_usage(
        leaf=not profile.key_cert_sign_only,
        issuer=profile.ca,
        rsa_exchange=isinstance(key, rsa.RSAPrivateKey),
    )
    builder = builder.add_extension(usage, critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([profile.usage]), critical=False)
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    builder = builder.add_extension(identifier, critical=False)
    if profile.dns:
        names = x509.SubjectAlternativeName([_general_name(name) for name in profile.dns])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _identity(key: PrivateKey, *chain: x509.Certificate) -> ServerIdentity:
    return ServerIdentity(
        chain_pem=b"".join(one.public_bytes(serialization.Encoding.PEM) for one in chain),
        key_pem=key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
        certificate=chain[0].public_bytes(serialization.Encoding.DER),
    )
