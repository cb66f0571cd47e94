"""Field elements: what our schemas promise, and that any value gives words or the typed error."""

import hashlib
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclave_worker.fields import records, versioned
from enclave_worker.fields.codec import ORDER, WORD_BYTES, Unencodable
from policy.operations import ENCODINGS, Field, Schema


def schema(*fields: Field) -> Schema:
    return Schema(id="tytle/test/v1", fields=fields)


def one(encoding: str, *, optional: bool = True) -> Schema:
    return schema(Field(name="x", encoding=encoding, optional=optional))


def elements(encoded: bytes) -> list[int]:
    return [int.from_bytes(encoded[at : at + WORD_BYTES], "big") for at in range(0, len(encoded), WORD_BYTES)]


TIME = 1_772_366_405_000
values = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.just(5000).map(lambda digits: 10**digits)  # Hypothesis shows strategies, and Python no such number
    | st.integers(0, ORDER)
    | st.text()
    | st.text(max_size=12)
)


@given(st.sampled_from(ENCODINGS), st.booleans(), values | st.floats() | st.binary() | st.text(st.characters()))
def test_any_value_gives_words_of_the_field_or_the_typed_error(encoding: str, optional: bool, value: Any) -> None:
    chosen = one(encoding, optional=optional)
    try:
        encoded = versioned.encode(chosen, {"x": value}, time_ms=TIME)
    except Unencodable:
        return
    assert len(encoded) == WORD_BYTES * (3 + optional)
    assert all(element < ORDER for element in elements(encoded))


@given(st.sampled_from(("shortString", "sha256", "uint")), values | st.floats() | st.binary())
def test_any_value_of_a_record_gives_one_word_or_the_typed_error(encoding: str, value: Any) -> None:
    try:
        encoded = records.encode((Field(name="x", encoding=encoding),), {"x": value})
    except Unencodable:
        return
    assert len(encoded) == WORD_BYTES
    assert int.from_bytes(encoded, "big") < ORDER


def typed(value: Any) -> tuple[str, Any]:
    """Return what tells True from 1; `repr` refuses integers of more than 4300 digits."""
    return type(value).__name__, value


@given(st.sampled_from(ENCODINGS), st.lists(values, min_size=2, max_size=6, unique_by=typed))
def test_two_values_never_have_the_same_words(encoding: str, several: list[Any]) -> None:
    seen: dict[bytes, Any] = {}
    for value in several:
        try:
            encoded = versioned.encode(one(encoding), {"x": value}, time_ms=TIME)
        except Unencodable:
            continue
        assert seen.setdefault(encoded, typed(value)) == typed(value)


@pytest.mark.parametrize(
    ("encoding", "alike"),
    [("shortString", [None, "", "0"]), ("sha256", [None, ""]), ("uint", [None, 0]), ("boolean", [None, False])],
)
def test_absent_empty_zero_and_false_differ_as_they_did_not_before(encoding: str, alike: list[Any]) -> None:
    ours = [versioned.encode(one(encoding), {"x": value}, time_ms=TIME) for value in alike]
    assert all(a != b for a, b in combinations(ours, 2))
    theirs = {records.encode((Field(name="x", encoding="uint"),), {"x": value}) for value in (None, "", 0, False)}
    assert theirs == {bytes(WORD_BYTES)}


def test_the_words_begin_with_the_schema_and_the_time() -> None:
    chosen = schema(Field(name="a", encoding="shortString"), Field(name="b", encoding="uint", optional=True))
    assert chosen.definition == "tytle/test/v1\na shortString\nb uint?\n"
    first = int.from_bytes(hashlib.sha256(chosen.definition.encode()).digest(), "big") % ORDER
    encoded = versioned.encode(chosen, {"a": "PT", "b": None}, time_ms=TIME)
    assert elements(encoded) == [first, TIME, int.from_bytes(b"PT", "big"), 0, 0]
    assert elements(versioned.encode(chosen, {"a": "PT", "b": 7}, time_ms=TIME))[3:] == [1, 7]


@pytest.mark.parametrize(
    "other",
    [
        Schema(id="tytle/test/v2", fields=(Field(name="x", encoding="uint"),)),
        Schema(id="tytle/test/v1", fields=(Field(name="y", encoding="uint"),)),
        Schema(id="tytle/test/v1", fields=(Field(name="x", encoding="boolean"),)),
        Schema(id="tytle/test/v1", fields=(Field(name="x", encoding="uint", optional=True),)),
    ],
)
def test_words_of_one_definition_are_not_those_of_another(other: Schema) -> None:
    ours = one("uint", optional=False)
    values = {"x": 1, "y": 1} if other.fields[0].encoding == "uint" else {"x": True}
    assert versioned.encode(ours, {"x": 1}, time_ms=TIME)[:32] != versioned.encode(other, values, time_ms=TIME)[:32]


@pytest.mark.parametrize(
    ("encoding", "value"),
    [
        ("shortString", "a" * 32),
        ("shortString", "a\0"),
        ("shortString", 42),
        ("shortString", None),
        ("sha256", "\ud800"),
        ("sha256", b"bytes"),
        ("uint", ORDER),
        ("uint", -1),
        ("uint", True),
        ("uint", "1"),
        ("uint", 1.0),
        ("boolean", 1),
        ("boolean", "true"),
        ("boolean", None),
    ],
)
def test_what_does_not_fit_exactly_is_refused_and_not_repeated(encoding: str, value: Any) -> None:
    with pytest.raises(Unencodable) as caught:
        versioned.encode(one(encoding, optional=False), {"x": value}, time_ms=TIME)
    assert str(caught.value).startswith("x: ")
    assert "aaaa" not in str(caught.value)


@pytest.mark.parametrize("encoding", ["shortString", "sha256", "uint"])
def test_an_integer_that_python_would_not_write_is_refused(encoding: str) -> None:
    for number in (10**5000, -(10**5000)):
        with pytest.raises(Unencodable):
            records.encode((Field(name="x", encoding=encoding),), {"x": number})
        with pytest.raises(Unencodable):
            versioned.encode(one(encoding), {"x": number}, time_ms=TIME)
