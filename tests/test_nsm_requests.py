"""Requests: every byte that we would send, against vectors, and every value that we would not."""

import json
from pathlib import Path

import pytest

from nsm.requests import (
    Attestation,
    DescribeNSM,
    DescribePCR,
    ExtendPCR,
    GetRandom,
    LockPCR,
    LockPCRs,
    Request,
    encode,
)

NONCE = bytes.fromhex("281e7840e77592eac7bef3acb1a8f5752a0b149dda027646e0748a4170296089")

# By hand from RFC 8949: a1 = map of one, 6x = text of x bytes, 18 = one byte integer, 19 = two bytes, 4x = bytes.
BY_HAND: list[tuple[Request, str]] = [
    (DescribeNSM(), "6b" + b"DescribeNSM".hex()),
    (GetRandom(), "69" + b"GetRandom".hex()),
    (DescribePCR(index=0), "a1 6b" + b"DescribePCR".hex() + "a1 65" + b"index".hex() + "00"),
    (DescribePCR(index=23), "a1 6b" + b"DescribePCR".hex() + "a1 65" + b"index".hex() + "17"),
    (DescribePCR(index=24), "a1 6b" + b"DescribePCR".hex() + "a1 65" + b"index".hex() + "18 18"),
    (DescribePCR(index=65535), "a1 6b" + b"DescribePCR".hex() + "a1 65" + b"index".hex() + "19 ffff"),
    (
        ExtendPCR(index=16, data=b"\x01\x02\x03"),
        "a1 69" + b"ExtendPCR".hex() + "a2 65" + b"index".hex() + "10 64" + b"data".hex() + "43 010203",
    ),
    (
        ExtendPCR(index=31, data=b""),
        "a1 69" + b"ExtendPCR".hex() + "a2 65" + b"index".hex() + "18 1f 64" + b"data".hex() + "40",
    ),
    (LockPCR(index=16), "a1 67" + b"LockPCR".hex() + "a1 65" + b"index".hex() + "10"),
    (LockPCRs(range=32), "a1 68" + b"LockPCRs".hex() + "a1 65" + b"range".hex() + "18 20"),
    (
        Attestation(),
        "a1 6b" + b"Attestation".hex() + "a3 65" + b"nonce".hex() + "f6 69" + b"user_data".hex() + "f6 6a"
        "" + b"public_key".hex() + "f6",
    ),
    (
        Attestation(public_key=b"\x30" * 256, user_data=b""),
        "a1 6b" + b"Attestation".hex() + "a3 65" + b"nonce".hex() + "f6 69" + b"user_data".hex() + "40 6a"
        "" + b"public_key".hex() + "59 0100" + "30" * 256,
    ),
]


@pytest.mark.parametrize(("request_", "expected"), BY_HAND, ids=lambda value: str(value)[:40])
def test_a_request_is_encoded_as_computed_by_hand(request_: Request, expected: str) -> None:
    assert encode(request_) == bytes.fromhex(expected)


def test_an_attestation_request_is_the_one_the_predecessor_sent() -> None:
    # The fixed example of its specification, section 4: with user_data, and without.
    head = f"a16b4174746573746174696f6ea3656e6f6e63655820{NONCE.hex()}69757365725f64617461"
    tail = "6a7075626c69635f6b6579f6"

    with_user_data = encode(Attestation(nonce=NONCE, user_data=b"\xcd" * 32))
    without = encode(Attestation(nonce=NONCE))

    assert with_user_data.hex() == f"{head}5820{'cd' * 32}{tail}"
    assert without.hex() == f"{head}f6{tail}"


def test_every_recorded_request_of_the_predecessor_is_reproduced() -> None:
    path = Path(__file__).parents[2] / "shared" / "predecessor" / "vectors" / "nonce.json"
    if not path.is_file():
        pytest.skip(f"PREDECESSOR VECTORS ABSENT: {path}")
    recorded = {v["expected"].get("nsmRequestHex") for v in json.loads(path.read_text())} - {None}
    assert recorded
    for text in sorted(recorded):
        nonce, user_data = _fields_of(bytes.fromhex(text))
        assert encode(Attestation(nonce=nonce, user_data=user_data)).hex() == text


def _fields_of(request: bytes) -> tuple[bytes, bytes | None]:
    """Cut a recorded request at the offsets which its specification gives."""
    assert request[20:22] == b"\x58\x20"
    rest = request[54 + len(b"\x69user_data") :]
    return request[22:54], rest[2:34] if rest.startswith(b"\x58\x20") else None


@pytest.mark.parametrize("index", [-1, 65536, True, 1.0, "1", None])
def test_an_index_that_is_no_u16_is_refused(index: object) -> None:
    for kind in (DescribePCR, LockPCR):
        with pytest.raises(ValueError, match=r"index must be an integer 0\.\.65535"):
            kind(index=index)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="index must be an integer"):
        ExtendPCR(index=index, data=b"")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="range must be an integer"):
        LockPCRs(range=index)  # type: ignore[arg-type]


@pytest.mark.parametrize(("field", "longest"), [("nonce", 512), ("user_data", 512), ("public_key", 1024)])
def test_a_field_of_a_document_has_at_most_what_aws_allows(field: str, longest: int) -> None:
    kept = Attestation(**{field: bytes(longest)})
    assert getattr(kept, field) == bytes(longest)
    with pytest.raises(ValueError, match=f"{field} must have .*{longest} bytes, got {longest + 1}"):
        Attestation(**{field: bytes(longest + 1)})


def test_a_public_key_of_no_bytes_is_refused() -> None:
    with pytest.raises(ValueError, match=r"public_key must have 1\.\.1024 bytes, got 0"):
        Attestation(public_key=b"")


@pytest.mark.parametrize("value", ["text", bytearray(b"x"), 1, memoryview(b"x")])
def test_what_is_not_bytes_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="nonce must be bytes"):
        Attestation(nonce=value)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="data must be bytes"):
        ExtendPCR(index=16, data=value)  # type: ignore[arg-type]


def test_the_largest_attestation_request_fits_the_device() -> None:
    largest = Attestation(nonce=bytes(512), user_data=bytes(512), public_key=bytes(1024))
    assert len(encode(largest)) <= 0x1000
