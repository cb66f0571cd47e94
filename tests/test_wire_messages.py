"""Calls and pings: every field, every wrong type, and JSON that two readers could understand differently."""

import base64
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from wire import jsontext, messages
from wire.errors import MessageError
from wire.fields import MAX_TIMEOUT_MS
from wire.messages import PING, Call, Ping

LEAST = {"url": "https://ec.europa.eu/x", "method": "GET"}
CHALLENGE = bytes(range(16))
WELL_FORMED = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
CALLS = st.builds(
    Call,
    id=st.none() | st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=128),
    url=WELL_FORMED.filter(bool),
    method=WELL_FORMED.filter(bool),
    headers=st.dictionaries(WELL_FORMED, WELL_FORMED, max_size=4).map(lambda found: tuple(found.items())),
    body=st.none() | st.binary(max_size=40) | WELL_FORMED.map(str.encode),
    challenge=st.none() | st.binary(min_size=16, max_size=64),
    timeout_ms=st.none() | st.integers(1, MAX_TIMEOUT_MS),
)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def call_of(**fields: Any) -> Call:
    return messages.decode_call(json.dumps({**LEAST, **fields}).encode())


def error_of(payload: bytes) -> MessageError:
    with pytest.raises(MessageError) as caught:
        messages.decode_question(payload)
    return caught.value


def test_the_least_call_is_a_url_and_a_method() -> None:
    assert call_of() == Call(id=None, url="https://ec.europa.eu/x", method="GET")
    assert call_of() == Call(
        id=None,
        url="https://ec.europa.eu/x",
        method="GET",
        headers=(),
        body=None,
        challenge=None,
        mode="document",
        timeout_ms=None,
    )


def test_a_full_call_is_read_field_by_field() -> None:
    call = call_of(
        id="r1",
        method="POST",
        headers={"B": "1", "a": "2"},
        body="Zürich",
        bodyEncoding="utf-8",
        challenge=base64.b64encode(CHALLENGE).decode(),
        mode="document",
        timeoutMs=1500,
    )
    assert call == Call(
        id="r1",
        url="https://ec.europa.eu/x",
        method="POST",
        headers=(("B", "1"), ("a", "2")),
        body="Zürich".encode(),
        challenge=CHALLENGE,
        mode="document",
        timeout_ms=1500,
    )


@pytest.mark.parametrize("field", ["id", "headers", "body", "challenge", "mode", "timeoutMs"])
def test_a_field_that_is_null_counts_as_not_given(field: str) -> None:
    assert call_of(**{field: None}) == call_of()


def test_an_empty_id_counts_as_not_given() -> None:
    assert call_of(id="").id is None


def test_an_empty_body_is_not_the_same_as_none() -> None:
    assert call_of(body="").body == b""
    assert call_of().body is None


def test_a_body_in_base64_is_read_as_the_bytes_it_stands_for() -> None:
    assert call_of(body="AP/+", bodyEncoding="base64").body == b"\x00\xff\xfe"


@pytest.mark.parametrize("size", [16, 64])
def test_a_challenge_of_sixteen_to_sixty_four_bytes_is_kept(size: int) -> None:
    assert call_of(challenge=base64.b64encode(bytes(size)).decode()).challenge == bytes(size)


@pytest.mark.parametrize("milliseconds", [1, MAX_TIMEOUT_MS])
def test_a_timeout_within_its_bounds_is_kept(milliseconds: int) -> None:
    assert call_of(timeoutMs=milliseconds).timeout_ms == milliseconds


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"url": "https://ec.europa.eu/x"},
        {"method": "GET"},
        {"url": "", "method": "GET"},
        {"url": "https://ec.europa.eu/x", "method": ""},
        {"url": None, "method": "GET"},
        {"url": "https://ec.europa.eu/x", "method": None},
        {"type": "pong"},
    ],
)
def test_a_call_without_url_or_method_is_refused_in_the_predecessors_words(fields: dict[str, Any]) -> None:
    assert str(error_of(json.dumps(fields).encode())) == "Missing required fields: url, method"


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("id", 7, "id: must be a string, not a number"),
        ("id", 0, "id: must be a string, not a number"),
        ("id", True, "id: must be a string, not a boolean"),
        ("id", ["r1"], "id: must be a string, not an array"),
        ("id", "r 1", "id: must be 1 to 128 visible ASCII characters without blanks"),
        ("id", "r\n1", "id: must be 1 to 128 visible ASCII characters without blanks"),
        ("id", "\x7f", "id: must be 1 to 128 visible ASCII characters without blanks"),
        ("id", "é", "id: must be 1 to 128 visible ASCII characters without blanks"),
        ("id", "x" * 129, "id: must be 1 to 128 visible ASCII characters without blanks"),
        ("url", 5, "url: must be a string, not a number"),
        ("url", ["https://ec.europa.eu/"], "url: must be a string, not an array"),
        ("url", {"href": "x"}, "url: must be a string, not an object"),
        ("url", True, "url: must be a string, not a boolean"),
        ("method", 5, "method: must be a string, not a number"),
        ("method", ["GET"], "method: must be a string, not an array"),
        ("headers", [], "headers: must be an object, not an array"),
        ("headers", [["a", "b"]], "headers: must be an object, not an array"),
        ("headers", "a: b", "headers: must be an object, not a string"),
        ("headers", 0, "headers: must be an object, not a number"),
        ("headers", False, "headers: must be an object, not a boolean"),
        ("headers", {"a": 1}, "headers: must be a string, not a number"),
        ("headers", {"a": None}, "headers: must be a string, not null"),
        ("headers", {"a": ["1", "2"]}, "headers: must be a string, not an array"),
        ("body", 1, "body: must be a string, not a number"),
        ("body", 1.5, "body: must be a string, not a number"),
        ("body", False, "body: must be a string, not a boolean"),
        ("body", {"a": 1}, "body: must be a string, not an object"),
        ("body", ["a"], "body: must be a string, not an array"),
        ("bodyEncoding", "latin-1", "bodyEncoding: must be utf-8 or base64"),
        ("bodyEncoding", "UTF-8", "bodyEncoding: must be utf-8 or base64"),
        ("bodyEncoding", 8, "bodyEncoding: must be utf-8 or base64"),
        ("bodyEncoding", ["utf-8"], "bodyEncoding: must be utf-8 or base64"),
        ("challenge", 1, "challenge: must be a string, not a number"),
        ("challenge", "", "challenge: must be 16 to 64 bytes in base64"),
        ("challenge", "AAAA", "challenge: must be 16 to 64 bytes in base64"),
        ("challenge", base64.b64encode(bytes(15)).decode(), "challenge: must be 16 to 64 bytes in base64"),
        ("challenge", base64.b64encode(bytes(65)).decode(), "challenge: must be 16 to 64 bytes in base64"),
        ("challenge", "AAAAAAAAAAAAAAAAAAAAAA", "challenge: is not standard base64 with padding"),
        ("challenge", "-_-_-_-_-_-_-_-_-_-_-_-_", "challenge: is not standard base64 with padding"),
        ("mode", "fast", "mode: must be one of: document, batch, session"),
        ("mode", "", "mode: must be one of: document, batch, session"),
        ("mode", 1, "mode: must be a string, not a number"),
        ("timeoutMs", 0, "timeoutMs: must be a whole number from 1 to 120000"),
        ("timeoutMs", -1, "timeoutMs: must be a whole number from 1 to 120000"),
        ("timeoutMs", MAX_TIMEOUT_MS + 1, "timeoutMs: must be a whole number from 1 to 120000"),
        ("timeoutMs", 10**30, "timeoutMs: must be a whole number from 1 to 120000"),
        ("timeoutMs", 1.0, "timeoutMs: must be a whole number from 1 to 120000"),
        ("timeoutMs", True, "timeoutMs: must be a whole number from 1 to 120000"),
        ("timeoutMs", "100", "timeoutMs: must be a whole number from 1 to 120000"),
    ],
)
def test_a_field_of_the_wrong_kind_is_named_and_its_value_is_not_echoed(
    field: str, value: object, message: str
) -> None:
    error = error_of(json.dumps({**LEAST, field: value}).encode())
    assert (error.field, str(error)) == (field, message)


@pytest.mark.parametrize(
    "text",
    ["A", "AP/", "AP/+\n", " AP/+", "AP/+AP", "AP==/+", "A===", "AP/+=", "====", "ü", "AP-_", "AP/+ AP/+", "AB=="],
)
def test_a_body_that_is_not_standard_base64_is_refused(text: str) -> None:
    error = error_of(json.dumps({**LEAST, "body": text, "bodyEncoding": "base64"}).encode())
    assert (error.field, str(error)) == ("body", "body: is not standard base64 with padding")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("chalenge", "'chalenge': unknown field"),
        ("URL", "'URL': unknown field"),
        ("timeout_ms", "'timeout_ms': unknown field"),
        ("type", "'type': unknown field"),
        ("", "'': unknown field"),
        ("a\nb\x1b", "'a\\nb\\x1b': unknown field"),
        ("\ud800", "'\\ud800': unknown field"),
        ("n" * 100, f"'{'n' * 64}': unknown field"),
    ],
)
def test_an_unknown_field_is_refused_and_named_harmlessly(name: str, message: str) -> None:
    assert str(error_of(json.dumps({**LEAST, name: "x"}).encode())) == message


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (b"", "invalid JSON at character 0: Expecting value"),
        (b"nope", "invalid JSON at character 0: Expecting value"),
        (
            b"{bad",
            "invalid JSON at character 1: Expecting property name enclosed in double quotes",
        ),
        (b'{"url":"u","method":"m"}x', "invalid JSON at character 24: Extra data"),
        (b'{"url":"u","method":"m"}{}', "invalid JSON at character 24: Extra data"),
        (b"{'url':'u'}", "invalid JSON at character 1: Expecting property name enclosed in double quotes"),
        (b"[]", "the JSON must be an object"),
        (b'"x"', "the JSON must be an object"),
        (b"5", "the JSON must be an object"),
        (b"null", "the JSON must be an object"),
        (b'{"url":"u","method":"m","url":"v"}', "an object holds the same key twice"),
        (b'{"url":"u","method":"m","\\u0075rl":"v"}', "an object holds the same key twice"),
        (b'{"url":"u","method":"m","headers":{"a":"1","a":"2"}}', "an object holds the same key twice"),
        (b'{"type":"ping","x":{"a":1,"a":2}}', "an object holds the same key twice"),
        (b'{"url":"u","method":"m","timeoutMs":NaN}', "NaN and Infinity are not JSON"),
        (b'{"url":"u","method":"m","timeoutMs":-Infinity}', "NaN and Infinity are not JSON"),
        (b'{"type":"ping","x":Infinity}', "NaN and Infinity are not JSON"),
        (b'{"url":"\xff","method":"m"}', "the JSON is not UTF-8 (byte 8)"),
        (b'{"url":"\xed\xa0\x80","method":"m"}', "the JSON is not UTF-8 (byte 8)"),
        (b'{"url":"\xc0\xaf","method":"m"}', "the JSON is not UTF-8 (byte 8)"),
        ('{"url":"u","method":"m"}'.encode("utf-16"), "the JSON is not UTF-8 (byte 0)"),
        (b'{"url":"a\nb","method":"m"}', "invalid JSON at character 9: Invalid control character at"),
        (b'{"url":"u","method":"m","timeoutMs":' + b"9" * 5000 + b"}", "invalid JSON: a number is too long"),
        (b"[" * 9_000, "the JSON is nested too deeply"),
        (b'{"a":' * 5_000, "the JSON is nested too deeply"),
        (b"[" * 200_000, "the JSON has more than 10000 strings, lists, objects and commas"),
        (b'{"a":' * 200_000, "the JSON has more than 10000 strings, lists, objects and commas"),
        (b'{"type":"ping","x":' + b"[" * 5_000 + b"]" * 5_000 + b"}", "the JSON is nested too deeply"),
    ],
)
def test_json_that_is_not_one_strict_object_is_refused_with_its_reason(payload: bytes, message: str) -> None:
    error = error_of(payload)
    assert (error.field, str(error)) == ("", message)


def test_a_byte_order_mark_is_refused() -> None:
    error_of(b"\xef\xbb\xbf" + json.dumps(LEAST).encode())


def test_a_number_beyond_every_float_is_refused() -> None:
    assert error_of(b'{"url":"u","method":"m","timeoutMs":1e999}').field == "timeoutMs"


@pytest.mark.parametrize("field", ["id", "url", "method", "body", "challenge", "mode"])
def test_half_a_surrogate_pair_is_refused_in_every_text(field: str) -> None:
    error = error_of(json.dumps({**LEAST, field: "a\udc00"}).encode())
    assert (error.field, str(error)) == (field, f"{field}: holds half a surrogate pair")


@pytest.mark.parametrize("headers", [{"a\ud800": "b"}, {"a": "b\udfff"}])
def test_half_a_surrogate_pair_is_refused_in_headers(headers: dict[str, str]) -> None:
    assert str(error_of(json.dumps({**LEAST, "headers": headers}).encode())) == "headers: holds half a surrogate pair"


def test_a_whole_surrogate_pair_is_one_character() -> None:
    assert messages.decode_call(b'{"url":"\\ud83d\\ude00","method":"m"}').url == "\U0001f600"


@pytest.mark.parametrize("payload", [PING, b'{"type":"ping","id":"x","url":5}', b' {"url":[],"type":"ping"} '])
def test_any_object_of_type_ping_is_a_ping(payload: bytes) -> None:
    assert messages.decode_question(payload).message == Ping()


@pytest.mark.parametrize("kind", ["Ping", "pong", 1, None, ["ping"]])
def test_any_other_type_makes_no_ping(kind: object) -> None:
    error_of(json.dumps({"type": kind}).encode())


def test_a_ping_is_no_call() -> None:
    with pytest.raises(MessageError):
        messages.decode_call(PING)


def test_a_call_of_little_is_written_as_the_predecessor_wrote_it() -> None:
    call = Call(id="r1", url="https://ec.europa.eu/x", method="POST", headers=(("A", "1"),), body=b"b")
    assert messages.encode_call(call) == (
        b'{"id":"r1","url":"https://ec.europa.eu/x","method":"POST","headers":{"A":"1"},"body":"b"}'
    )


def test_a_body_of_valid_utf8_travels_as_text_and_any_other_as_base64() -> None:
    assert messages.encode_body("Zürich\0".encode()) == ("Zürich\0", "utf-8")
    assert messages.encode_body(b"") == ("", "utf-8")
    assert messages.encode_body(b"\xff\x00") == ("/wA=", "base64")
    assert messages.encode_body(b"\xed\xa0\x80") == ("7aCA", "base64")


@settings(deadline=None)
@given(CALLS)
def test_a_call_that_was_written_is_read_back_as_it_was(call: Call) -> None:
    assert messages.decode_question(messages.encode_call(call)).message == call


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    CALLS, st.booleans(), st.sampled_from(["", " ", "\r\n\t"]), st.sampled_from([{}, {"id": None}, {"timeoutMs": 9}])
)
def test_a_forwarded_call_says_the_same_under_its_new_id_and_time(
    call: Call, escaped: bool, space: str, more: dict[str, Any]
) -> None:
    fields = json.loads(messages.encode_call(replace(call, id=None, timeout_ms=None)))
    said = json.dumps({**fields, **more}, ensure_ascii=escaped).encode() + space.encode()
    forwarded = messages.forward(said, messages.decode_call(said), request_id='a"b', timeout_ms=7)
    assert messages.decode_question(forwarded).message == replace(call, id='a"b', timeout_ms=7)


def test_what_was_said_is_forwarded_byte_for_byte() -> None:
    said = b'{ "method":"GET","url":"u", "headers" : {"a":"\\t"},"body":"\\"id+"} \n'
    forwarded = messages.forward(said, messages.decode_call(said), request_id="x", timeout_ms=7)
    assert forwarded == said[:-3] + b',"id":"x","timeoutMs":7}'


@pytest.mark.parametrize("name", [b"id", b"\\u0069d", b"i\\u0064", b"timeoutMs", b"timeout\\u004ds"])
def test_a_member_that_was_said_already_is_not_said_twice(name: bytes) -> None:
    said = b'{"method":"GET","url":"u","headers":{"a":"b"},"%b":null}' % name
    forwarded = messages.forward(said, messages.decode_call(said), request_id="x", timeout_ms=7)
    assert messages.decode_call(forwarded) == replace(messages.decode_call(said), id="x", timeout_ms=7)


@settings(deadline=None)
@given(st.binary(max_size=200))
@example(b'{"url":"u","method":"m","headers":{"":""}}')
@example(b'{"type":"ping"}')
@example(b"\xef\xbb\xbf{}")
def test_any_bytes_are_a_call_a_ping_or_a_message_error(payload: bytes) -> None:
    try:
        request = messages.decode_question(payload).message
    except MessageError:
        return
    assert isinstance(request, Call | Ping)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(
        st.sampled_from([*sorted(messages.CALL_FIELDS), "type", "other"]), JSON_VALUES | st.just("ping"), max_size=8
    )
)
def test_any_json_under_the_known_names_is_a_call_a_ping_or_a_message_error(fields: dict[str, Any]) -> None:
    try:
        request = messages.decode_question(json.dumps({**LEAST, **fields}).encode()).message
    except MessageError:
        return
    if isinstance(request, Call):
        assert messages.decode_call(messages.encode_call(request)) == request


@pytest.mark.parametrize(
    ("value", "name"),
    [({}, "an object"), ([], "an array"), ("", "a string"), (True, "a boolean"), (None, "null"), (1, "a number")],
)
def test_a_value_is_described_by_its_json_type_only(value: object, name: str) -> None:
    assert jsontext.kind(value) == name


def test_json_is_written_compactly_and_without_escaping_what_utf8_can_say() -> None:
    assert jsontext.dump({"a": ["é", 1]}) == '{"a":["é",1]}'.encode()


def test_neither_an_error_nor_a_repr_holds_what_was_read() -> None:
    texts = [b'{"m4rk": 1', b'{"m4rk": \xff}', b'["m4rk"]', b'{"m4rk": ' + b"9" * 5000 + b"}", b'{"url":"m4rk\\ud800",']
    texts += [b'{"url":"m4rk\\ud800","method":"GET"}', b'{"url":"u","method":"GET","body":"m4rk\\ud800"}']
    for text in texts:
        error: BaseException | None = error_of(text)
        while error is not None:
            held = [*error.args, *vars(error).values(), getattr(error, "doc", ""), getattr(error, "object", "")]
            assert "m4rk" not in repr(held)
            error = error.__cause__ or error.__context__
    call = call_of(url="https://m4rk.test/", headers={"Authorization": "m4rk"}, body="m4rk")
    assert "m4rk" not in repr(call)
