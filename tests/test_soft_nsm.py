"""The soft NSM: documents that an independent check accepts, shaped as AWS's, from registers that behave as AWS's."""

import datetime as dt
import errno
import hashlib
import itertools
import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import cbor2
import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from hypothesis import given, settings
from hypothesis import strategies as st

from devstack.nsm_faults import Answers, Fails, Garbage, Hangs, Truncated, WrongEcho
from devstack.nsm_pki import NsmPki
from devstack.soft_nsm import SoftNsm, decode_request
from nsm import client, requests
from nsm.errors import DeviceFailed, ErrorCode, NsmError, Refused

NOW = 1_767_472_867.402  # 2026-01-03, as good as any
HOUR = 3600.0
ORDER = ["module_id", "digest", "timestamp", "pcrs", "certificate", "cabundle", "public_key", "user_data", "nonce"]


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self, seconds: float = NOW) -> None:
        self.seconds = seconds

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture(scope="module")
def pki() -> NsmPki:
    return NsmPki()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def soft(pki: NsmPki, clock: Clock) -> SoftNsm:
    return SoftNsm(pki=pki, clock=clock)


def verified(document: bytes, *, root_der: bytes, at: float) -> dict[str, Any]:
    """An independent check: chain by name, signature and validity; ES384 over the Sig_structure. The payload."""
    protected, unprotected, payload, signature = cbor2.loads(document)
    assert (protected, unprotected, len(signature)) == (b"\xa1\x01\x38\x22", {}, 96)
    fields: dict[str, Any] = cbor2.loads(payload)
    certificates = chain(fields)
    assert certificates[0] == x509.load_der_x509_certificate(root_der)
    certificates[0].verify_directly_issued_by(certificates[0])
    for issuer, subject in itertools.pairwise(certificates):
        subject.verify_directly_issued_by(issuer)
    moment = dt.datetime.fromtimestamp(at, dt.UTC)
    for certificate in certificates:
        assert certificate.not_valid_before_utc <= moment <= certificate.not_valid_after_utc
    key = certificates[-1].public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    r, s = (int.from_bytes(half, "big") for half in (signature[:48], signature[48:]))
    to_be_signed = b"\x84\x6aSignature1\x44\xa1\x01\x38\x22\x40\x59" + len(payload).to_bytes(2, "big") + payload
    key.verify(encode_dss_signature(r, s), to_be_signed, ec.ECDSA(hashes.SHA384()))
    return fields


def chain(fields: dict[str, Any]) -> list[x509.Certificate]:
    return [x509.load_der_x509_certificate(der) for der in (*fields["cabundle"], fields["certificate"])]


# Documents


def test_a_document_passes_an_independent_check(soft: SoftNsm) -> None:
    asked = {"nonce": b"n" * 32, "user_data": b"u" * 512, "public_key": b"k" * 1024}
    fields = verified(client.attest(soft.exchange, **asked).document, root_der=soft.pki.root_der, at=NOW)
    assert {name: fields[name] for name in asked} == asked
    assert fields["module_id"] == soft.module_id
    assert fields["timestamp"] == 1_767_472_867_402
    assert fields["digest"] == "SHA384"


def test_a_document_with_one_bit_changed_fails_the_check(soft: SoftNsm) -> None:
    document = bytearray(client.attest(soft.exchange, nonce=b"n" * 32).document)
    document[-100 - 2 - 10] ^= 1  # in the nonce, the last field before the signature
    with pytest.raises(InvalidSignature):
        verified(bytes(document), root_der=soft.pki.root_der, at=NOW)


def test_a_document_fails_the_check_under_another_root(soft: SoftNsm) -> None:
    document = client.attest(soft.exchange).document
    with pytest.raises(AssertionError):
        verified(document, root_der=NsmPki().root_der, at=NOW)


def test_the_root_is_offered_as_der_and_pem(pki: NsmPki) -> None:
    loaded = x509.load_pem_x509_certificate(pki.root_pem.encode("ascii"))
    assert loaded == x509.load_der_x509_certificate(pki.root_der)
    assert loaded.subject.rfc4514_string() == "CN=test.nitro-enclaves,OU=AWS,O=Amazon,C=US"


def test_a_document_is_laid_out_as_aws_does_today(soft: SoftNsm) -> None:
    document = client.attest(soft.exchange, user_data=b"u").document
    assert document[:7] == bytes.fromhex("84 44a1013822 a0")  # no tag 18; {1: -35}; {}
    payload = cbor2.loads(document)[2]
    assert (payload[:1], payload[-1:]) == (b"\xbf", b"\xff")
    assert list(cbor2.loads(payload)) == ORDER
    assert b"\x69timestamp\x1b" in payload
    assert b"\x64pcrs\xb0" in payload
    assert b"\x68cabundle\x84\x59" in payload
    assert payload.endswith(b"\x6apublic_key\xf6\x69user_data\x41u\x65nonce\xf6\xff")


def test_the_certificates_have_the_lifetimes_and_path_lengths_of_aws(soft: SoftNsm) -> None:
    certificates = chain(verified(client.attest(soft.exchange).document, root_der=soft.pki.root_der, at=NOW))
    lifetimes = [c.not_valid_after_utc - c.not_valid_before_utc for c in certificates]
    assert lifetimes == [
        dt.timedelta(days=10958, hours=1),
        dt.timedelta(days=20, hours=1),
        dt.timedelta(days=6),
        dt.timedelta(days=1),
        dt.timedelta(hours=3, seconds=3),
    ]
    constraints = [c.extensions.get_extension_for_class(x509.BasicConstraints) for c in certificates]
    assert [(c.critical, c.value.ca, c.value.path_length) for c in constraints] == [
        (True, True, None),
        (True, True, 2),
        (True, True, 1),
        (True, True, 0),
        (True, False, None),
    ]


def test_modules_of_one_pki_have_keys_of_their_own(pki: NsmPki) -> None:
    documents = [client.attest(SoftNsm(pki=pki, clock=Clock()).exchange).document for _ in range(2)]
    first, second = (chain(verified(d, root_der=pki.root_der, at=NOW)) for d in documents)
    assert first[0] == second[0]
    assert first[-1].public_key() != second[-1].public_key()
    assert first[-1].subject != second[-1].subject


# Against the documents that AWS signed


@pytest.fixture(scope="module")
def today() -> list[bytes]:
    """The real enclave documents whose payload is of indefinite length: what AWS emits since 2025."""
    beside = Path(__file__).parents[2] / "shared" / "attestation-documents"
    folder = Path(os.environ.get("ATTESTATION_DOCUMENTS", beside))
    if not (folder / "real.json").is_file():
        if os.environ.get("CI"):
            pytest.fail(f"CI must not skip: no attestation documents in {folder}")
        pytest.skip(f"REAL ATTESTATION DOCUMENTS ABSENT from {folder}: set ATTESTATION_DOCUMENTS")
    entries = [entry for entry in json.loads((folder / "real.json").read_text()) if entry["kind"] == "nsm"]
    found = [(folder / entry["file"]).read_bytes() for entry in entries if _is_of_today(entry)]
    assert found
    return found


def _is_of_today(entry: dict[str, str]) -> bool:
    return entry["timestamp_iso"] >= "2025-08"


def shape(document: bytes) -> dict[str, object]:
    """Everything of a document that does not depend on keys, times, names' values or what was attested."""
    protected, unprotected, payload, signature = cbor2.loads(document)
    fields = cbor2.loads(payload)
    return {
        "outside": (document[:7], unprotected, protected, len(signature)),
        "map": (payload[:1], payload[-1:], list(fields)),
        "types": [
            type(fields[name]) for name in ("module_id", "digest", "timestamp", "pcrs", "certificate", "cabundle")
        ],
        "pcrs": [(index, len(value)) for index, value in fields["pcrs"].items() if index < 16],
        "module_id": len(fields["module_id"]),
        "certificates": [certificate_shape(certificate) for certificate in chain(fields)],
    }


def certificate_shape(certificate: x509.Certificate) -> dict[str, object]:
    key = certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    return {
        "version": certificate.version,
        "signed with": certificate.signature_algorithm_oid,
        "curve": key.curve.name,
        "subject": [(a.oid, a.rfc4514_attribute_name, a._type) for a in certificate.subject],
        "issuer": [(a.oid, a._type) for a in certificate.issuer],
        "constant": [a.value for a in certificate.subject if a.oid != x509.NameOID.COMMON_NAME],
        "extensions": [(e.oid, e.critical) for e in certificate.extensions],
        "use": certificate.extensions.get_extension_for_class(x509.KeyUsage).value,
        "constraints": certificate.extensions.get_extension_for_class(x509.BasicConstraints).value,
        "serial": certificate.serial_number.bit_length() > 64,
    }


def test_a_document_has_the_shape_of_those_that_aws_signs(soft: SoftNsm, today: list[bytes]) -> None:
    ours = shape(client.attest(soft.exchange, nonce=b"n").document)
    for document in today:
        assert ours == shape(document)


def test_the_common_names_serials_and_pcr4_are_built_as_those_of_aws(soft: SoftNsm, today: list[bytes]) -> None:
    for document in (client.attest(soft.exchange).document, *today):
        fields = cbor2.loads(cbor2.loads(document)[2])
        certificates = chain(fields)
        root, regional, zonal, instance, leaf = (
            str(c.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value) for c in certificates
        )
        instance_id, enclave_id = fields["module_id"].split("-enc")
        assert fields["pcrs"][4] == hashlib.sha384(bytes(48) + instance_id.encode("ascii")).digest()
        region = leaf.removeprefix(fields["module_id"] + ".").removesuffix(".aws")
        assert leaf == f"{fields['module_id']}.{region}.aws"
        assert instance == f"{instance_id}.{region}.aws.nitro-enclaves"
        assert zonal[16:] == f".zonal.{region}.aws.nitro-enclaves"
        assert regional[16:] == f".{region}.aws.nitro-enclaves"
        assert root.endswith(".nitro-enclaves")
        leaf_serial, issued = certificates[4].serial_number, certificates[4].not_valid_before_utc.timestamp() + 3
        assert leaf_serial == int(enclave_id, 16) << 64 | int(issued)


# Time


def test_a_leaf_is_kept_while_it_serves_and_renewed_before_it_expires(soft: SoftNsm, clock: Clock) -> None:
    seen = []
    for minutes in range(0, 400, 10):
        clock.seconds = NOW + minutes * 60
        fields = verified(client.attest(soft.exchange).document, root_der=soft.pki.root_der, at=clock.seconds)
        seen.append((minutes, fields["certificate"]))
    changes = [now[0] for before, now in itertools.pairwise(seen) if before[1] != now[1]]
    assert changes == [150, 300]  # 30 minutes before the ends at 180 and at 150 + 180


def test_every_level_is_renewed_in_time(soft: SoftNsm, clock: Clock) -> None:
    for hours in (0, 20, 21.5, 24, 25, 6 * 24, 21 * 24, 365 * 24, 22 * 365 * 24):
        clock.seconds = NOW + hours * HOUR
        document = client.attest(soft.exchange).document
        for offset in (0, 25 * 60):  # and still good a while later
            verified(document, root_der=soft.pki.root_der, at=clock.seconds + offset)


def test_a_clock_that_goes_back_gets_certificates_for_then(soft: SoftNsm, clock: Clock) -> None:
    clock.seconds = NOW - 365 * 24 * HOUR
    verified(client.attest(soft.exchange).document, root_der=soft.pki.root_der, at=clock.seconds)


def test_a_clock_outside_of_the_roots_validity_is_refused(pki: NsmPki) -> None:
    for seconds in (0.0, 2_600_000_000.0):
        with pytest.raises(ValueError, match="October 2019 to October 2049"):
            SoftNsm(pki=pki, clock=Clock(seconds))


# Registers


def test_the_first_sixteen_registers_are_locked_and_in_every_document(soft: SoftNsm) -> None:
    assert client.describe(soft.exchange).locked_pcrs == frozenset(range(16))
    assert list(client.attest(soft.exchange).fields.pcrs) == list(range(16))
    for index in range(32):
        assert client.describe_pcr(soft.exchange, index).lock is (index < 16)


def test_a_register_of_the_user_is_in_documents_once_it_is_locked(soft: SoftNsm) -> None:
    value = client.extend_pcr(soft.exchange, 17, b"manifest")
    assert 17 not in client.attest(soft.exchange).fields.pcrs
    client.lock_pcr(soft.exchange, 17)
    pcrs = client.attest(soft.exchange).fields.pcrs
    assert list(pcrs) == [*range(16), 17]
    assert pcrs[17] == value


def test_extending_hashes_the_old_value_and_the_data(soft: SoftNsm) -> None:
    first = client.extend_pcr(soft.exchange, 16, b"one")
    second = client.extend_pcr(soft.exchange, 16, b"")
    assert first == hashlib.sha384(bytes(48) + b"one").digest()
    assert second == hashlib.sha384(first).digest()
    assert client.describe_pcr(soft.exchange, 16).data == second


@pytest.mark.parametrize("index", [0, 3, 4, 15])
def test_a_locked_register_can_be_neither_extended_nor_locked(soft: SoftNsm, index: int) -> None:
    before = client.describe_pcr(soft.exchange, index).data
    assert _refusal(requests.ExtendPCR(index=index, data=b"x"), soft) is ErrorCode.ReadOnlyIndex
    assert _refusal(requests.LockPCR(index=index), soft) is ErrorCode.ReadOnlyIndex
    assert client.describe_pcr(soft.exchange, index).data == before


@pytest.mark.parametrize("index", [32, 33, 255, 65535])
def test_a_register_that_does_not_exist_is_an_invalid_index(soft: SoftNsm, index: int) -> None:
    for request in (
        requests.DescribePCR(index=index),
        requests.ExtendPCR(index=index, data=b"x"),
        requests.LockPCR(index=index),
        requests.LockPCRs(range=index + 1 if index < 65535 else index),
    ):
        assert _refusal(request, soft) is ErrorCode.InvalidIndex


def test_locking_a_range_locks_the_registers_below_it_only(soft: SoftNsm) -> None:
    client.lock_pcrs(soft.exchange, 0)
    client.lock_pcrs(soft.exchange, 18)
    assert client.describe(soft.exchange).locked_pcrs == frozenset(range(18))
    client.lock_pcrs(soft.exchange, 32)
    assert client.describe(soft.exchange).locked_pcrs == frozenset(range(32))


def _refusal(request: requests.Request, soft: SoftNsm) -> ErrorCode:
    return _refusal_of_bytes(requests.encode(request), soft)


def _refusal_of_bytes(request: bytes, soft: SoftNsm) -> ErrorCode:
    reply = cbor2.loads(soft.exchange(request))
    assert list(reply) == ["Error"]
    return ErrorCode[reply["Error"]]


def test_the_measurements_are_those_given_and_aws_hash_of_the_instance(pki: NsmPki) -> None:
    given_ = {0: b"\x0a" * 48, 1: b"\x0b" * 48, 2: b"\x0c" * 48, 16: b"\x10" * 48}
    soft = SoftNsm(pki=pki, pcrs=given_, module_id="i-0123456789abcdef0-enc0123456789abcdef")
    pcrs = client.attest(soft.exchange).fields.pcrs
    assert {index: pcrs[index] for index in range(3)} == {index: given_[index] for index in range(3)}
    assert pcrs[3] == bytes(48)
    assert pcrs[4] == hashlib.sha384(bytes(48) + b"i-0123456789abcdef0").digest()
    assert client.describe_pcr(soft.exchange, 16).data == given_[16]


def test_without_given_measurements_the_image_registers_are_not_zero(soft: SoftNsm) -> None:
    pcrs = client.attest(soft.exchange).fields.pcrs
    assert bytes(48) not in {pcrs[0], pcrs[1], pcrs[2]}


def test_debug_mode_zeroes_the_first_three_registers_and_no_others(pki: NsmPki) -> None:
    given_ = {index: bytes([index + 1]) * 48 for index in (0, 1, 2, 3, 8)}
    pcrs = client.attest(SoftNsm(pki=pki, pcrs=given_, debug=True).exchange).fields.pcrs
    assert [pcrs[index] for index in (0, 1, 2)] == [bytes(48)] * 3
    assert (pcrs[3], pcrs[8]) == (given_[3], given_[8])
    assert pcrs[4] != bytes(48)


@pytest.mark.parametrize("pcrs", [{32: bytes(48)}, {-1: bytes(48)}, {0: bytes(32)}, {0: b""}])
def test_registers_that_cannot_be_are_refused(pki: NsmPki, pcrs: dict[int, bytes]) -> None:
    with pytest.raises(ValueError, match="PCR"):
        SoftNsm(pki=pki, pcrs=pcrs)


@pytest.mark.parametrize("module_id", ["i-1234-enc5678", "i-0123456789ABCDEF0-enc0123456789abcdef", "x"])
def test_a_module_id_that_is_not_aws_like_is_refused(pki: NsmPki, module_id: str) -> None:
    with pytest.raises(ValueError, match="module_id must be"):
        SoftNsm(pki=pki, module_id=module_id)


# Requests


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ("GetRandomness", "InvalidOperation"),
        ("Attestation", "InvalidOperation"),
        ({"GetRandom": {}}, "InvalidOperation"),
        ({}, "InvalidOperation"),
        ([], "InvalidOperation"),
        (None, "InvalidOperation"),
        ({0: {}}, "InvalidOperation"),
        ({"Unknown": {}}, "InvalidOperation"),
        ({"LockPCR": {"index": 16}, "LockPCRs": {"range": 16}}, "InvalidOperation"),
        ({"LockPCR": None}, "InvalidArgument"),
        ({"LockPCR": {}}, "InvalidArgument"),
        ({"LockPCR": {"index": -1}}, "InvalidArgument"),
        ({"LockPCR": {"index": True}}, "InvalidArgument"),
        ({"LockPCR": {"index": 65536}}, "InvalidArgument"),
        ({"LockPCR": {"index": 16, "more": 1}}, "InvalidArgument"),
        ({"LockPCR": {0: 16}}, "InvalidArgument"),
        ({"ExtendPCR": {"index": 16}}, "InvalidArgument"),
        ({"ExtendPCR": {"index": 16, "data": "text"}}, "InvalidArgument"),
        ({"Attestation": {"nonce": "text"}}, "InvalidArgument"),
        ({"Attestation": {"public_key": b""}}, "InvalidArgument"),
        ({"Attestation": {"nonce": bytes(513)}}, "InputTooLarge"),
        ({"Attestation": {"user_data": bytes(513)}}, "InputTooLarge"),
        ({"Attestation": {"public_key": bytes(1025)}}, "InputTooLarge"),
    ],
    ids=repr,
)
def test_a_wrong_request_is_answered_with_an_error(soft: SoftNsm, request_: object, code: str) -> None:
    assert _refusal_of_bytes(cbor2.dumps(request_), soft) is ErrorCode[code]


def test_fields_of_a_document_may_be_left_out_and_come_in_any_order() -> None:
    request = {"Attestation": {"public_key": b"k", "nonce": b"n"}}
    assert decode_request(cbor2.dumps(request)) == requests.Attestation(nonce=b"n", public_key=b"k")


@pytest.mark.parametrize(
    "request_",
    [
        requests.DescribeNSM(),
        requests.DescribePCR(index=3),
        requests.ExtendPCR(index=16, data=b"data"),
        requests.LockPCR(index=16),
        requests.LockPCRs(range=16),
        requests.Attestation(nonce=bytes(512), user_data=bytes(512), public_key=bytes(1024)),
        requests.GetRandom(),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_request_is_read_as_it_was_written(request_: requests.Request) -> None:
    assert decode_request(requests.encode(request_)) == request_


def test_sizes_are_limited_as_at_the_real_device(soft: SoftNsm) -> None:
    largest = requests.Attestation(nonce=bytes(512), user_data=bytes(512), public_key=bytes(1024))
    client.lock_pcrs(soft.exchange, 32)
    assert len(soft.exchange(requests.encode(largest))) <= 0x3000
    assert "Error" in cbor2.loads(soft.exchange(bytes(0x1000)))
    with pytest.raises(DeviceFailed, match="EMSGSIZE"):
        soft.exchange(bytes(0x1001))
    with pytest.raises(ValueError, match="at least 1 byte"):
        soft.exchange(b"")


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_request_or_refused(data: bytes) -> None:
    try:
        request = decode_request(data)
    except Refused:
        return
    assert decode_request(requests.encode(request)) == request


# Faults and service times


def test_a_fault_lasts_until_it_is_taken_away(soft: SoftNsm) -> None:
    request = requests.encode(requests.GetRandom())
    for fault in (Answers(ErrorCode.InternalError), Garbage(), Fails(errno.EIO), Truncated(3), Garbage(b"")):
        soft.fault = fault
        for _ in range(2):
            with pytest.raises(NsmError):
                client.get_random(soft.exchange)
        soft.fault = None
        assert len(soft.exchange(request)) > 256
    assert len(client.get_random(soft.exchange)) == 256


def test_a_document_with_a_wrong_nonce_is_properly_signed(soft: SoftNsm) -> None:
    soft.fault = WrongEcho("nonce", b"other")
    reply = cbor2.loads(soft.exchange(requests.encode(requests.Attestation(nonce=b"n" * 32))))
    fields = verified(reply["Attestation"]["document"], root_der=soft.pki.root_der, at=NOW)
    assert fields["nonce"] == b"other"


def test_a_truncated_reply_is_the_beginning_of_the_real_one(soft: SoftNsm) -> None:
    request = requests.encode(requests.DescribeNSM())
    whole = soft.exchange(request)
    soft.fault = Truncated(10)
    assert soft.exchange(request) == whole[:10]


def test_service_time_and_hangs_are_slept_before_the_document_is_made(pki: NsmPki, clock: Clock) -> None:
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock.seconds += seconds

    soft = SoftNsm(pki=pki, clock=clock, sleep=sleep)
    client.attest(soft.exchange)
    soft.service_time = 0.25
    client.attest(soft.exchange)
    soft.fault = Hangs(2.0)
    late = client.attest(soft.exchange)
    assert slept == [0.25, 2.25]
    assert late.fields.timestamp_ms == 1_767_472_867_402 + 2500


def test_requests_wait_for_one_another(pki: NsmPki) -> None:
    soft = SoftNsm(pki=pki, service_time=0.05)
    threads = [threading.Thread(target=client.get_random, args=[soft.exchange]) for _ in range(4)]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - started >= 4 * 0.05
