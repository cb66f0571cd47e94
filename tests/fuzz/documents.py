"""Attestation documents, steps 0-5 (`tytle_verifier.verify_document`: COSE, document, certificates, chain, time).

1. Any bytes are a verified document or an error of the verifier's.
2. An altered genuine document is refused, or says the same: the envelope's tag and the signature's other form are free.
3. Whatever payload a genuine leaf signs, what is read of it is what stands there, within the limits.
4. A path verifies only where it is the genuine one: no certificate left out, exchanged, repeated or of the attacker's.
5. A certificate alone is read or refused; what is read is what `cryptography` finds in the whole of its bytes.

The first byte of an input says what it is: a document, edits of a genuine one, a payload to be signed, a path, a
certificate. In a payload, numbers stand for certificates: 0 to 3 root to instance, 4 the leaf, above it the attacker's.
"""

import base64
import json
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

import tytle_verifier
from tests import verifier_kit as kit
from tests.fuzz import mutators, naive_cbor
from tests.fuzz.draws import Draws
from tests.fuzz.target import Seeds, Target
from tests.verifier_kit import Holder
from tytle_verifier import Archive, LinkCache, TestPkiRoot, VerificationError, VerifiedDocument, certificate
from tytle_verifier.document import Document

RECORDED = Path(__file__).parents[1] / "verifier_recorded"
GENUINE = base64.b64decode(
    json.loads((RECORDED / "check-vat-number.reply.json").read_bytes())["attestation"]["nsmDocument"]
)
GENUINE_ROOT = TestPkiRoot((RECORDED / "root.der").read_bytes())
PATH = [0, 1, 2, 3]
LEAF = 4
LINKS = LinkCache()


def _verified(data: bytes, root: TestPkiRoot) -> VerifiedDocument | None:
    try:
        return tytle_verifier.verify_document(data, time=Archive(), root=root, cache=LINKS)
    except VerificationError:
        return None


def _any(data: bytes) -> None:
    for root in (tytle_verifier.AWS_ROOT, GENUINE_ROOT):
        try:
            tytle_verifier.verify_document(data, time=Archive(), root=root)
        except VerificationError as error:
            assert 0 <= error.step <= 5
            assert error.report is not None
            assert len(str(error)) < 1000


def _edited(data: bytes) -> None:
    altered = Draws(data).edits(GENUINE, (b"\xd2", b"\xbf", b"\xff", b"\x00", GENUINE[:40]))
    verified = _verified(altered, GENUINE_ROOT)
    if altered.removeprefix(b"\xd2")[:-96] != GENUINE[:-96]:
        assert verified is None
    if altered == GENUINE:
        assert verified is not None
    if verified is not None:
        assert _said(verified.document) == _said(_genuine())


@cache
def _genuine() -> Document:
    return tytle_verifier.verify_document(GENUINE, time=Archive(), root=GENUINE_ROOT).document


def _said(document: Document) -> tuple[object, ...]:
    ders = (document.certificate.der, *(each.der for each in document.cabundle))
    fields = (document.public_key, document.user_data, document.nonce, document.timestamp_ms, document.module_id)
    return (dict(document.pcrs), ders, *fields)


@cache
def _holders() -> tuple[Holder, ...]:
    """Return the certificates that a path is made of: five genuine ones, and nine of attackers with a P-384 key."""
    pki = kit.pki()
    own_root = kit.authority("aws.nitro-enclaves", None, None, 10_000, start=kit.SIGNED_AT - timedelta(hours=1))
    own_instance = kit.authority("instance", own_root, 0, 1)
    return (
        *(pki.root, pki.regional, pki.zonal, pki.instance, pki.leaf),
        *(own_root, own_instance, kit.leaf(own_instance)),
        kit.leaf(pki.leaf),  # a leaf that plays an authority
        kit.leaf(pki.zonal, extensions=[(kit.usage(digital_signature=True), False)]),  # no basic constraints
        kit.authority("instance", pki.zonal, None, 1, start=kit.SIGNED_AT - timedelta(days=3)),  # over
        kit.authority("deeper", pki.instance, None, 1),  # beyond the path length
        kit.leaf(kit.authority("deeper", pki.instance, None, 1)),
        kit.authority("aws.nitro-enclaves", pki.instance, None, 1),  # the root's name
        kit.leaf(pki.instance, start=kit.SIGNED_AT + timedelta(days=1)),  # not yet
    )


@cache
def _root() -> TestPkiRoot:
    return TestPkiRoot(kit.pki().root.der)


def _signed(data: bytes) -> None:
    """Sign whatever payload the input is, with certificates in the places of numbers."""
    try:
        fields = cbor2.loads(data)
        payload = naive_cbor.encode(_filled(fields), in_order=False)
    except (cbor2.CBORError, ValueError, TypeError, OverflowError, RecursionError):
        return
    verified = _verified(kit.sign(payload), _root())
    if verified is not None:
        assert (fields["cabundle"], fields["certificate"]) == (PATH, LEAF)
        _it_says_what_stands_there(verified.document, fields)


def _filled(fields: Any) -> Any:
    if not isinstance(fields, dict):
        return fields
    filled = {key: _der(value) if key == "certificate" else value for key, value in fields.items()}
    if isinstance(fields.get("cabundle"), list):
        filled["cabundle"] = [_der(each) for each in fields["cabundle"]]
    return filled


def _der(value: Any) -> Any:
    return _holders()[value].der if type(value) is int and 0 <= value < len(_holders()) else value


def _it_says_what_stands_there(document: Document, fields: dict[str, Any]) -> None:
    assert (document.module_id, document.timestamp_ms) == (fields["module_id"], fields["timestamp"])
    assert fields["digest"] == "SHA384"
    assert dict(document.pcrs) == fields["pcrs"]
    assert {len(value) for value in document.pcrs.values()} == {48}
    assert 1 <= len(document.pcrs) <= 32
    assert all(type(index) is int and 0 <= index < 32 for index in document.pcrs)
    for name in ("public_key", "user_data", "nonce"):
        value = getattr(document, name)
        assert value == fields.get(name)
        assert value is None or len(value) <= 1024
    assert fields.keys() <= {"digest", "cabundle", "certificate", "pcrs", "module_id", "timestamp"} | {
        *("public_key", "user_data", "nonce")
    }


def _chained(data: bytes) -> None:
    draws, holders = Draws(data), _holders()
    path = list(PATH)
    for _ in range(draws.below(5)):
        at, removed, added = draws.below(len(path) + 1), draws.below(3), draws.below(3)
        path[at : at + removed] = [draws.below(len(holders)) for _ in range(added)]
    leaf = draws.below(len(holders)) if draws.flag() else LEAF
    signer = draws.below(len(holders)) if draws.flag() else leaf
    late = timedelta(hours=draws.choice((0, 1, 2, 4, 25)))
    made = kit.fields(
        cabundle=[holders[each].der for each in path],
        certificate=holders[leaf].der,
        timestamp=kit.SIGNED_MS + late // timedelta(milliseconds=1),
    )
    verified = _verified(kit.sign(kit.cbor(made), holders[signer].key), _root())
    genuine = path == PATH and leaf == LEAF and signer == LEAF and late < timedelta(hours=3)
    assert (verified is not None) is genuine, (path, leaf, signer, late)


def _certificate(data: bytes) -> None:
    try:
        read = certificate.load(data, name="fuzzed")
    except VerificationError:
        return
    parsed = x509.load_der_x509_certificate(data)
    assert read.der == data == parsed.public_bytes(Encoding.DER)
    assert len(data) <= 1024
    assert (read.subject, read.issuer) == (parsed.subject.public_bytes(), parsed.issuer.public_bytes())
    assert (read.not_before, read.not_after) == (parsed.not_valid_before_utc, parsed.not_valid_after_utc)


READERS = (_any, _edited, _signed, _chained, _certificate)


def one_input(data: bytes) -> None:
    """Verify one input as what its first byte says."""
    if data:
        READERS[data[0] % len(READERS)](data[1:])


def seeds() -> Seeds:
    """The genuine document whole and edited, a payload, paths that nearly hold, and each kind of certificate."""
    fields = {**kit.fields(), "certificate": LEAF, "cabundle": PATH, "user_data": b"u", "nonce": b"n" * 20}
    yield "document", b"\x00" + GENUINE
    yield "edited-nothing", b"\x01\x00"
    yield "edited-tag", b"\x01\x01\x00\x00\x00\x00\x01\x00"
    yield "edited-pcr", b"\x01\x01\x00\x00\xc8\x08\x00\x01\xaa"
    yield "payload", b"\x02" + kit.cbor(fields)
    yield "payload-keyless", b"\x02" + kit.cbor({**fields, "public_key": b"", "nonce": None})
    yield "path", b"\x03\x00"
    yield "path-shorter", b"\x03\x01\x02\x01\x00"
    yield "path-of-attackers", bytes([3, 2, 1, 2, 0, 1, 1, 1, 6, 1, 7, 0, 0])
    yield "path-over", bytes([3, 0, 1, len(_holders()) - 1, 0, 4])
    for index in range(len(_holders())):
        yield f"path-ends-in-{index}", bytes([3, 1, 3, 1, 1, index, 1, index, 0, 0])
        yield f"certificate-{index}", b"\x04" + _holders()[index].der


TARGET = Target(
    one_input=one_input,
    seeds=seeds,
    mutate=mutators.cbor_behind(1),
    words=(
        b"\xd2\x84\x44\xa1\x01\x38\x22\xa0",
        b"\xbf",
        b"\xff",
        b"nonce",
        b"user_data",
        b"SHA384",
        b"\x58\x60",
        b"\x30\x82",
    ),
    max_bytes=6000,
)
