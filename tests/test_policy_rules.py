"""The decision: what the rules list passes, its neighbours do not, and what got past the predecessor is refused.

The inputs of the `c1` to `c4` tests are those of the predecessor's recorded behaviour, where every one of them
reached the wire (or crashed the process, c4).
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy.errors import ADVICE, HeaderRefused, MethodRefused, NotAllowed, Refused, UrlRefused
from policy.headers import Header
from policy.manifest import load
from policy.rules import ALWAYS_ALLOWED_HEADERS, Allowed, decide

MANIFEST = load(b"""\
name = "example"
cid = 16
port = 5000
ecr_tag = "example"
pcr0_parameter = "/tytle/{env}/enclave/example/pcr0"

[[upstreams]]
host = "ec.europa.eu"
proxy_port = 8443
tls = true

[[upstreams.rules]]
method = "GET"
path = "/A"
query_optional = ["b="]
headers = ["x-a", "x"]
max_response_bytes = 1000

[[upstreams.rules]]
method = "POST"
path = "/A"
headers = ["x-a"]
media_types = ["text/plain", "application/json"]
max_request_bytes = 10
max_response_bytes = 1000

[[upstreams.rules]]
method = "DELETE"
path = "/A/{id:digits:1-9}"
max_response_bytes = 1000

[[upstreams]]
host = "plain.example"
proxy_port = 8080
tls = false

[[upstreams.rules]]
method = "GET"
path = "/A"
max_response_bytes = 1000
""")

URL = "https://ec.europa.eu/A"
TEXT = ("Content-Type", "text/plain")


def ask(url: object = URL, method: object = "GET", headers: object = (), body: object = None) -> Allowed:
    return decide(MANIFEST, url=url, method=method, headers=headers, body=body)


def refusal(url: object = URL, method: object = "GET", headers: object = (), body: object = None) -> Refused:
    with pytest.raises(Refused) as caught:
        ask(url, method, headers, body)
    assert caught.value.advice == ADVICE[caught.value.reason]
    return caught.value


def test_what_the_rules_list_is_allowed_and_comes_back_whole() -> None:
    allowed = ask("https://ec.europa.eu:443/A", "POST", [("X-A", "1"), TEXT], b"0123456789")
    assert (allowed.url.text, allowed.method, allowed.body) == ("https://ec.europa.eu:443/A", "POST", b"0123456789")
    assert allowed.headers == (Header(name="X-A", value="1"), Header(name="Content-Type", value="text/plain"))
    assert allowed.upstream is MANIFEST.upstreams[0]
    assert allowed.rule is MANIFEST.upstreams[0].rules[1]
    assert allowed.upstream.host == allowed.url.host


def test_no_body_and_an_empty_body_are_the_same() -> None:
    assert ask(body=None) == ask(body=b"")
    assert ask(method="POST", body=b"").body == b""


@pytest.mark.parametrize("name", sorted(ALWAYS_ALLOWED_HEADERS))
def test_content_negotiation_and_user_agent_are_allowed_for_every_rule(name: str) -> None:
    assert ask(headers=[(name.title(), "a")]).headers[0].key == name
    assert ask("https://ec.europa.eu/A/1", "DELETE", [(name, "a")]).headers[0].key == name


@pytest.mark.parametrize(
    ("url", "method", "headers", "body", "reason"),
    [
        ("https://api.stripe.com/v1/charges", "GET", [], None, "host.not-allowed"),
        ("https://x.ec.europa.eu/A", "GET", [], None, "host.not-allowed"),
        ("https://europa.eu/A", "GET", [], None, "host.not-allowed"),
        ("https://ec.europa.eu.evil.example/A", "GET", [], None, "host.not-allowed"),
        ("http://ec.europa.eu/A", "GET", [], None, "scheme.not-allowed"),
        ("http://ec.europa.eu:80/A", "GET", [], None, "scheme.not-allowed"),
        ("https://plain.example/A", "GET", [], None, "scheme.not-allowed"),
        ("https://ec.europa.eu/a", "GET", [], None, "path.not-allowed"),
        ("https://ec.europa.eu/A/", "GET", [], None, "path.not-allowed"),
        ("https://ec.europa.eu/%41", "GET", [], None, "path.not-allowed"),
        ("https://ec.europa.eu/A;x=1", "GET", [], None, "path.not-allowed"),
        ("https://ec.europa.eu/A/0123456789", "DELETE", [], None, "path.not-allowed"),
        (URL, "HEAD", [], None, "method.not-allowed"),
        (URL, "DELETE", [], None, "method.not-allowed"),
        (URL + "?c=1", "GET", [], None, "query.not-allowed"),
        (URL + "?b=1&b=2", "GET", [], None, "query.repeated"),
        (URL + "?b=1&&b=2", "GET", [], None, "query.malformed"),
        (URL + "?b=1", "POST", [], None, "query.not-allowed"),
        (URL, "GET", [("X-B", "1")], None, "header.not-allowed"),
        (URL, "GET", [("Authorization", "Bearer x")], None, "header.not-allowed"),
        (URL, "GET", [TEXT], None, "header.not-allowed"),
        (URL, "POST", [("X", "1")], None, "header.not-allowed"),
        (URL, "GET", [], b"a", "body.not-allowed"),
        ("https://ec.europa.eu/A/1", "DELETE", [], b"a", "body.not-allowed"),
        (URL, "POST", [], b"a", "media-type.missing"),
        (URL, "POST", [("content-type", "text/xml")], b"a", "media-type.not-allowed"),
        (URL, "POST", [("content-type", "text/xml")], None, "media-type.not-allowed"),
        (URL, "POST", [("content-type", "text/plain;charset=utf-16")], b"a", "media-type.malformed"),
        (URL, "POST", [TEXT], b"0123456789+", "body.too-large"),
    ],
)
def test_a_neighbour_of_the_rules_is_refused(
    url: str, method: str, headers: list[tuple[str, str]], body: bytes | None, reason: str
) -> None:
    assert refusal(url, method, headers, body).reason == reason


def test_a_required_query_is_asked_for() -> None:
    manifest = load(b"""\
name = "example"
cid = 16
port = 5000
ecr_tag = "example"
pcr0_parameter = "/tytle/{env}/enclave/example/pcr0"
[[upstreams]]
host = "ec.europa.eu"
proxy_port = 8443
tls = true
[[upstreams.rules]]
method = "GET"
path = "/A"
query = ["wsdl"]
max_response_bytes = 1000
""")
    assert decide(manifest, url=URL + "?wsdl", method="GET", headers=(), body=None).url.query == "wsdl"
    with pytest.raises(NotAllowed) as caught:
        decide(manifest, url=URL, method="GET", headers=(), body=None)
    assert caught.value.reason == "query.missing"


@pytest.mark.parametrize(
    "method", ["GET / HTTP/1.1\r\nHost: evil\r\n\r\nGET", "GET / HTTP/1.1\r\nX-Evil: 1\r\n\r\nGET", "get"]
)
def test_c1_a_method_that_carries_a_second_request_is_refused(method: str) -> None:
    found = refusal(method=method)
    assert isinstance(found, MethodRefused)
    assert found.reason == "method.grammar"


@pytest.mark.parametrize(
    ("path", "reason"),
    [("/ HTTP/1.1\r\nX-Evil: 1", "url.space"), ("/a\r\nb\tc", "url.control"), ("/a%0d%0ab", "url.path-escape")],
)
def test_c1_a_path_that_carries_a_header_is_refused(path: str, reason: str) -> None:
    assert refusal("https://ec.europa.eu" + path).reason == reason


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("X-A", "a\r\nX-Evil: 1", "header.value"),
        ("X-A\r\nX-Evil", "a", "header.name"),
        ("A: b", "c", "header.name"),
        ("X", "\u00e9", "header.value"),
        ("X", "a\x00b", "header.value"),
        ("Host", "evil", "header.forbidden"),
        ("host", "evil", "header.forbidden"),
        ("Connection", "keep-alive", "header.forbidden"),
        ("connection", "keep-alive", "header.forbidden"),
        ("Content-Length", "1", "header.forbidden"),
        ("Transfer-Encoding", "chunked", "header.forbidden"),
    ],
)
def test_c2_a_header_that_splits_merges_or_frames_is_refused(name: str, value: str, reason: str) -> None:
    found = refusal(headers=[(name, value)])
    assert isinstance(found, HeaderRefused)
    assert found.reason == reason


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://ec.europa.eu/A", "scheme.not-allowed"),
        ("ftp://ec.europa.eu/A", "url.scheme"),
        ("foo://ec.europa.eu/A", "url.scheme"),
        ("https://ec.europa.eu:8443/A", "url.port"),
        ("https://user:pw@ec.europa.eu/A", "url.userinfo"),
        ("https://ec.europa.eu@evil.com/A", "url.userinfo"),
        ("https://EC.Europa.EU/A", "url.host-upper"),
        ("https://ec.europa.eu./", "url.host-trailing-dot"),
        ("https://ec.europa.eu/A?b=1#frag", "url.fragment"),
        ("https://ec.europa.eu\\@evil.com/A", "url.backslash"),
        ("https://ec.europa.eu/a/../b/./c/%2e%2e/d", "url.dot-segment"),
        ("https://ec.europa.eu/a b/\u00e9?q=\u00e9 x", "url.space"),
        ("  https://ec.europa.eu/a  ", "url.space"),
        ("https://ec.europa.eu", "url.path-missing"),
        ("https://ec.europa.eu/a?", "url.query-empty"),
        ("https://\uff45c.europa.eu/a", "url.non-ascii"),
        ("https://%65c.europa.eu/a", "url.host-percent"),
        ("not a url", "url.space"),
        ("", "url.scheme"),
        ("/a/b", "url.scheme"),
        ("data:text/plain,hi", "url.scheme"),
    ],
)
def test_c3_a_url_of_which_a_part_was_ignored_or_repaired_is_refused(url: str, reason: str) -> None:
    assert refusal(url).reason == reason


@pytest.mark.parametrize("value", [None, True, 7, 1.5, b"x", [], ["x"], {}, {"a": 1}, object()])
def test_c4_a_part_of_the_wrong_type_is_a_refusal_and_no_crash(value: object) -> None:
    assert isinstance(refusal(url=value), UrlRefused)
    assert isinstance(refusal(method=value), MethodRefused)
    assert isinstance(refusal(headers=[("X-A", value)]), HeaderRefused)
    assert isinstance(refusal(headers=[(value, "a")]), HeaderRefused)
    assert isinstance(refusal(headers=[value]), HeaderRefused)


@pytest.mark.parametrize("value", [True, 7, 1.5, "text", ["x"], {"a": 1}, bytearray(b"a"), object()])
def test_c4_a_body_of_the_wrong_type_is_a_refusal_and_no_crash(value: object) -> None:
    assert refusal(method="POST", headers=[TEXT], body=value).reason == "body.type"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(st.just(URL) | JSON, st.sampled_from(["GET", "POST"]) | JSON, st.just([TEXT]) | JSON, JSON)
def test_any_values_are_allowed_or_this_rooms_error(url: object, method: object, headers: object, body: object) -> None:
    try:
        allowed = ask(url, method, headers, body)
    except Refused:
        return
    assert allowed.url.text == url


def test_a_refusal_repeats_no_header_value_no_body_and_no_query() -> None:
    for found in (
        refusal(URL + "?token=hunter2"),
        refusal(headers=[("X-Other", "hunter2")]),
        refusal(method="POST", headers=[("Content-Type", "hunter2/x")], body=b"a"),
        refusal(method="POST", headers=[TEXT], body=b"hunter2hunter2"),
        refusal("https://ec.europa.eu/B?token=hunter2"),
        refusal("https://evil.example/?token=hunter2"),
    ):
        assert "hunter2" not in str(found)


def test_a_refused_path_and_host_are_named_but_not_at_any_length() -> None:
    assert "ec.europa.eu/B" in str(refusal("https://ec.europa.eu/B"))
    assert "evil.example" in str(refusal("https://evil.example/"))
    assert len(str(refusal("https://ec.europa.eu/" + "b" * 5000))) < 400
