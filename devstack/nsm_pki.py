"""A certificate authority shaped like AWS's for Nitro Enclaves, with keys that this process makes. For tests only.

Copied from documents which AWS signed in 2025 and 2026: names, their order and string types, extensions, their order
and criticality, serial numbers, lifetimes. What differs on purpose: the keys, the root's common name, and the hosts
of the CRLs, which nobody serves.

    root      test.nitro-enclaves (AWS: aws.nitro-enclaves)     30 years + 1 hour    no pathLen
    regional  <16 hex>.<region>.aws.nitro-enclaves              20 days + 1 hour     pathLen 2
    zonal     <16 hex>.zonal.<region>.aws.nitro-enclaves        6 days               pathLen 1
    instance  <instance id>.<region>.aws.nitro-enclaves         1 day                pathLen 0
    leaf      <module id>.<region>.aws                          3 hours + 3 seconds  no CA
"""

import datetime as dt
import secrets
import threading
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

TEST_ROOT_NAME = "test.nitro-enclaves"

# The window of AWS's own root (aws.nitro-enclaves, G1), so that any clock of today will do.
ROOT_NOT_BEFORE = dt.datetime(2019, 10, 28, 13, 28, 5, tzinfo=dt.UTC)
ROOT_NOT_AFTER = dt.datetime(2049, 10, 28, 14, 28, 5, tzinfo=dt.UTC)
REGIONAL_LIFETIME = dt.timedelta(days=20, hours=1)
ZONAL_LIFETIME = dt.timedelta(days=6)  # AWS's last 5.5 to 6 days
INSTANCE_LIFETIME = dt.timedelta(days=1)
LEAF_LIFETIME = dt.timedelta(hours=3)
BACKDATED = dt.timedelta(seconds=3)  # AWS's leaves are valid from 3 s before they were issued
LEAF_RENEWAL = dt.timedelta(minutes=30)  # left when renewed; AWS's are seen in use until 38 minutes are left

_PEM, _PKCS8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
_Extensions = list[tuple[x509.ExtensionType, bool]]  # with their criticality, in the order of the certificate


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """A CA certificate and its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """What an NSM signs with: its P-384 key, its certificate, and `cabundle`, root first. All certificates DER."""

    key: ec.EllipticCurvePrivateKey
    certificate: bytes
    cabundle: tuple[bytes, ...]
    not_before: dt.datetime
    not_after: dt.datetime

    def serves(self, now: dt.datetime) -> bool:
        """Whether a document may be signed at `now`: the leaf is valid and not yet due for renewal."""
        return self.not_before <= now < self.not_after - LEAF_RENEWAL


class NsmPki:
    """One root and what hangs below it. Share it between `SoftNsm`s of one test run; it may be used by threads.

    Creating it makes one key and one certificate (about 1 ms). The three levels between root and leaf are made when
    an instance's first leaf is asked for, and anew when its certificates do not cover the life of the next one.
    """

    def __init__(
        self, *, region: str = "us-east-1", root_name: str = TEST_ROOT_NAME, root: Authority | None = None
    ) -> None:
        self.region = region
        self._lock = threading.Lock()
        self._root = root or _root(root_name)
        self._chains: dict[str, tuple[Authority, ...]] = {}

    @classmethod
    def kept_in(cls, certificate: Path, key: Path) -> Self:
        """Return the one whose root is in these two PEM files, which are written where they are not there yet."""
        if not key.exists():
            made = cls()
            key.write_bytes(made._root.key.private_bytes(_PEM, _PKCS8, serialization.NoEncryption()))
            certificate.write_text(made.root_pem, encoding="ascii")
            return made
        read = serialization.load_pem_private_key(key.read_bytes(), password=None)
        if not isinstance(read, ec.EllipticCurvePrivateKey):
            raise TypeError(f"{key} holds no key of an NSM's root")
        return cls(root=Authority(certificate=x509.load_pem_x509_certificate(certificate.read_bytes()), key=read))

    @property
    def root_der(self) -> bytes:
        """The root certificate in DER: what a verifier under test has to trust."""
        return _der(self._root.certificate)

    @property
    def root_pem(self) -> str:
        """The root certificate in PEM."""
        return self._root.certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")

    def issue_leaf(self, module_id: str, *, now: dt.datetime) -> Leaf:
        """Make a key and a certificate for the module `module_id`, valid from 3 s before `now` for 3 hours.

        Raises ValueError if `now` is outside of what the root can certify, October 2019 to October 2049.
        """
        issued = now.replace(microsecond=0)
        instance_id, _, enclave_id = module_id.partition("-enc")
        chain = self._chain(instance_id, issued)
        key = _new_key()
        certificate = _certificate(
            subject=_long_name(f"{module_id}.{self.region}.aws"),
            key=key,
            issuer=chain[-1],
            serial=int(enclave_id, 16) << 64 | int(issued.timestamp()),
            valid=(issued - BACKDATED, issued + LEAF_LIFETIME),
            extensions=[
                (x509.BasicConstraints(ca=False, path_length=None), True),
                (_key_usage("digital_signature", "content_commitment"), False),
            ],
        )
        return Leaf(
            key=key,
            certificate=_der(certificate),
            cabundle=tuple(_der(authority.certificate) for authority in chain),
            not_before=certificate.not_valid_before_utc,
            not_after=certificate.not_valid_after_utc,
        )

    def _chain(self, instance_id: str, now: dt.datetime) -> tuple[Authority, ...]:
        """Return root, regional, zonal and instance, each valid during the whole life of a leaf issued `now`."""
        with self._lock:
            chain = self._chains.get(instance_id)
            if chain is None or not _covers_leaf(chain[-1], now):
                chain = self._chains[instance_id] = self._new_chain(instance_id, now)
            return chain

    def _new_chain(self, instance_id: str, now: dt.datetime) -> tuple[Authority, ...]:
        if not ROOT_NOT_BEFORE + BACKDATED <= now <= ROOT_NOT_AFTER - REGIONAL_LIFETIME:
            raise ValueError(f"the test root is valid from October 2019 to October 2049, got {now}")
        regional = _authority(
            _short_name(f"{secrets.token_hex(8)}.{self.region}.aws.nitro-enclaves"),
            self._root,
            _validity(now, REGIONAL_LIFETIME),
            path_length=2,
            crl_host="aws-nitro-enclaves-crl.s3.test.invalid",
        )
        zonal = _authority(
            _zonal_name(f"{secrets.token_hex(8)}.zonal.{self.region}.aws.nitro-enclaves"),
            regional,
            _validity(now, ZONAL_LIFETIME),
            path_length=1,
            crl_host=f"crl-{self.region}-aws-nitro-enclaves.s3.{self.region}.test.invalid",
        )
        instance = _instance(_long_name(f"{instance_id}.{self.region}.aws.nitro-enclaves"), zonal, now)
        return self._root, regional, zonal, instance


def _covers_leaf(authority: Authority, now: dt.datetime) -> bool:
    starts, ends = authority.certificate.not_valid_before_utc, authority.certificate.not_valid_after_utc
    return starts <= now - BACKDATED and now + LEAF_LIFETIME <= ends


def _validity(now: dt.datetime, lifetime: dt.timedelta) -> tuple[dt.datetime, dt.datetime]:
    return now - BACKDATED, now - BACKDATED + lifetime


def _instance(subject: x509.Name, zonal: Authority, now: dt.datetime) -> Authority:
    key = _new_key()
    certificate = _certificate(
        subject=subject,
        key=key,
        issuer=zonal,
        serial=secrets.randbits(159) | 1 << 158,
        valid=_validity(now, INSTANCE_LIFETIME),
        extensions=[
            (x509.BasicConstraints(ca=True, path_length=0), True),
            (_key_usage("key_cert_sign"), True),
            (_subject_key(key), False),
            (_authority_key(zonal), False),
        ],
    )
    return Authority(certificate=certificate, key=key)


def _root(common_name: str) -> Authority:
    key, subject = _new_key(), _short_name(common_name)
    extensions: _Extensions = [
        (x509.BasicConstraints(ca=True, path_length=None), True),
        (_subject_key(key), False),
        (_CA_USAGE, True),
    ]
    builder = _builder(subject, subject, key, _serial(), (ROOT_NOT_BEFORE, ROOT_NOT_AFTER), extensions)
    return Authority(certificate=builder.sign(key, hashes.SHA384()), key=key)


def _authority(
    subject: x509.Name,
    issuer: Authority,
    valid: tuple[dt.datetime, dt.datetime],
    *,
    path_length: int,
    crl_host: str,
) -> Authority:
    key = _new_key()
    certificate = _certificate(
        subject=subject,
        key=key,
        issuer=issuer,
        serial=_serial(),
        valid=valid,
        extensions=[
            (x509.BasicConstraints(ca=True, path_length=path_length), True),
            (_authority_key(issuer), False),
            (_subject_key(key), False),
            (_CA_USAGE, True),
            (_crl_at(f"http://{crl_host}/crl/{uuid.uuid4()}.crl"), False),
        ],
    )
    return Authority(certificate=certificate, key=key)


def _certificate(
    *,
    subject: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer: Authority,
    serial: int,
    valid: tuple[dt.datetime, dt.datetime],
    extensions: _Extensions,
) -> x509.Certificate:
    builder = _builder(subject, issuer.certificate.subject, key, serial, valid, extensions)
    return builder.sign(issuer.key, hashes.SHA384())


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    serial: int,
    valid: tuple[dt.datetime, dt.datetime],
    extensions: _Extensions,
) -> x509.CertificateBuilder:
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(valid[0])
        .not_valid_after(valid[1])
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder


def _short_name(common_name: str) -> x509.Name:
    """The order of AWS's root and regional names."""
    return _name(
        (NameOID.COUNTRY_NAME, "US"),
        (NameOID.ORGANIZATION_NAME, "Amazon"),
        (NameOID.ORGANIZATIONAL_UNIT_NAME, "AWS"),
        (NameOID.COMMON_NAME, common_name),
    )


def _zonal_name(common_name: str) -> x509.Name:
    """The order of AWS's zonal names, the only ones that begin with the common name."""
    return _name(
        (NameOID.COMMON_NAME, common_name),
        (NameOID.ORGANIZATIONAL_UNIT_NAME, "AWS"),
        (NameOID.ORGANIZATION_NAME, "Amazon"),
        (NameOID.COUNTRY_NAME, "US"),
        (NameOID.STATE_OR_PROVINCE_NAME, "WA"),
        (NameOID.LOCALITY_NAME, "Seattle"),
    )


def _long_name(common_name: str) -> x509.Name:
    """The order of AWS's instance and leaf names."""
    return _name(
        (NameOID.COUNTRY_NAME, "US"),
        (NameOID.STATE_OR_PROVINCE_NAME, "Washington"),
        (NameOID.LOCALITY_NAME, "Seattle"),
        (NameOID.ORGANIZATION_NAME, "Amazon"),
        (NameOID.ORGANIZATIONAL_UNIT_NAME, "AWS"),
        (NameOID.COMMON_NAME, common_name),
    )


def _name(*attributes: tuple[x509.ObjectIdentifier, str]) -> x509.Name:
    """The country becomes a PrintableString and the rest UTF8String, in `cryptography` as at AWS."""
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in attributes])


_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


def _key_usage(*usages: str) -> x509.KeyUsage:
    return x509.KeyUsage(**{usage: usage in usages for usage in _USAGES})


_CA_USAGE = _key_usage("digital_signature", "key_cert_sign", "crl_sign")


def _crl_at(uri: str) -> x509.CRLDistributionPoints:
    point = x509.DistributionPoint([x509.UniformResourceIdentifier(uri)], None, None, None)
    return x509.CRLDistributionPoints([point])


def _subject_key(key: ec.EllipticCurvePrivateKey) -> x509.SubjectKeyIdentifier:
    return x509.SubjectKeyIdentifier.from_public_key(key.public_key())


def _authority_key(issuer: Authority) -> x509.AuthorityKeyIdentifier:
    subject_key = issuer.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(subject_key.value)


def _new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP384R1())


def _serial() -> int:
    return secrets.randbits(128) | 1 << 127


def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)
