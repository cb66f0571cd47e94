"""Queries: every field, every wrong type, and that what is passed on is what came."""

import base64
import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from wire import messages, queries
from wire.errors import MessageError
from wire.fields import MAX_TIMEOUT_MS
from wire.messages import Call
from wire.queries import MAX_PARAMS_DEPTH, QUERY_FIELDS, Query

LEAST = {"service": "vies", "operation": "vies.check_vat", "params": {}}
CHALLENGE = bytes(range(16))
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
PARAMS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
QUERIES = st.builds(
    Query,
    id=st.none() | st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=128),
    service=TEXT.filter(bool),
    operation=TEXT.filter(bool),
    params=st.dictionaries(TEXT, PARAMS, max_size=3),
    schema=st.none() | TEXT.filter(bool),
    challenge=st.none() | st.binary(min_size=16, max_size=64),
    timeout_ms=st.none() | st.integers(1, MAX_TIMEOUT_MS),
)


def query_of(**fields: Any) -> Query:
    return queries.decode(json.dumps({**LEAST, **fields}).encode())


def test_a_full_query_is_read_field_by_field() -> None:
    read = query_of(
        id="q1",
        params={"countryCode": "PT", "more": [1, {"a": None}]},
        schema="VIES",
        challenge=base64.b64encode(CHALLENGE).decode(),
        mode="document",
        timeoutMs=1500,
    )
    assert read == Query(
        id="q1",
        service="vies",
        operation="vies.check_vat",
        params={"countryCode": "PT", "more": [1, {"a": None}]},
        schema="VIES",
        challenge=CHALLENGE,
        mode="document",
        timeout_ms=1500,
    )


def test_the_least_query_leaves_the_rest_to_the_enclave() -> None:
    assert query_of() == Query(id=None, service="vies", operation="vies.check_vat", params={})


def nested(depth: int) -> Any:
    return {} if depth == 0 else {"a": nested(depth - 1)}


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("service", None, "service: missing"),
        ("service", "", "service: must have 1 to 64 characters"),
        ("service", "a" * 65, "service: must have 1 to 64 characters"),
        ("service", 1, "service: must be a string, not a number"),
        ("operation", None, "operation: missing"),
        ("operation", [], "operation: must be a string, not an array"),
        ("params", None, "params: must be an object, not null"),
        ("params", "{}", "params: must be an object, not a string"),
        ("params", {"a": "\ud800"}, "params: holds half a surrogate pair"),
        ("params", {"\ud800": 1}, "params: holds half a surrogate pair"),
        ("params", {"a": [{"b": "\ud800"}]}, "params: holds half a surrogate pair"),
        ("params", nested(MAX_PARAMS_DEPTH), f"params: nested more than {MAX_PARAMS_DEPTH} deep"),
        ("schema", "", "schema: must have 1 to 64 characters"),
        ("schema", True, "schema: must be a string, not a boolean"),
        ("challenge", "AAAA", "challenge: must be 16 to 64 bytes in base64"),
        ("mode", "fast", "mode: must be one of: document, batch, session"),
        ("timeoutMs", 0, "timeoutMs: must be a whole number from 1 to 120000"),
        ("id", "a b", "id: must be 1 to 128 visible ASCII characters without blanks"),
        ("url", "https://ec.europa.eu/", "'url': unknown field"),
        ("type", "query", "'type': unknown field"),
    ],
)
def test_a_wrong_field_is_refused_by_name(field: str, value: object, problem: str) -> None:
    with pytest.raises(MessageError) as caught:
        query_of(**{field: value})
    assert str(caught.value) == problem


def test_missing_params_are_named_and_a_number_that_no_json_can_say_back_is_refused() -> None:
    with pytest.raises(MessageError, match="params: missing"):
        queries.decode(b'{"service":"a","operation":"b"}')
    with pytest.raises(MessageError, match="params: holds a number out of range"):
        queries.decode(b'{"service":"a","operation":"b","params":{"x":1e999}}')


def test_params_as_deep_as_allowed_are_read() -> None:
    assert query_of(params=nested(MAX_PARAMS_DEPTH - 1)).params == nested(MAX_PARAMS_DEPTH - 1)


def test_a_frame_with_an_operation_is_a_query_and_one_without_is_a_call() -> None:
    assert isinstance(messages.decode_question(json.dumps(LEAST).encode()).message, Query)
    assert isinstance(messages.decode_question(b'{"url":"u","method":"m"}').message, Call)
    with pytest.raises(MessageError, match="'url': unknown field"):
        messages.decode_question(json.dumps({**LEAST, "url": "u"}).encode())


@settings(deadline=None)
@given(QUERIES)
def test_a_query_that_was_written_is_read_back_as_it_was(query: Query) -> None:
    assert messages.decode_question(queries.encode(query)).message == query


@settings(deadline=None)
@given(st.binary(max_size=200))
@example(b'{"operation":{}}')
def test_any_bytes_are_a_query_or_a_message_error(payload: bytes) -> None:
    try:
        assert isinstance(queries.decode(payload), Query)
    except MessageError:
        return


@settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from([*sorted(QUERY_FIELDS), "other"]), PARAMS | st.text(max_size=4) | st.floats(), max_size=8
    )
)
def test_any_json_under_the_known_names_is_a_query_or_a_message_error(fields: dict[str, Any]) -> None:
    try:
        query = queries.decode(json.dumps({**LEAST, **fields}).encode())
    except MessageError:
        return
    assert queries.decode(queries.encode(query)) == query
