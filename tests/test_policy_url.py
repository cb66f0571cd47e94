"""The URL grammar: what it reads it gives back unchanged, and every trick we know of has a reason of its own."""

import re
import string
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy.errors import ADVICE, PolicyError, UrlRefused
from policy.url import MAX_HOST_BYTES, MAX_LABEL_BYTES, MAX_URL_BYTES, Url, check_host, parse

ACCEPTED = [
    "https://ec.europa.eu/",
    "https://ec.europa.eu:443/",
    "http://ec.europa.eu/",
    "http://ec.europa.eu:80/a",
    "https://localhost/",
    "https://a-b.c--d.example/x",
    "https://1.2.3.4.example/",
    "https://1e100.net/",
    "https://0x7f.example/",
    "https://xn--bcher-kva.example/",
    "https://ec.europa.eu/a/",
    "https://ec.europa.eu/a/b/c",
    "https://ec.europa.eu/a@b:c",
    "https://ec.europa.eu/a;b=c",
    "https://ec.europa.eu/~u/!$&'()*+,=",
    "https://ec.europa.eu/.../..a/a../.a/a.",
    "https://ec.europa.eu/%41%7e%2b",
    "https://ec.europa.eu/%252e%252e/%252f",
    "https://ec.europa.eu/%c3%a9",
    "https://ec.europa.eu/a?wsdl",
    "https://ec.europa.eu/a?b=c&d=e",
    "https://ec.europa.eu/a?b=c?d/e",
    "https://ec.europa.eu/a??",
    "https://ec.europa.eu/a?user:pw@evil.example",
    "https://ec.europa.eu/a?/../..%2f%00",
    "https://ec.europa.eu/?q=https://evil.example/",
    "https://ec.europa.eu/https:/evil.example/",
]

# By kind, in the manner of the WHATWG url test data: (text, reason).
TRICKS = [
    # missing pieces and slashes
    ("", "url.scheme"),
    ("/", "url.scheme"),
    ("/a/b", "url.scheme"),
    ("?", "url.scheme"),
    ("//ec.europa.eu/", "url.scheme"),
    ("ec.europa.eu", "url.scheme"),
    ("ec.europa.eu/a", "url.scheme"),
    ("https", "url.scheme"),
    ("https:", "url.scheme"),
    ("https:/", "url.scheme"),
    ("https:ec.europa.eu/", "url.scheme"),
    ("https:/ec.europa.eu/", "url.scheme"),
    ("https//ec.europa.eu/", "url.scheme"),
    ("://ec.europa.eu/", "url.scheme"),
    ("https://", "url.host-empty"),
    ("https:///", "url.host-empty"),
    ("https:///ec.europa.eu/", "url.host-empty"),
    ("https:////ec.europa.eu/", "url.host-empty"),
    ("https://?wsdl", "url.host-empty"),
    ("https://:443/", "url.host-empty"),
    ("https://ec.europa.eu", "url.path-missing"),
    ("https://ec.europa.eu:443", "url.path-missing"),
    ("https://ec.europa.eu?wsdl", "url.path-missing"),
    ("https://ec.europa.eu?/a", "url.path-missing"),
    ("https://ec.europa.eu?@evil.example/", "url.path-missing"),
    # schemes and what looks like one
    ("HTTPS://ec.europa.eu/", "url.scheme"),
    ("Https://ec.europa.eu/", "url.scheme"),
    ("httpS://ec.europa.eu/", "url.scheme"),
    ("httpss://ec.europa.eu/", "url.scheme"),
    ("shttps://ec.europa.eu/", "url.scheme"),
    ("https:https://ec.europa.eu/", "url.scheme"),
    ("ftp://ec.europa.eu/", "url.scheme"),
    ("foo://ec.europa.eu/", "url.scheme"),
    ("ws://ec.europa.eu/", "url.scheme"),
    ("wss://ec.europa.eu/", "url.scheme"),
    ("file:///etc/passwd", "url.scheme"),
    ("javascript:alert(1)", "url.scheme"),
    ("data:text/plain,hi", "url.scheme"),
    ("vsock://3:8443/", "url.scheme"),
    ("blob:https://ec.europa.eu/a", "url.scheme"),
    ("view-source:https://ec.europa.eu/", "url.scheme"),
    ("http%73://ec.europa.eu/", "url.scheme"),
    ("http\u017f://ec.europa.eu/", "url.non-ascii"),  # long s, which upper-cases to S
    ("\uff48ttps://ec.europa.eu/", "url.non-ascii"),
    # userinfo and @ in odd places
    ("https://user@ec.europa.eu/", "url.userinfo"),
    ("https://user:pw@ec.europa.eu/", "url.userinfo"),
    ("https://:pw@ec.europa.eu/", "url.userinfo"),
    ("https://@ec.europa.eu/", "url.userinfo"),
    ("https://:@ec.europa.eu/", "url.userinfo"),
    ("https://ec.europa.eu@evil.example/", "url.userinfo"),
    ("https://ec.europa.eu@", "url.userinfo"),
    ("https://ec.europa.eu:443@evil.example/", "url.userinfo"),
    ("https://a@b@ec.europa.eu/", "url.userinfo"),
    ("https://ec.europa.eu%40evil.example/", "url.host-percent"),
    ("https://evil.example%2f@ec.europa.eu/", "url.userinfo"),
    ("https://[::1]@ec.europa.eu/", "url.userinfo"),
    ("https://ec.europa.eu&@evil.example/", "url.userinfo"),
    ("https://user;x=1@ec.europa.eu/", "url.userinfo"),
    # ports
    ("https://ec.europa.eu:/", "url.port"),
    ("https://ec.europa.eu:0/", "url.port"),
    ("https://ec.europa.eu:80/", "url.port"),
    ("http://ec.europa.eu:443/", "url.port"),
    ("https://ec.europa.eu:8443/", "url.port"),
    ("https://ec.europa.eu:0443/", "url.port"),
    ("https://ec.europa.eu:+443/", "url.port"),
    ("https://ec.europa.eu:-443/", "url.port"),
    ("https://ec.europa.eu:443:443/", "url.port"),
    ("https://ec.europa.eu::443/", "url.port"),
    ("https://ec.europa.eu:443.evil.example/", "url.port"),
    ("https://ec.europa.eu:65979/", "url.port"),  # 443 modulo 65536
    ("https://ec.europa.eu:99999999999999999999/", "url.port"),
    ("https://ec.europa.eu:0x1bb/", "url.port"),
    ("https://ec.europa.eu:443a/", "url.port"),
    ("https://ec.europa.eu:https/", "url.port"),
    ("https://ec.europa.eu:443 /", "url.space"),
    ("https://ec.europa.eu:\u0664\u0664\u0663/", "url.non-ascii"),  # Arabic-Indic digits
    ("https://ec.europa.eu:%34%34%33/", "url.host-percent"),
    # addresses in every spelling
    ("https://127.0.0.1/", "url.ip-literal"),
    ("https://169.254.169.254/latest/meta-data/", "url.ip-literal"),
    ("https://127.0.0.1:443/", "url.ip-literal"),
    ("https://127.1/", "url.ip-literal"),
    ("https://127.0.1/", "url.ip-literal"),
    ("https://0/", "url.ip-literal"),
    ("https://2130706433/", "url.ip-literal"),
    ("https://0177.0.0.1/", "url.ip-literal"),
    ("https://017700000001/", "url.ip-literal"),
    ("https://0x7f.0.0.1/", "url.ip-literal"),
    ("https://0x7f.1/", "url.ip-literal"),
    ("https://0x7f000001/", "url.ip-literal"),
    ("https://0x/", "url.ip-literal"),
    ("https://1.0x/", "url.ip-literal"),
    ("https://1.2.3.0xff/", "url.ip-literal"),
    ("https://256.256.256.256/", "url.ip-literal"),
    ("https://1.2.3.4.5/", "url.ip-literal"),
    ("https://1.2.3.08/", "url.ip-literal"),
    ("https://ec.europa.09/", "url.ip-literal"),
    ("https://0X7F.1/", "url.host-upper"),
    ("https://127.0.0.1./", "url.host-trailing-dot"),
    ("https://[::1]/", "url.ip-literal"),
    ("https://[::ffff:127.0.0.1]/", "url.ip-literal"),
    ("https://[fe80::1%25eth0]/", "url.ip-literal"),
    ("https://[fe80::1%eth0]/", "url.ip-literal"),
    ("https://[v1.x]/", "url.ip-literal"),
    ("https://[ec.europa.eu]/", "url.ip-literal"),
    ("https://[/", "url.ip-literal"),
    ("https://]/", "url.ip-literal"),
    ("https://ec.europa.eu[/", "url.ip-literal"),
    ("https://::1/", "url.host-empty"),
    ("https://fe80::1/", "url.port"),
    ("https://\u2460\u2461\u2466.0.0.1/", "url.non-ascii"),  # circled digits
    ("https://127\u30020.0.1/", "url.non-ascii"),  # ideographic full stop
    # dots, labels, lengths
    ("https://ec.europa.eu./", "url.host-trailing-dot"),
    ("https://ec.europa.eu../", "url.host-trailing-dot"),
    ("https://./", "url.host-trailing-dot"),
    ("https://.ec.europa.eu/", "url.host-label"),
    ("https://ec..europa.eu/", "url.host-label"),
    ("https://-ec.europa.eu/", "url.host-label"),
    ("https://ec-.europa.eu/", "url.host-label"),
    ("https://-/", "url.host-label"),
    (f"https://{'a' * (MAX_LABEL_BYTES + 1)}.eu/", "url.host-label"),
    (f"https://{'.'.join(['a' * MAX_LABEL_BYTES] * 4)}/", "url.host-length"),
    ("https://EC.europa.eu/", "url.host-upper"),
    ("https://ec.europa.eU/", "url.host-upper"),
    # characters in the host
    ("https://ec_europa.eu/", "url.host-character"),
    ("https://ec.europa.eu;x/", "url.host-character"),
    ("https://ec.europa.eu,evil.example/", "url.host-character"),
    ("https://ec.europa.eu&evil.example/", "url.host-character"),
    ("https://ec.europa.eu+evil.example/", "url.host-character"),
    ("https://*.europa.eu/", "url.host-character"),
    ("https://ec.europa.eu!/", "url.host-character"),
    ("https://ec.europa.eu~/", "url.host-character"),
    ("https://(ec.europa.eu)/", "url.host-character"),
    ("https://'ec.europa.eu'/", "url.host-character"),
    ("https://%65c.europa.eu/", "url.host-percent"),
    ("https://ec%2eeuropa.eu/", "url.host-percent"),
    ("https://ec.europa.eu%2f.evil.example/", "url.host-percent"),
    ("https://ec.europa.eu%00.evil.example/", "url.host-percent"),
    ("https://ec.europa.eu%23.evil.example/", "url.host-percent"),
    ("https://ec.europa.eu%/", "url.host-percent"),
    # beyond ASCII
    ("https://\uff45c.europa.eu/", "url.non-ascii"),  # fullwidth e
    ("https://ec\uff0eeuropa.eu/", "url.non-ascii"),  # fullwidth full stop
    ("https://ec.europa.eu\uff0fevil/", "url.non-ascii"),  # fullwidth solidus
    ("https://\u0435c.europa.eu/", "url.non-ascii"),  # Cyrillic ie
    ("https://b\u00fccher.example/", "url.non-ascii"),
    ("https://fa\u00df.example/", "url.non-ascii"),
    ("https://\u212b.example/", "url.non-ascii"),
    ("https://ec.europa\u00ad.eu/", "url.non-ascii"),  # soft hyphen, dropped by IDNA
    ("https://ec.europa\u200b.eu/", "url.non-ascii"),
    ("https://ec.europa.eu/\u2100", "url.non-ascii"),  # a/c under NFKC
    ("https://ec.europa.eu/\u00e9", "url.non-ascii"),
    ("https://ec.europa.eu/?q=\u00e9", "url.non-ascii"),
    ("https://ec.europa.eu/\x80", "url.non-ascii"),
    ("https://ec.europa.eu/\ud800", "url.non-ascii"),
    ("\ufeffhttps://ec.europa.eu/", "url.non-ascii"),
    ("\u00a0https://ec.europa.eu/", "url.non-ascii"),
    # backslashes
    ("https:\\\\ec.europa.eu\\", "url.backslash"),
    ("https:/\\ec.europa.eu/", "url.backslash"),
    ("https:\\/ec.europa.eu/", "url.backslash"),
    ("https://\\ec.europa.eu/", "url.backslash"),
    ("https://ec.europa.eu\\", "url.backslash"),
    ("https://ec.europa.eu\\@evil.example/", "url.backslash"),
    ("https://evil.example\\@ec.europa.eu/", "url.backslash"),
    ("https://ec.europa.eu\\/a", "url.backslash"),
    ("https://ec.europa.eu/a\\..\\b", "url.backslash"),
    ("https://ec.europa.eu/?a\\b", "url.backslash"),
    # controls and blanks
    ("https://ec.europa.eu/\x00", "url.control"),
    ("https://ec.europa.eu\x00.evil.example/", "url.control"),
    ("https://ec.europa.eu/a\tb", "url.control"),
    ("ht\ttps://ec.europa.eu/", "url.control"),
    ("https://ec.eur\nopa.eu/", "url.control"),
    ("https://ec.europa.eu/a\r\nb", "url.control"),
    ("https://ec.europa.eu/ HTTP/1.1\r\nX-Evil: 1", "url.space"),
    ("https://ec.europa.eu/\x0b", "url.control"),
    ("https://ec.europa.eu/\x1f", "url.control"),
    ("https://ec.europa.eu/\x7f", "url.control"),
    ("\x01https://ec.europa.eu/", "url.control"),
    ("https://ec.europa.eu/\n", "url.control"),
    ("\thttps://ec.europa.eu/", "url.control"),
    (" https://ec.europa.eu/", "url.space"),
    ("https://ec.europa.eu/ ", "url.space"),
    ("https:// ec.europa.eu/", "url.space"),
    ("https://ec.europa.eu /", "url.space"),
    ("https://ec.europa.eu/a b", "url.space"),
    ("https://ec.europa.eu/?a b", "url.space"),
    # fragments
    ("https://ec.europa.eu/#", "url.fragment"),
    ("https://ec.europa.eu/#a", "url.fragment"),
    ("https://ec.europa.eu/?a#b", "url.fragment"),
    ("https://ec.europa.eu#@evil.example/", "url.fragment"),
    ("https://evil.example#@ec.europa.eu/", "url.fragment"),
    ("https://ec.europa.eu/#/../a", "url.fragment"),
    # dot segments and empty ones
    ("https://ec.europa.eu/.", "url.dot-segment"),
    ("https://ec.europa.eu/..", "url.dot-segment"),
    ("https://ec.europa.eu/./", "url.dot-segment"),
    ("https://ec.europa.eu/../", "url.dot-segment"),
    ("https://ec.europa.eu/a/../b", "url.dot-segment"),
    ("https://ec.europa.eu/a/./b", "url.dot-segment"),
    ("https://ec.europa.eu/%2e", "url.dot-segment"),
    ("https://ec.europa.eu/%2E%2e/a", "url.dot-segment"),
    ("https://ec.europa.eu/.%2e/a", "url.dot-segment"),
    ("https://ec.europa.eu/%2E./a", "url.dot-segment"),
    ("https://ec.europa.eu/a/%2e%2E", "url.dot-segment"),
    ("https://ec.europa.eu/a/..;/b", "url.dot-segment"),
    ("https://ec.europa.eu/a/..;x=1/b", "url.dot-segment"),
    ("https://ec.europa.eu/a/%2e%2e%3bx/b", "url.dot-segment"),
    ("https://ec.europa.eu/a/.;", "url.dot-segment"),
    ("https://ec.europa.eu/a/..?b", "url.dot-segment"),
    ("https://ec.europa.eu//", "url.empty-segment"),
    ("https://ec.europa.eu//evil.example/", "url.empty-segment"),
    ("https://ec.europa.eu/a//b", "url.empty-segment"),
    ("https://ec.europa.eu/;x/a", "url.empty-segment"),
    ("https://ec.europa.eu/a/;x", "url.empty-segment"),
    # escapes
    ("https://ec.europa.eu/%2f", "url.path-escape"),
    ("https://ec.europa.eu/a%2Fb", "url.path-escape"),
    ("https://ec.europa.eu/..%2fb", "url.path-escape"),
    ("https://ec.europa.eu/a%5cb", "url.path-escape"),
    ("https://ec.europa.eu/..%5C", "url.path-escape"),
    ("https://ec.europa.eu/%00", "url.path-escape"),
    ("https://ec.europa.eu/a%0d%0ab", "url.path-escape"),
    ("https://ec.europa.eu/%0A", "url.path-escape"),
    ("https://ec.europa.eu/%09", "url.path-escape"),
    ("https://ec.europa.eu/%1f", "url.path-escape"),
    ("https://ec.europa.eu/%7F", "url.path-escape"),
    ("https://ec.europa.eu/%", "url.percent"),
    ("https://ec.europa.eu/%4", "url.percent"),
    ("https://ec.europa.eu/%zz", "url.percent"),
    ("https://ec.europa.eu/%u002f", "url.percent"),
    ("https://ec.europa.eu/%%32%65", "url.percent"),
    ("https://ec.europa.eu/a?%", "url.percent"),
    ("https://ec.europa.eu/a?b=%g0", "url.percent"),
    ("https://ec.europa.eu/% 2f", "url.space"),
    # the query, and characters that belong nowhere
    ("https://ec.europa.eu/?", "url.query-empty"),
    ("https://ec.europa.eu/a?", "url.query-empty"),
    ("https://ec.europa.eu/a[0]", "url.character"),
    ("https://ec.europa.eu/a?b[]=c", "url.character"),
    ('https://ec.europa.eu/"', "url.character"),
    ("https://ec.europa.eu/<a>", "url.character"),
    ("https://ec.europa.eu/{a}", "url.character"),
    ("https://ec.europa.eu/a|b", "url.character"),
    ("https://ec.europa.eu/a^b", "url.character"),
    ("https://ec.europa.eu/`", "url.character"),
    ("not a url", "url.space"),
    ("https://ec.europa.eu/" + "a" * MAX_URL_BYTES, "url.too-long"),
]

LABEL_ENDS = st.sampled_from(string.ascii_lowercase + string.digits)
LABELS = st.builds(
    lambda first, middle, last: first + middle + last,
    LABEL_ENDS,
    st.text(string.ascii_lowercase + string.digits + "-", max_size=8),
    LABEL_ENDS,
)
HOSTS = st.builds(
    lambda labels, last: ".".join([*labels, last]), st.lists(LABELS, max_size=3), st.sampled_from(["eu", "x1"])
)
ESCAPES = (
    st.integers(0x21, 0xFF).map(lambda byte: f"%{byte:02X}").filter(lambda text: text not in {"%2F", "%5C", "%7F"})
)
CHARACTERS = st.sampled_from(string.ascii_letters + string.digits + "-._~!$&'()*+,;=:@")
SEGMENTS = (
    st.lists(CHARACTERS | ESCAPES, min_size=1, max_size=6)
    .map("".join)
    .filter(lambda text: re.split("[;]|%3B", text.replace("%2E", "."))[0] not in {"", ".", ".."})
)
PATHS = st.builds(
    lambda segments, last: "/" + "/".join([*segments, last]), st.lists(SEGMENTS, max_size=4), SEGMENTS | st.just("")
)
QUERIES = st.none() | st.lists(CHARACTERS | ESCAPES | st.sampled_from("/?"), min_size=1, max_size=12).map("".join)
URLS = st.builds(
    lambda scheme, host, path, query, port: Url(scheme=scheme, host=host, path=path, query=query, port_given=port),
    st.sampled_from(["https", "http"]),
    HOSTS,
    PATHS,
    QUERIES,
    st.booleans(),
)
TRICKY_PIECES = st.sampled_from(
    [*"@:/\\?#%[]. \t\n\x00;&=", "%2e", "%2f", "%00", "..", "//", "\u00e9", "0x7f", "xn--", ":443"]
)


@given(URLS)
def test_what_is_built_from_valid_parts_is_read_back_as_the_same_value(url: Url) -> None:
    assert parse(url.text) == url


@given(st.text() | st.lists(TRICKY_PIECES).map(lambda pieces: "https://h" + "".join(pieces)))
def test_any_text_is_given_back_unchanged_or_refused(text: str) -> None:
    try:
        url = parse(text)
    except UrlRefused:  # the only error; its reason is checked when it is built
        return
    assert url.text == text


@given(URLS, st.integers(0, 60), TRICKY_PIECES)
def test_whatever_is_accepted_is_read_alike_by_the_standard_library(url: Url, place: int, piece: str) -> None:
    text = url.text[:place] + piece + url.text[place:]
    try:
        parsed = parse(text)
    except UrlRefused:
        return
    _assert_urlsplit_agrees(text, parsed)


@pytest.mark.parametrize("text", ACCEPTED)
def test_an_unusual_but_unambiguous_url_is_accepted_as_the_standard_library_reads_it(text: str) -> None:
    parsed = parse(text)
    assert parsed.text == text
    _assert_urlsplit_agrees(text, parsed)


@pytest.mark.parametrize(("text", "reason"), TRICKS)
def test_a_trick_is_refused_for_its_reason(text: str, reason: str) -> None:
    with pytest.raises(UrlRefused) as caught:
        parse(text)
    assert caught.value.reason == reason
    assert caught.value.advice == ADVICE[reason]


def test_the_tricks_are_distinct_and_give_every_url_reason() -> None:
    assert len({text for text, _ in TRICKS}) == len(TRICKS)
    reasons = {reason for _, reason in TRICKS} | {"url.type"}
    assert reasons == {reason for reason in ADVICE if reason.startswith("url.")}


@pytest.mark.parametrize(
    "value", [None, True, 7, 1.5, b"https://ec.europa.eu/", ["https://ec.europa.eu/"], {}, object()]
)
def test_a_url_that_is_no_text_is_refused_and_is_no_type_error(value: object) -> None:
    with pytest.raises(UrlRefused) as caught:
        parse(value)
    assert caught.value.reason == "url.type"


def test_the_parts_of_a_url() -> None:
    url = parse("https://ec.europa.eu:443/a/b?c=d")
    assert url == Url(scheme="https", host="ec.europa.eu", path="/a/b", query="c=d", port_given=True)
    assert (url.target, url.endpoint) == ("/a/b?c=d", "ec.europa.eu/a/b")
    assert parse("https://ec.europa.eu/a/b").target == "/a/b"


@pytest.mark.parametrize(
    "secret", ["https://u:hunter2@ec.europa.eu/", "https://ec.europa.eu/a?k=hunter2&%", "hunter2://x/"]
)
def test_a_refusal_repeats_neither_userinfo_nor_query(secret: str) -> None:
    with pytest.raises(UrlRefused) as caught:
        parse(secret)
    assert "hunter2" not in str(caught.value)


def test_limits_are_inclusive() -> None:
    text = "https://ec.europa.eu/"
    assert parse(text + "a" * (MAX_URL_BYTES - len(text))).host == "ec.europa.eu"
    label = "a" * MAX_LABEL_BYTES
    longest = f"{label}.{label}.{label}." + "a" * (MAX_HOST_BYTES - 3 * (MAX_LABEL_BYTES + 1))
    assert check_host(longest) == longest
    with pytest.raises(UrlRefused, match="254 characters"):
        check_host(longest + "a")


def test_every_reason_has_advice_and_the_tree_has_one_root() -> None:
    assert all(advice.endswith(".") for advice in ADVICE.values())
    assert issubclass(UrlRefused, PolicyError)


def _assert_urlsplit_agrees(text: str, url: Url) -> None:
    theirs = urlsplit(text)
    assert (theirs.scheme, theirs.hostname, theirs.path) == (url.scheme, url.host, url.path)
    assert theirs.query == (url.query or "")
    assert (theirs.username, theirs.password, theirs.fragment) == (None, None, "")
    assert theirs.port == ({"https": 443, "http": 80}[url.scheme] if url.port_given else None)
