"""PCR0, 1, 2 and 8. That a device reports the same is shown by tests/e2e/test_boot.py."""

import datetime as dt
from hashlib import sha384

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from eif import layout
from eif.build import join
from eif.errors import MalformedEif
from eif.layout import Kind, Section
from eif.measure import measure
from eif.signature import signing_certificate
from tests.eif_kit import CMDLINE, KERNEL, RAMDISKS, SECTIONS, image, signature_section


def extended(data: bytes) -> bytes:
    return sha384(b"\0" * 48 + sha384(data).digest()).digest()


def certificate() -> x509.Certificate:
    key = ec.generate_private_key(ec.SECP384R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "signer")])
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + dt.timedelta(days=1))
    return builder.sign(key, hashes.SHA384())


def signed(section: bytes) -> layout.Eif:
    return layout.read(join([*SECTIONS, Section(kind=Kind.SIGNATURE, data=section)]))


def test_the_registers_are_extensions_of_zero_by_the_joined_sections() -> None:
    boot = KERNEL + CMDLINE.encode() + RAMDISKS[0]
    found = measure(layout.read(image()))
    assert found.pcr0 == extended(boot + RAMDISKS[1])
    assert found.pcr1 == extended(boot)
    assert found.pcr2 == extended(RAMDISKS[1])
    assert found.pcr8 is None
    assert list(found.in_hex()) == ["PCR0", "PCR1", "PCR2"]


def test_pcr2_of_an_image_with_one_ramdisk_is_an_extension_by_nothing() -> None:
    assert measure(layout.read(join(SECTIONS[:4]))).pcr2 == extended(b"")


def test_metadata_is_not_measured() -> None:
    assert measure(layout.read(join([*SECTIONS[:2], *SECTIONS[3:]]))) == measure(layout.read(image()))


def test_pcr8_is_the_certificate_and_the_signature_changes_nothing_else() -> None:
    signer = certificate()
    found = measure(signed(signature_section(signer.public_bytes(serialization.Encoding.PEM))))
    assert found.pcr8 == extended(signer.public_bytes(serialization.Encoding.DER))
    assert found.pcr0 == measure(layout.read(image())).pcr0
    assert found.in_hex()["PCR8"] == found.pcr8.hex()


PEM = certificate().public_bytes(serialization.Encoding.PEM)
GOOD = signature_section(PEM)
BAD_SIGNATURES = {
    "empty": b"",
    "no entry": b"\x80",
    "no array": GOOD[1:],
    "entry is no map": b"\x81\x01",
    "three keys": b"\x81\xa3" + GOOD[2:],
    "other first key": GOOD.replace(b"signing_certificate", b"certificate_signing"),
    "cut short": GOOD[:500],
    "byte string instead of numbers": b"\x81\xa2\x73signing_certificate\x44aaaa",
    "number above 255": b"\x81\xa2\x73signing_certificate\x81\x19\x01\x00",
    "array longer than the section": b"\x81\xa2\x73signing_certificate\x9a\xff\xff\xff\xff",
    "indefinite length": b"\x9f",
    "no PEM": signature_section(b"hello"),
    "PEM of no base64": signature_section(b"-----BEGIN CERTIFICATE-----\nAAAAA\n-----END CERTIFICATE-----\n"),
}


@pytest.mark.parametrize("name", BAD_SIGNATURES)
def test_a_signature_section_without_a_certificate_is_refused(name: str) -> None:
    with pytest.raises(MalformedEif):
        measure(signed(BAD_SIGNATURES[name]))


@given(st.binary(max_size=200))
def test_garbage_gives_a_certificate_or_the_error(data: bytes) -> None:
    for candidate in (data, b"\x81\xa2\x73signing_certificate" + data, GOOD[:40] + data):
        try:
            signing_certificate(candidate)
        except MalformedEif:
            continue
