"""Path patterns and query keys: exact, raw, and unable to match more than they show."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy.errors import NotAllowed, PatternError
from policy.paths import CLASSES, MAX_PATTERN_BYTES, check_query, parse_pattern, parse_query_key

NONE: frozenset[str] = frozenset()


def reason_against(query: str | None, required: frozenset[str] = NONE, optional: frozenset[str] = NONE) -> str:
    with pytest.raises(NotAllowed) as caught:
        check_query(query, required, optional)
    return caught.value.reason


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("/", "/"),
        ("/a", "/a"),
        ("/a/", "/a/"),
        ("/a.b/~c", "/a.b/~c"),
        ("/{n:digits:9|12}", "/123456789"),
        ("/{n:digits:9|12}", "/123456789012"),
        ("/a/{n:upper:2}/b/{m:vat:2-12}", "/a/IE/b/8+49289G"),
        ("/{n:alnum:1}", "/z"),
        ("/{n:id:27}", "/ch_3Ln3fO2eZvKYlo2C1kqP3AMr"),
        ("/{n:id:36}", "/a1b2c3d4-e5f6-7890-abcd-ef1234567890"),
    ],
)
def test_a_pattern_matches_its_paths(pattern: str, path: str) -> None:
    assert parse_pattern(pattern).matches(path)


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("/a", "/A"),
        ("/a", "/a/"),
        ("/a/", "/a"),
        ("/a", "a"),
        ("/a", "/%61"),
        ("/a", "/a;x"),
        ("/a", "/a/b"),
        ("/a", "//a"),
        ("/", "//"),
        ("/{n:digits:9|12}", "/1234567890"),
        ("/{n:digits:9|12}", "/12345678"),
        ("/{n:digits:9|12}", "/12345678a"),
        ("/{n:digits:1}", "/\u0661"),
        ("/{n:digits:1}", "/\u00b2"),
        ("/{n:digits:1-3}", "/%31"),
        ("/{n:digits:1}", "/1/"),
        ("/{n:digits:1-9}", "/"),
        ("/{n:upper:2}", "/pt"),
        ("/{n:alnum:2}", "/.."),
        ("/{n:alnum:1}", "/\u00e9"),
        ("/{n:id:2}", "/.."),
        ("/{n:id:1-9}", "/a.b"),
        ("/{n:id:1-9}", "/a%5Fb"),
        ("/{n:vat:2-12}", "/1.2"),
        ("/{n:vat:2-12}", "/a-b"),
        ("/{n:digits:1}", "/1\n"),
    ],
)
def test_a_pattern_does_not_match_the_neighbours(pattern: str, path: str) -> None:
    assert not parse_pattern(pattern).matches(path)


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "a",
        "//",
        "/a//b",
        "/.",
        "/../a",
        "/a b",
        "/a?b",
        "/a%2f",
        "/*",
        "/[0-9]+",
        "/{}",
        "/{n}",
        "/{n:digits}",
        "/{n:digits:}",
        "/{:digits:1}",
        "/{n:word:1}",
        "/{n:[0-9]:1}",
        "/{n:digits:0}",
        "/{n:digits:65}",
        "/{n:digits:999999}",
        "/{n:digits:3-2}",
        "/{n:digits:-2}",
        "/{n:digits:2-}",
        "/{n:digits:1|}",
        "/{n:digits:1-2-3}",
        "/{n:digits:\u0661}",
        "/{n:digits: 1}",
        "/{n n:digits:1}",
        "/a{n:digits:1}",
        "/{n:digits:1}b",
        "/{n:digits:1",
        "/{n:digits:1}/{n:upper:1}",
        "/" + "a" * MAX_PATTERN_BYTES,
    ],
)
def test_a_text_that_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(PatternError):
        parse_pattern(pattern)


@given(st.text(st.sampled_from("/{}:|-a1.digts%*\n"), max_size=30))
def test_any_text_is_a_pattern_or_this_rooms_error(text: str) -> None:
    try:
        pattern = parse_pattern(text)
    except PatternError:
        return
    assert pattern.text == text
    assert pattern.overlaps(pattern)


def test_no_class_holds_what_changes_the_meaning_of_a_path() -> None:
    assert all(not characters & set("/%;?#.\\:@ ") for characters in CLASSES.values())
    assert all(character.isascii() for characters in CLASSES.values() for character in characters)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("/a", "/a", True),
        ("/a", "/b", False),
        ("/a", "/a/b", False),
        ("/12", "/{n:digits:2}", True),
        ("/12", "/{n:digits:3}", False),
        ("/{n:digits:1-3}", "/{m:alnum:3|9}", True),
        ("/{n:digits:1-2}", "/{m:alnum:3|9}", False),
        ("/{n:digits:2}", "/{m:upper:2}", False),
    ],
)
def test_two_patterns_overlap_when_a_path_fits_both(one: str, other: str, expected: bool) -> None:
    assert parse_pattern(one).overlaps(parse_pattern(other)) is expected
    assert parse_pattern(other).overlaps(parse_pattern(one)) is expected


@pytest.mark.parametrize("key", ["wsdl", "page=", "a-b_c.d~1=", "a[]=", "a[0]=", "created[gte]=", "a[b][c]="])
def test_a_query_key_is_bare_or_ends_with_an_equals_sign(key: str) -> None:
    assert parse_query_key(key) == key


@pytest.mark.parametrize(
    "key",
    [
        "",
        "=",
        "a==",
        "a=b",
        "a&b",
        "a b",
        "a%20",
        "\u00e9",
        "a;",
        "[a]=",
        "a[=",
        "a]=",
        "a[b",
        "a[b]c=",
        "a[[b]]=",
        "a[-]=",
        "a%5B%5D=",
    ],
)
def test_another_text_is_no_query_key(key: str) -> None:
    with pytest.raises(PatternError):
        parse_query_key(key)


def test_listed_keys_are_accepted_in_any_order_with_any_value_of_the_grammar() -> None:
    keys = frozenset({"wsdl", "a=", "b="})
    check_query("wsdl", frozenset({"wsdl"}), NONE)
    check_query(None, NONE, keys)
    check_query("b=x&wsdl&a=", keys, NONE)
    check_query("a=b=c/d?e:@%20%26!$'()*+,", NONE, keys)


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        (None, "query.missing"),
        ("b=1", "query.missing"),
        ("a", "query.not-allowed"),
        ("wsdl=&a=", "query.not-allowed"),
        ("a=1&c=2", "query.not-allowed"),
        ("A=1", "query.not-allowed"),
        ("%61=1", "query.not-allowed"),
        ("a[]=1", "query.not-allowed"),
        ("a=1&a=2", "query.repeated"),
        ("a=1&a=1", "query.repeated"),
        ("a=1&&b=2", "query.malformed"),
        ("a=1&", "query.malformed"),
        ("&a=1", "query.malformed"),
        ("=1", "query.malformed"),
        ("a=1&=", "query.malformed"),
        ("a=1;c=2", "query.malformed"),
    ],
)
def test_another_query_is_refused(query: str | None, reason: str) -> None:
    assert reason_against(query, frozenset({"a="}), frozenset({"b=", "wsdl"})) == reason


BRACKETS = frozenset({"created[gte]=", "expand[]=", "expand[0]="})


@pytest.mark.parametrize(
    "query", ["created%5Bgte%5D=1", "created%5bgte%5d=1&expand%5B%5D=a&expand%5B%5D=b", "expand%5B0%5D=a"]
)
def test_brackets_of_a_key_are_written_as_escapes_and_a_list_may_repeat(query: str) -> None:
    check_query(query, NONE, BRACKETS)


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("created%5Bgte%5D=1&created%5bgte%5d=2", "query.repeated"),
        ("expand%5B0%5D=a&expand%5B0%5D=b", "query.repeated"),
        ("created%5Blte%5D=1", "query.not-allowed"),
        ("created=1", "query.not-allowed"),
        ("expand=a", "query.not-allowed"),
        ("expand%5B%5D", "query.not-allowed"),
        ("created%255Bgte%255D=1", "query.not-allowed"),
        ("c%72eated%5Bgte%5D=1", "query.not-allowed"),
    ],
)
def test_another_key_with_brackets_is_refused(query: str, reason: str) -> None:
    assert reason_against(query, NONE, BRACKETS) == reason


def test_a_bare_key_and_the_same_key_with_a_value_are_the_same_key_twice() -> None:
    assert reason_against("a&a=1", NONE, frozenset({"a", "a="})) == "query.repeated"


def test_where_no_key_is_listed_every_query_is_refused_and_not_repeated() -> None:
    assert reason_against("a") == "query.not-allowed"
    with pytest.raises(NotAllowed) as caught:
        check_query("token=hunter2", NONE, NONE)
    assert "hunter2" not in str(caught.value)
    assert "token" not in str(caught.value)
