"""Documents: every real one is read as collected, every defect is MalformedReply, any bytes give one of the two."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsm.document import Fields, read
from nsm.errors import MalformedReply, NsmError

ABSENT = object()
PCRS = {index: bytes([index]) * 48 for index in range(16)}
PAYLOAD: dict[object, object] = {
    "module_id": "i-0123456789abcdef0-enc0123456789abcdef",
    "digest": "SHA384",
    "timestamp": 1767472867402,
    "pcrs": PCRS,
    "certificate": b"leaf",
    "cabundle": [b"root", b"instance"],
    "public_key": None,
    "user_data": b"data",
    "nonce": None,
}


def document(payload: bytes) -> bytes:
    return cbor2.dumps([bytes.fromhex("a1013822"), {}, payload, bytes(96)])


def changed(field: str, value: object) -> bytes:
    payload = PAYLOAD | {field: value}
    if value is ABSENT:
        del payload[field]
    return document(cbor2.dumps(payload))


@pytest.fixture(scope="module")
def documents() -> Path:
    beside = Path(__file__).parents[2] / "shared" / "attestation-documents"
    folder = Path(os.environ.get("ATTESTATION_DOCUMENTS", beside))
    if not (folder / "real.json").is_file():
        if os.environ.get("CI"):
            pytest.fail(f"CI must not skip: no attestation documents in {folder}")
        pytest.skip(f"REAL ATTESTATION DOCUMENTS ABSENT from {folder}: set ATTESTATION_DOCUMENTS")
    return folder


def real(folder: Path) -> Iterator[tuple[dict[str, Any], bytes]]:
    for entry in json.loads((folder / "real.json").read_text()):
        yield entry, (folder / entry["file"]).read_bytes()


def test_the_fields_of_a_document_are_read() -> None:
    assert read(document(cbor2.dumps(PAYLOAD))) == Fields(
        module_id="i-0123456789abcdef0-enc0123456789abcdef",
        timestamp_ms=1767472867402,
        digest="SHA384",
        pcrs=PCRS,
        user_data=b"data",
        nonce=None,
        public_key=None,
        certificate=b"leaf",
    )


def test_a_map_of_indefinite_length_a_tag_18_and_an_unknown_key_are_accepted() -> None:
    plain = read(document(cbor2.dumps(PAYLOAD)))
    assert read(document(cbor2.dumps(PAYLOAD, indefinite_containers=True))) == plain
    assert read(b"\xd2" + document(cbor2.dumps(PAYLOAD))) == plain
    assert read(document(cbor2.dumps(PAYLOAD | {"new": 1}))) == plain


@pytest.mark.parametrize("field", ["public_key", "user_data", "nonce"])
def test_an_optional_field_may_be_absent_null_or_empty(field: str) -> None:
    assert getattr(read(changed(field, ABSENT)), field) is None
    assert getattr(read(changed(field, None)), field) is None
    assert getattr(read(changed(field, b"")), field) == b""


def test_the_registers_cannot_be_changed_by_their_reader() -> None:
    fields = read(document(cbor2.dumps(PAYLOAD)))
    with pytest.raises(TypeError):
        fields.pcrs[0] = b""  # type: ignore[index]


@pytest.mark.parametrize("field", ["module_id", "digest", "timestamp", "pcrs", "certificate", "cabundle"])
@pytest.mark.parametrize("value", [ABSENT, None, cbor2.undefined], ids=["absent", "null", "undefined"])
def test_a_mandatory_field_may_be_neither_absent_nor_null(field: str, value: object) -> None:
    with pytest.raises(MalformedReply, match=f"{field} must be"):
        read(changed(field, value))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("module_id", ""),
        ("module_id", b"i-"),
        ("digest", "SHA256"),
        ("digest", "sha384"),
        ("timestamp", 0),
        ("timestamp", -1),
        ("timestamp", True),
        ("timestamp", 1.0),
        ("timestamp", "1767472867402"),
        ("timestamp", 2**64),
        ("pcrs", {}),
        ("pcrs", [bytes(48)]),
        ("pcrs", {32: bytes(48)}),
        ("pcrs", {-1: bytes(48)}),
        ("pcrs", {False: bytes(48)}),
        ("pcrs", {0.0: bytes(48)}),
        ("pcrs", {"0": bytes(48)}),
        ("pcrs", {0: bytes(32)}),
        ("pcrs", {0: "0" * 48}),
        ("pcrs", {index: bytes(48) for index in range(33)}),
        ("certificate", "leaf"),
        ("cabundle", []),
        ("cabundle", b"root"),
        ("public_key", "key"),
        ("user_data", 0),
        ("user_data", cbor2.undefined),
        ("nonce", [b"nonce"]),
    ],
)
def test_a_field_of_a_wrong_type_or_value_is_malformed(field: str, value: object) -> None:
    with pytest.raises(MalformedReply):
        read(changed(field, value))


def test_a_register_twice_or_under_a_bignum_is_malformed() -> None:
    payload = cbor2.dumps(PAYLOAD)
    one = cbor2.dumps({0: bytes(48)})
    for wrong in (b"\xa2" + one[1:] * 2, b"\xa1\xc2\x41\x00" + one[2:]):
        damaged = payload.replace(cbor2.dumps(PCRS), wrong)
        assert damaged != payload
        with pytest.raises(MalformedReply):
            read(document(damaged))


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        [b"", {}, b"p"],
        [b"", {}, b"p", b"s", b""],
        [{}, {}, b"p", b"s"],
        [b"", b"", b"p", b"s"],
        [b"", {}, "p", b"s"],
        [b"", {}, None, b"s"],
        [b"", {}, b"", b"s"],
        [b"", {}, b"\x00", b"s"],
        [b"", {}, bytes(16385), b"s"],
        {0: 1},
        b"bytes",
    ],
    ids=repr,
)
def test_what_is_not_a_sign1_of_a_map_is_malformed(wrong: object) -> None:
    with pytest.raises(MalformedReply):
        read(cbor2.dumps(wrong))


def test_bytes_after_the_document_or_its_payload_are_malformed() -> None:
    payload = cbor2.dumps(PAYLOAD)
    for wrong in (document(payload) + b"\x00", document(payload + b"\x00"), b"\xd2\xd2" + document(payload)):
        with pytest.raises(MalformedReply):
            read(wrong)


def test_every_real_enclave_document_is_read_as_collected(documents: Path) -> None:
    count = 0
    for entry, data in real(documents):
        if entry["kind"] != "nsm":
            continue
        count += 1
        fields = read(data)
        assert fields.module_id == entry["module_id"]
        assert fields.timestamp_ms == entry["timestamp_ms"]
        assert fields.digest == entry["digest"]
        assert {str(index): value.hex() for index, value in fields.pcrs.items()} == entry["pcrs"]
        for name in ("public_key", "user_data", "nonce"):
            value = getattr(fields, name)
            assert (value if value is None else len(value)) == entry[name].get("length"), entry["slug"]
    assert count > 60


def test_a_real_nitrotpm_document_is_not_an_enclave_document(documents: Path) -> None:
    others = [data for entry, data in real(documents) if entry["kind"] == "nitrotpm"]
    assert others
    for data in others:
        with pytest.raises(MalformedReply, match="pcrs must be dict, got NoneType"):
            read(data)


def test_an_adversarial_document_is_read_or_malformed(documents: Path) -> None:
    outcomes = set()
    for path in sorted((documents / "adversarial").glob("*.bin")):
        try:
            read(path.read_bytes())
        except MalformedReply:
            outcomes.add("malformed")
        else:
            outcomes.add("read")  # most of them are for a verifier: wrong signatures, chains, times
    assert outcomes == {"malformed", "read"}


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_give_fields_or_an_error_of_this_room(data: bytes) -> None:
    for candidate in (data, document(data)):
        with contextlib.suppress(NsmError):
            read(candidate)


@settings(max_examples=500, deadline=None)
@given(st.integers(0, 1100), st.binary(max_size=4), st.integers(0, 4))
def test_a_damaged_payload_gives_fields_or_an_error_of_this_room(at: int, patch: bytes, removed: int) -> None:
    payload = cbor2.dumps(PAYLOAD)
    with contextlib.suppress(NsmError):
        read(document(payload[:at] + patch + payload[at + removed :]))


def test_every_truncation_of_a_document_is_malformed() -> None:
    whole = document(cbor2.dumps(PAYLOAD))
    for length in range(len(whole)):
        with pytest.raises(MalformedReply):
            read(whole[:length])
