"""The strict CBOR language, case by case, and any bytes at all."""

from typing import Any

import cbor2
import pytest
import verifier_kit as kit
from hypothesis import given
from hypothesis import strategies as st

from tytle_verifier import cbor
from tytle_verifier.cbor import DETERMINISTIC, ENVELOPE, PAYLOAD, MalformedCbor

BOTH = [ENVELOPE, PAYLOAD, DETERMINISTIC]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**64), 2**64 - 1) | st.binary(max_size=40) | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4) | st.integers(0, 300), inner),
    max_leaves=20,
)


def decoded(text: str, dialect: cbor.Dialect) -> object:
    return cbor.decode(bytes.fromhex(text), dialect)


@pytest.mark.parametrize("dialect", BOTH)
@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("00", 0),
        ("1818", 24),
        ("1bffffffffffffffff", 2**64 - 1),
        ("3bffffffffffffffff", -(2**64)),
        ("40", b""),
        ("62c3a9", "é"),
        ("820102", [1, 2]),
        ("a2000161610a", {0: 1, "a": 10}),
        ("83f4f5f6", [False, True, None]),
    ],
)
def test_the_common_language_is_read(text: str, value: object, dialect: cbor.Dialect) -> None:
    assert decoded(text, dialect) == value


@pytest.mark.parametrize("dialect", BOTH)
@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "ends early"),
        ("0000", "bytes after"),
        ("00ff", "bytes after"),
        ("ff", "simple value"),
        ("1800", "shortest"),
        ("190017", "shortest"),
        ("1a0000ffff", "shortest"),
        ("1b00000000ffffffff", "shortest"),
        ("5800", "shortest"),
        ("7800", "shortest"),
        ("9800", "shortest"),
        ("b800", "shortest"),
        ("1c", "reserved"),
        ("5d", "reserved"),
        ("9e", "reserved"),
        ("1f", "indefinite"),
        ("3f", "indefinite"),
        ("5f4101ff", "indefinite"),
        ("7f6161ff", "indefinite"),
        ("18", "ends early"),
        ("19ff", "ends early"),
        ("41", "string longer"),
        ("5b7fffffffffffffff", "string longer"),
        ("61ff", "UTF-8"),
        ("63eda080", "UTF-8"),  # a surrogate
        ("8100ff", "bytes after"),
        ("82", "count larger"),
        ("8201", "count larger"),
        ("9bffffffffffffffff", "count larger"),
        ("bbffffffffffffffff", "count larger"),
        ("a100", "count larger"),
        ("c001", "tag"),
        ("d8184100", "tag"),
        ("d9d9f700", "tag"),
        ("c24100", "tag"),
        ("f7", "simple value"),
        ("f800", "simple value"),
        ("f820", "simple value"),
        ("e0", "simple value"),
        ("fc", "simple value"),
        ("a2000000", "count larger"),
        ("a200000001", "twice"),
        ("a2616100616101", "twice"),
        ("a2200020f6", "twice"),
        ("a1410000", "map key"),
        ("a1f400", "map key"),
        ("a1f600", "map key"),
        ("a18000", "map key"),
        ("a1c00000", "map key"),
        ("a1f9000000", "map key"),
        ("a20000180001", "shortest"),
    ],
)
def test_what_is_outside_the_language_is_refused(text: str, problem: str, dialect: cbor.Dialect) -> None:
    with pytest.raises(MalformedCbor, match=problem):
        decoded(text, dialect)


@pytest.mark.parametrize(("text", "value"), [("9f01ff", [1]), ("bfff", {}), ("bf00bf01f6ffff", {0: {1: None}})])
def test_only_payloads_may_leave_a_container_open(text: str, value: object) -> None:
    assert decoded(text, PAYLOAD) == value
    for dialect in (ENVELOPE, DETERMINISTIC):
        with pytest.raises(MalformedCbor, match="indefinite"):
            decoded(text, dialect)


@pytest.mark.parametrize("text", ["9f", "9f01", "bf00ff", "bf00", "bf0001", "bf00010002ff", "9fffff", "9f18ff"])
def test_an_open_container_must_be_closed_once_and_hold_whole_pairs(text: str) -> None:
    with pytest.raises(MalformedCbor):
        decoded(text, PAYLOAD)


@pytest.mark.parametrize("text", ["a20100f600", "a201000000", "a2616200616100", "a262616100616200", "a220000000"])
def test_deterministic_keys_ascend_bytewise(text: str) -> None:
    with pytest.raises(MalformedCbor):
        decoded(text, DETERMINISTIC)


@pytest.mark.parametrize("text", ["a201000000", "a2616200616100"])
def test_elsewhere_the_order_of_keys_means_nothing(text: str) -> None:
    assert decoded(text, PAYLOAD) == cbor2.loads(bytes.fromhex(text))


@pytest.mark.parametrize("text", ["f90000", "f93c00", "f97e00", "f97c00", "fa47c35000", "fb3ff199999999999a", "f98000"])
def test_floats_in_their_shortest_form_are_deterministic_only(text: str) -> None:
    assert repr(decoded(text, DETERMINISTIC)) == repr(cbor2.loads(bytes.fromhex(text)))
    with pytest.raises(MalformedCbor, match="simple value"):
        decoded(text, PAYLOAD)


@pytest.mark.parametrize(
    "text", ["fa3f800000", "fb3ff0000000000000", "f97e01", "fa7fc00000", "fb7ff8000000000000", "f9"]
)
def test_longer_floats_are_refused(text: str) -> None:
    with pytest.raises(MalformedCbor):
        decoded(text, DETERMINISTIC)


@pytest.mark.parametrize("opening", [b"\x81", b"\xa1\x00", b"\x9f", b"\xbf\x00"])
def test_nesting_is_bounded_without_exhausting_the_stack(opening: bytes) -> None:
    for depth in (17, 100_000):
        with pytest.raises(MalformedCbor, match=r"nesting|indefinite"):
            cbor.decode(opening * depth + b"\x00", PAYLOAD)
    assert cbor.decode(b"\x81" * 16 + b"\x00", PAYLOAD) is not None


@given(VALUES)
def test_what_an_independent_encoder_writes_is_read_back_alike(value: Any) -> None:
    for dialect in BOTH:
        assert cbor.decode(kit.cbor(value), dialect) == value


@given(VALUES, st.data())
def test_a_deterministic_meaning_has_one_encoding(value: Any, data: st.DataObject) -> None:
    encoded = bytearray(kit.cbor(value))
    at = data.draw(st.integers(0, len(encoded) - 1))
    encoded[at] ^= data.draw(st.integers(1, 255))
    try:
        other = cbor.decode(bytes(encoded), DETERMINISTIC)
    except MalformedCbor:
        return
    assert repr(other) != repr(value)


@given(st.binary(max_size=200))
def test_any_bytes_give_a_value_or_one_error(data: bytes) -> None:
    for dialect in BOTH:
        try:
            cbor.decode(data, dialect)
        except MalformedCbor:
            continue


@pytest.mark.parametrize("dialect", BOTH)
def test_every_prefix_of_an_item_is_refused(dialect: cbor.Dialect) -> None:
    whole = kit.cbor({"a": [1, {"b": bytes(30)}], "list": ["é" * 20, None, -500]})
    for length in range(len(whole)):
        with pytest.raises(MalformedCbor):
            cbor.decode(whole[:length], dialect)
