"""Reading JSON answers: how deep they may be, and that any bytes are one object or malformed."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclave_worker.handlers.answers import MAX_DEPTH, MOST, Answer, read_object
from enclave_worker.handlers.errors import OperationFailed
from enclave_worker.handlers.operation import Ask


def nested(depth: int, *, lists: bool) -> bytes:
    """An object with `depth` objects and lists in one another, itself among them."""
    return (
        b'{"a":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}" if lists else b'{"a":' * depth + b"1" + b"}" * depth
    )


@pytest.mark.parametrize("lists", [True, False])
def test_the_nesting_has_an_exact_limit(lists: bool) -> None:
    assert read_object(nested(MAX_DEPTH, lists=lists)).has("a")
    for depth in (MAX_DEPTH + 1, 200, 5000):
        with pytest.raises(OperationFailed, match="upstream-malformed"):
            read_object(nested(depth, lists=lists))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"1",
        b"[]",
        b"null",
        b"{}{}",
        b'{"a":1,"\\u0061":2}',
        b'{"a":{"b":1,"b":1}}',
        b"\xef\xbb\xbf{}",
        b"{\xff}",
    ],
)
def test_what_is_not_one_object_is_malformed(body: bytes) -> None:
    with pytest.raises(OperationFailed) as caught:
        read_object(body)
    assert caught.value.code == "upstream-malformed"


@given(st.binary(max_size=200))
def test_any_bytes_are_an_object_or_malformed(body: bytes) -> None:
    try:
        answer = read_object(body)
    except OperationFailed:
        return
    assert answer.entries == json.loads(body)


@pytest.mark.parametrize("value", [1.0, "1", True, None, -1, MOST + 1, [], {}])
def test_a_whole_number_is_one_from_zero_to_its_limit(value: Any) -> None:
    assert (Answer({"n": 0}).whole("n"), Answer({"n": MOST}).whole("n")) == (0, MOST)
    with pytest.raises(OperationFailed, match="n is not a whole number"):
        Answer({"n": value}).whole("n")


def test_the_text_of_a_call_shows_neither_its_headers_nor_its_body() -> None:
    ask = Ask(method="POST", url="https://a.example/b", headers=(("Authorization", "planted"),), body=b"planted")
    assert "https://a.example/b" in repr(ask)
    assert "planted" not in repr(ask)
