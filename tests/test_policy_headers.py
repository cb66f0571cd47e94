"""Method and header grammar: what passes reads back from an HTTP/1.1 head as itself; what does not has a reason."""

import email.parser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy.errors import ADVICE, HeaderRefused, MethodRefused
from policy.headers import (
    FORBIDDEN_HEADERS,
    FORBIDDEN_METHODS,
    MAX_HEADER_BYTES,
    MAX_HEADERS,
    MAX_METHOD_BYTES,
    SECRET_HEADERS,
    TOKEN_CHARACTERS,
    Header,
    check_headers,
    check_method,
    is_secret,
    media_type,
)

NAMES = st.text(st.sampled_from(sorted(TOKEN_CHARACTERS)), min_size=1, max_size=12)
VALUES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20).map(str.strip)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.binary(), lambda inner: st.lists(inner, max_size=3)
)

BAD_NAMES = ["", " ", "A B", " A", "A ", "A:", "A: b", ":authority", "A\r\nB", "A\nB", "A\rB", "A\tB", "A\x00", "A\x7f"]
BAD_NAMES += [
    "\u00e9",
    "\u212aeep-Alive",
    "A(b)",
    "A/b",
    'A"',
    "A,b",
    "A;b",
    "A=b",
    "A@b",
    "A[b]",
    "A{b}",
    "A\\b",
    "A?",
]
BAD_VALUES = [
    "a\r\nX-Evil: 1",
    "a\nb",
    "a\rb",
    "a\r\n b",
    "a\r\n",
    "\r\n",
    "a\x00b",
    "a\x7f",
    "a\x0bb",
    "a\x0cb",
    "a\x1b",
]
BAD_VALUES += ["caf\u00e9", "\x80", "\u2028", "\ud800", " a", "a ", "\ta", "a\t", " ", "\t"]


def reason_against(pairs: object) -> str:
    with pytest.raises(HeaderRefused) as caught:
        check_headers(pairs)
    assert caught.value.advice == ADVICE[caught.value.reason]
    return caught.value.reason


def reason_against_method(text: object) -> str:
    with pytest.raises(MethodRefused) as caught:
        check_method(text)
    return caught.value.reason


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_that_is_no_token_is_refused(name: str) -> None:
    assert reason_against([(name, "a")]) == "header.name"


@pytest.mark.parametrize("value", BAD_VALUES)
def test_a_value_with_a_control_character_a_byte_above_ascii_or_a_blank_end_is_refused(value: str) -> None:
    assert reason_against([("A", value)]) == "header.value"


@pytest.mark.parametrize("value", ["", "a", "a b", "a\tb", "!~", "a: b", "a,b;c=d", '"q"', "\\"])
def test_a_value_of_visible_ascii_is_kept_as_it_is(value: str) -> None:
    assert check_headers([("A", value)]) == (Header(name="A", value=value),)


@pytest.mark.parametrize(
    "name", sorted(FORBIDDEN_HEADERS | {"proxy-connection", "proxy-authorization", "proxy-x", "proxy-"})
)
def test_a_forbidden_name_is_refused_in_every_letter_case(name: str) -> None:
    mixed = "".join(letter.upper() if index % 2 else letter for index, letter in enumerate(name))
    for spelling in (name, name.upper(), name.title(), mixed):
        assert reason_against([(spelling, "a")]) == "header.forbidden"


def test_the_forbidden_names_are_those_of_the_design() -> None:
    framing = {"host", "content-length", "transfer-encoding", "connection", "te", "trailer", "upgrade", "expect"}
    assert framing | {"keep-alive", "http2-settings"} == FORBIDDEN_HEADERS


@pytest.mark.parametrize("names", [("A", "A"), ("accept", "Accept"), ("X-A", "b", "x-a")])
def test_a_name_that_occurs_twice_is_refused_whatever_its_case(names: tuple[str, ...]) -> None:
    assert reason_against([(name, "1") for name in names]) == "header.duplicate"


def test_order_and_case_are_kept() -> None:
    pairs = [("X-B", "2"), ("accept", "a/b"), ("2", "x")]
    assert [(header.name, header.value) for header in check_headers(pairs)] == pairs
    assert check_headers(pairs)[0].key == "x-b"
    assert check_headers(()) == ()


def test_the_number_and_the_size_of_headers_are_limited_inclusively() -> None:
    many = [(f"X-{number}", "") for number in range(MAX_HEADERS)]
    assert len(check_headers(many)) == MAX_HEADERS
    assert reason_against([*many, ("Y", "")]) == "header.too-many"
    overhead = len("A: \r\n")
    assert len(check_headers([("A", "a" * (MAX_HEADER_BYTES - overhead))])) == 1
    assert reason_against([("A", "a" * (MAX_HEADER_BYTES - overhead + 1))]) == "header.too-large"


@pytest.mark.parametrize(
    "pairs",
    [
        None,
        7,
        True,
        "ab",
        b"ab",
        {"A": "b"},
        ["ab"],
        [b"ab"],
        [("A",)],
        [("A", "b", "c")],
        [("A", 1)],
        [("A", None)],
        [("A", b"b")],
        [("A", ["b"])],
        [("A", {"b": 1})],
        [(1, "b")],
        [(None, "b")],
        [(b"A", "b")],
        [{"A": "b"}],
        [None],
    ],
)
def test_headers_that_are_no_pairs_of_texts_are_refused_and_are_no_type_error(pairs: object) -> None:
    assert reason_against(pairs) == "header.type"


def test_an_endless_iterator_is_read_only_as_far_as_the_limit() -> None:
    assert reason_against(iter(lambda: ("A", "b"), None)) == "header.too-many"


@given(st.lists(st.tuples(NAMES, VALUES), max_size=5))
def test_accepted_headers_read_back_from_a_message_head_as_themselves(pairs: list[tuple[str, str]]) -> None:
    try:
        headers = check_headers(pairs)
    except HeaderRefused:
        return
    head = "".join(f"{header.name}: {header.value}\r\n" for header in headers) + "\r\n"
    assert email.parser.HeaderParser().parsestr(head).items() == pairs


@given(ANYTHING, st.lists(st.tuples(ANYTHING, ANYTHING), max_size=3))
def test_any_value_is_checked_headers_or_this_rooms_error(whole: object, pairs: list[tuple[object, object]]) -> None:
    for value in (whole, pairs):
        try:
            headers = check_headers(value)
        except HeaderRefused:
            continue
        assert all(isinstance(header, Header) for header in headers)


@pytest.mark.parametrize(
    "method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "M-SEARCH", "A" * MAX_METHOD_BYTES]
)
def test_an_upper_case_token_is_a_method(method: str) -> None:
    assert check_method(method) == method


@pytest.mark.parametrize(
    "method", ["", "get", "Get", "GET ", " GET", "GET\r\n", "G\x00T", "GET/", "G\u00c9T", "A" * (MAX_METHOD_BYTES + 1)]
)
def test_another_text_is_no_method(method: str) -> None:
    assert reason_against_method(method) == "method.grammar"


@pytest.mark.parametrize("method", [None, True, 7, b"GET", ["GET"], {"GET": 1}])
def test_a_method_that_is_no_text_is_refused_and_is_no_type_error(method: object) -> None:
    assert reason_against_method(method) == "method.type"


@pytest.mark.parametrize("method", sorted(FORBIDDEN_METHODS))
def test_a_method_with_no_meaning_here_is_refused(method: str) -> None:
    assert reason_against_method(method) == "method.forbidden"


@pytest.mark.parametrize(
    "value",
    ["text/xml", "TEXT/XML", "text/xml;charset=UTF-8", "text/xml; charset=utf-8", 'text/xml ;\tcharset="utf-8"'],
)
def test_a_media_type_is_compared_without_its_utf_8_parameter(value: str) -> None:
    assert media_type(value) == "text/xml"


@pytest.mark.parametrize(
    "value",
    [
        "",
        "text",
        "text/",
        "/xml",
        "text/xml/x",
        "text/*;q=1",
        "text/xml;",
        "text/xml;charset=utf-16",
        "text/xml;charset=utf-8;x=y",
        "text/xml;x=y;charset=utf-8",
        "text/xml;charset='utf-8'",
        'text/xml;charset="utf-8',
        "text/xml;charset = utf-8",
        "text/xml, text/html",
        "text/xml;charset=utf-8\n",
        "text/xml;\u017fcharset=utf-8",
        "te\u017ft/xml",
    ],
)
def test_another_parameter_or_no_media_type_is_refused(value: str) -> None:
    with pytest.raises(HeaderRefused) as caught:
        media_type(value)
    assert caught.value.reason == "media-type.malformed"


@pytest.mark.parametrize("name", sorted(SECRET_HEADERS))
def test_a_secret_is_a_secret_in_every_letter_case(name: str) -> None:
    assert is_secret(name)
    assert is_secret(name.upper())


def test_a_manifest_can_add_secrets() -> None:
    assert not is_secret("X-Token")
    assert is_secret("X-Token", frozenset({"x-token"}))
    assert is_secret("Cookie", frozenset({"x-token"}))


def test_a_refusal_repeats_no_value() -> None:
    for pairs in ([("Authorization", "hunter2\n")], [("A", "hunter2"), ("a", "hunter2")], [("hunter2 ", "hunter2")]):
        with pytest.raises(HeaderRefused) as caught:
            check_headers(pairs)
        assert "hunter2" not in str(caught.value)
    with pytest.raises(HeaderRefused, match="Content-Type is not"):
        media_type("hunter2")
