"""The adapter as a user of `requests` sees it: what goes in, what comes out, and that all of it was verified."""

import gzip
import io
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any

import pytest
import requests
import responses
import verifier_kit as kit
from requests.auth import HTTPDigestAuth
from verifier_cases import RELEASE, ROOT, policy
from verifier_parent import ENDPOINT, HOST, PARENT, URL, Parent, Upstream

from tytle_verifier import Archive, PolicyError, Request, load_request, verify_reply
from tytle_verifier.adapter import AttestedAdapter, NotSendable, attest_only, attestation_of
from tytle_verifier.adapter.call import MAX_BODY_BYTES

BINARY = bytes(range(256)) * 300


@pytest.fixture
def mock() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


@pytest.fixture
def parent(mock: responses.RequestsMock) -> Parent:
    return Parent(mock)


def answering(parent: Parent, **upstream: Any) -> requests.Session:
    parent.upstreams = {URL: Upstream(**upstream)}
    return parent.session()


# --- what comes out --------------------------------------------------------------------------------------------------


def test_an_answer_is_an_ordinary_response_and_carries_its_evidence(parent: Parent) -> None:
    response = parent.session().get(URL)
    assert type(response) is requests.Response
    assert (response.status_code, response.reason, response.ok, response.url) == (200, "OK", True, URL)
    assert response.json() == {"vow": {"available": True}}
    assert (response.encoding, response.history, response.is_redirect) == ("utf-8", [], False)
    assert response.elapsed.total_seconds() > 0
    assert (response.request.method, response.request.url) == ("GET", URL)
    assert (attestation_of(response).verified.release, response.raw.version) == (RELEASE, 11)


def test_the_evidence_verifies_again_for_anybody_who_has_the_reply_and_the_call(parent: Parent) -> None:
    kept = attestation_of(parent.session().get(URL))
    again = verify_reply(kept.reply, policy=policy(), time=Archive(), root=ROOT, request=load_request(kept.call))
    assert again.statement == kept.verified.statement


def test_a_response_from_elsewhere_has_no_attestation(mock: responses.RequestsMock) -> None:
    mock.get(URL, body=b"{}")
    with pytest.raises(ValueError, match="not attested"):
        attestation_of(requests.get(URL, timeout=5))


def test_status_and_body_of_an_error_are_an_answer_too(parent: Parent) -> None:
    response = answering(parent, status=404, body=b"no such page").get(URL)
    with pytest.raises(requests.HTTPError, match="404 Client Error: Not Found") as caught:
        response.raise_for_status()
    assert caught.value.response is response


def test_a_status_without_a_standard_phrase_has_none(parent: Parent) -> None:
    response = answering(parent, status=599).get(URL)
    assert (response.status_code, response.reason) == (599, "")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "body", [b"", b"caf\xc3\xa9\nzwei\r\ndrei", BINARY, b"x" * 1_000_000], ids=["none", "text", "binary", "long"]
)
def test_bodies_come_out_byte_for_byte_whichever_way_they_are_read(parent: Parent, stream: bool, body: bytes) -> None:
    session = answering(parent, body=body, headers=(("Transfer-Encoding", b"chunked"),))
    assert session.get(URL, stream=stream).content == body
    assert b"".join(session.get(URL, stream=stream).iter_content(7_000)) == body
    assert [*session.get(URL, stream=stream).iter_lines()] == body.splitlines() or body == BINARY
    assert session.get(URL, stream=True).raw.read() == body
    with session.get(URL, stream=True) as response:
        assert response.raw.read(3) == body[:3]


def test_a_coded_answer_is_decoded_as_usual_and_verified_as_it_came(parent: Parent) -> None:
    packed = gzip.compress(b"many words " * 100)
    headers = (("Content-Encoding", b"gzip"), ("Content-Length", str(len(packed)).encode()))
    response = answering(parent, body=packed, headers=headers).get(URL, headers={"Accept-Encoding": "gzip"})
    assert response.content == b"many words " * 100
    assert attestation_of(response).verified.body == packed
    assert dict(parent.asked[0].headers)["Accept-Encoding"] == "gzip"
    assert answering(parent, body=packed, headers=headers).get(URL, stream=True).raw.read() == packed


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
def test_an_answer_without_a_body_may_name_the_length_of_one(parent: Parent, method: str, status: int) -> None:
    session = answering(parent, status=status, body=b"", headers=(("Content-Length", b"512"),))
    response = session.request(method, URL)
    assert (response.content, response.headers["content-length"]) == (b"", "512")


def test_headers_are_the_signed_ones_joined_and_in_latin_1(parent: Parent) -> None:
    headers = (("Vary", b"Accept"), ("X-Name", b"Caf\xe9"), ("vary", b"Origin"), ("Link", b"</2>; rel=next"))
    response = answering(parent, headers=headers).get(URL)
    assert (response.headers["VARY"], response.headers["x-name"]) == ("Accept, Origin", "Caf\u00e9")
    assert response.links["next"]["url"] == "/2"
    assert response.raw.headers.getlist("vary") == ["Accept", "Origin"]


def test_every_cookie_gets_into_the_response_and_the_session_and_back_to_the_upstream(parent: Parent) -> None:
    cookies = (("Set-Cookie", b"a=1; Path=/"), ("set-cookie", b"b=2; Expires=Wed, 01 Jan 2098 00:00:00 GMT; Secure"))
    session = answering(parent, headers=cookies)
    assert session.get(URL).cookies.get_dict() == {"a": "1", "b": "2"}
    assert session.cookies.get_dict() == {"a": "1", "b": "2"}
    session.get(URL)
    assert sorted(dict(parent.asked[1].headers)["Cookie"].split("; ")) == ["a=1", "b=2"]


def test_a_session_that_keeps_no_cookies_sends_none(parent: Parent) -> None:
    session = answering(parent, headers=(("Set-Cookie", b"a=1"),))
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.get(URL)
    session.get(URL)
    assert "Cookie" not in dict(parent.asked[1].headers)


# --- what goes in ----------------------------------------------------------------------------------------------------


def test_the_call_says_what_was_asked_and_nothing_that_requests_added_for_a_socket(parent: Parent) -> None:
    parent.session(random=lambda size: b"r" * size).post(URL, json={"a": 1}, headers={"X-Trace": "7"})
    assert parent.calls == [
        {
            "url": URL,
            "method": "POST",
            "headers": {
                "User-Agent": requests.utils.default_user_agent(),
                "Accept": "*/*",
                "X-Trace": "7",
                "Content-Type": "application/json",
            },
            "challenge": kit.b64(b"r" * 32),
            "timeoutMs": 120_000,
            "body": '{"a": 1}',
        }
    ]


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (None, b""),
        (b"", b""),
        ("caf\u00e9", b"caf\xc3\xa9"),
        (BINARY, BINARY),
        (bytearray(b"abc"), b"abc"),
        (io.BytesIO(BINARY), BINARY),
        (io.StringIO("cafe"), b"cafe"),
        (iter([b"one", "zw\u00f6lf", b"\xff"]), b"onezw\xc3\xb6lf\xff"),
        (iter(()), b""),
        ({"key": "a b"}, b"key=a+b"),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.filterwarnings("ignore::requests.exceptions.FileModeWarning")
def test_request_bodies_of_every_kind_arrive_byte_for_byte(parent: Parent, given: Any, sent: bytes) -> None:
    parent.session().post(URL, data=given)
    assert parent.asked[0].body == sent
    assert not {"content-length", "transfer-encoding"} & {name.lower() for name, _ in parent.asked[0].headers}


def test_a_file_is_read_from_where_it_stands(parent: Parent, tmp_path: Path) -> None:
    tmp_path.joinpath("body").write_bytes(b"0123456789")
    with tmp_path.joinpath("body").open("rb") as opened:
        opened.seek(4)
        parent.session().put(URL, data=opened)
    assert (parent.asked[0].body, parent.asked[0].method) == (b"456789", "PUT")


def test_a_multipart_upload_arrives_whole(parent: Parent) -> None:
    parent.session().post(URL, files={"scan": ("a.bin", BINARY)})
    assert BINARY in parent.asked[0].body


def test_a_generator_without_end_is_read_to_the_cap_and_not_sent(parent: Parent) -> None:
    with pytest.raises(NotSendable, match=f"more than {MAX_BODY_BYTES} bytes"):
        parent.session().post(URL, data=(b"x" * 1_000_000 for _ in iter(int, 1)))
    assert parent.calls == []


def test_a_body_of_something_else_is_not_sent(parent: Parent) -> None:
    numbers: Any = iter([1])
    with pytest.raises(NotSendable, match="bytes or text, not of int"):
        parent.session().post(URL, data=numbers)
    assert parent.calls == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Connection", "close"),
        ("Host", "other.example"),
        ("Transfer-Encoding", "gzip, chunked"),
        ("Content-Length", "7"),
    ],
)
def test_a_header_that_the_enclave_writes_cannot_be_given_another_value(parent: Parent, name: str, value: str) -> None:
    prepared = parent.session().prepare_request(requests.Request("POST", URL, data=b"four"))
    prepared.headers[name] = value
    with pytest.raises(NotSendable, match=f"the enclave writes {name} itself"):
        parent.session().send(prepared)
    assert parent.calls == []


@pytest.mark.parametrize(
    ("name", "value"), [("Host", "EC.europa.eu"), ("Connection", "Keep-Alive"), ("Transfer-Encoding", "chunked")]
)
def test_a_header_that_the_enclave_writes_anyway_may_have_the_value_it_will_have(
    parent: Parent, name: str, value: str
) -> None:
    parent.session().get(URL, headers={name: value})
    assert name not in dict(parent.asked[0].headers)


def test_header_values_given_as_bytes_are_sent_as_the_text_they_spell(parent: Parent) -> None:
    parent.session().get(URL, headers={"X-Bytes": b"abc"})
    assert dict(parent.asked[0].headers)["X-Bytes"] == "abc"


def test_user_information_becomes_authorization_and_a_fragment_stays_at_home(parent: Parent) -> None:
    adapter = parent.adapter()
    session = attest_only(requests.Session(), {"https://me:pw@ec.europa.eu/": adapter})
    response = session.get(URL.replace("https://", "https://me:pw@") + "#part")
    assert parent.asked[0].url == URL
    assert dict(parent.asked[0].headers)["Authorization"] == "Basic bWU6cHc="
    assert response.url.endswith("#part")


def test_session_authentication_is_sent_to_the_upstream_and_the_parents_token_to_the_parent(parent: Parent) -> None:
    session = parent.session(parent_headers={"Authorization": "Bearer parent"})
    session.auth = ("me", "pw")
    session.get(URL)
    assert dict(parent.asked[0].headers)["Authorization"] == "Basic bWU6cHc="
    assert parent.sent[0].headers["Authorization"] == "Bearer parent"
    assert parent.sent[0].headers["Accept-Encoding"] == "identity"


def test_digest_authentication_asks_again_through_the_enclave(parent: Parent) -> None:
    def guarded(asked: Request) -> Upstream:
        if "Authorization" in dict(asked.headers):
            return Upstream()
        return Upstream(status=401, headers=(("WWW-Authenticate", b'Digest realm="r", nonce="n", qop="auth"'),))

    parent.upstreams = {URL: guarded}
    response = parent.session().get(URL, auth=HTTPDigestAuth("me", "pw"))
    assert (response.status_code, [attestation_of(r).verified.body for r in response.history]) == (200, [Upstream.body])


@pytest.mark.parametrize(
    ("timeout", "milliseconds", "connect", "read"),
    [
        (None, 120_000, None, 125.0),
        (7, 7_000, 7, 7),
        (0.25, 250, 0.25, 0.25),
        ((3, 10), 10_000, 3, 10),
        ((3, None), 120_000, 3, 125.0),
        ((None, 2.5), 2_500, None, 2.5),
        (300, 120_000, 300, 300),
        (0.0001, 1, 0.0001, 0.0001),
    ],
)
def test_a_timeout_limits_the_enclave_and_the_connection_to_the_parent(
    parent: Parent, timeout: Any, milliseconds: int, connect: float | None, read: float | None
) -> None:
    parent.session().get(URL, timeout=timeout)
    limits = parent.sent[0].req_kwargs["timeout"]  # type: ignore[attr-defined]
    assert (parent.calls[0]["timeoutMs"], limits.connect_timeout, limits.read_timeout) == (milliseconds, connect, read)


@pytest.mark.parametrize("timeout", [(1, 2, 3), "soon", -1])
def test_a_timeout_that_is_none_is_an_error_before_anything_is_sent(parent: Parent, timeout: Any) -> None:
    with pytest.raises(ValueError, match="imeout"):
        parent.session().get(URL, timeout=timeout)
    assert parent.calls == []


def test_verify_cert_and_proxies_are_those_of_the_way_to_the_parent(parent: Parent) -> None:
    session = parent.session()
    session.trust_env = False
    session.get(URL, verify="/ca.pem", cert=("/c.pem", "/k.pem"), proxies={"http": "http://proxy:3128"})
    given = parent.sent[0].req_kwargs  # type: ignore[attr-defined]
    assert (given["verify"], given["cert"], given["proxies"]["http"]) == (
        "/ca.pem",
        ("/c.pem", "/k.pem"),
        "http://proxy:3128",
    )


@pytest.mark.parametrize(("no_proxy", "used"), [("127.0.0.1", {}), ("example.com", {"http": "http://proxy:3128"})])
def test_no_proxy_is_asked_about_the_parent(
    parent: Parent, monkeypatch: pytest.MonkeyPatch, no_proxy: str, used: dict[str, str]
) -> None:
    for name in ("all_proxy", "https_proxy", "ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", "http://proxy:3128")
    monkeypatch.setenv("no_proxy", no_proxy)
    parent.session().get(URL)
    proxies = parent.sent[0].req_kwargs["proxies"]  # type: ignore[attr-defined]
    assert {name: value for name, value in proxies.items() if name != "no"} == used


# --- redirects -------------------------------------------------------------------------------------------------------


def moved(to: str, status: int = 302, **more: Any) -> Upstream:
    return Upstream(status=status, headers=(("Location", to.encode()), ("Set-Cookie", b"hop=1; Path=/")), **more)


def test_a_redirect_is_followed_by_the_session_and_every_hop_is_attested(parent: Parent) -> None:
    parent.upstreams = {URL: moved("/there"), f"{HOST}there": moved(f"{HOST}end", 307), f"{HOST}end": Upstream()}
    response = parent.session().post(URL, data=b"x")
    assert (response.url, [hop.status_code for hop in response.history]) == (f"{HOST}end", [302, 307])
    urls = [attestation_of(hop).verified.statement.answer.request.url for hop in (*response.history, response)]
    assert urls == [URL, f"{HOST}there", f"{HOST}end"]
    assert [asked.method for asked in parent.asked] == ["POST", "GET", "GET"]
    assert dict(parent.asked[1].headers)["Cookie"] == "hop=1"
    assert len({asked.challenge for asked in parent.asked}) == 3


def test_a_file_is_sent_again_where_a_redirect_keeps_the_method(parent: Parent) -> None:
    parent.upstreams = {URL: moved("/there", 308), f"{HOST}there": Upstream()}
    parent.session().post(URL, data=io.BytesIO(b"payload"))
    assert [asked.body for asked in parent.asked] == [b"payload", b"payload"]


def test_a_redirect_may_be_left_alone(parent: Parent) -> None:
    parent.upstreams = {URL: moved("https://elsewhere.example/")}
    response = parent.session().get(URL, allow_redirects=False)
    assert (response.is_redirect, response.next.url if response.next else "") == (True, "https://elsewhere.example/")


@pytest.mark.parametrize("to", ["https://elsewhere.example/?token=1", "http://ec.europa.eu/", "//ec.europa.eu:443/x"])
def test_a_redirect_to_what_is_not_mounted_goes_nowhere(parent: Parent, to: str) -> None:
    parent.upstreams = {URL: moved(to)}
    with pytest.raises(NotSendable, match="no attested adapter is mounted for") as caught:
        parent.session().get(URL)
    assert ("token" in str(caught.value), len(parent.calls)) == (False, 1)


def test_attest_only_leaves_no_other_way_out() -> None:
    session = requests.Session()
    session.mount(f"{HOST}public/", requests.adapters.HTTPAdapter())
    adapter = AttestedAdapter(parent=PARENT, policy=policy())
    attest_only(session, {HOST: adapter})
    assert session.get_adapter(f"{HOST}public/x") is adapter
    with pytest.raises(requests.exceptions.InvalidSchema):
        session.get_adapter("ftp://ec.europa.eu/")
    session.close()


@pytest.mark.parametrize("prefix", ["https://ec.europa.eu", "https://", ""])
def test_a_prefix_that_other_hosts_begin_with_is_not_mounted(prefix: str) -> None:
    with pytest.raises(PolicyError, match="https://host/"):
        attest_only(requests.Session(), {prefix: AttestedAdapter(parent=PARENT, policy=policy())})


def test_a_session_with_nothing_mounted_is_not_made() -> None:
    with pytest.raises(PolicyError, match="at least one"):
        attest_only(requests.Session(), {})


# --- the adapter itself ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url", ["127.0.0.1:5001", "vsock://16", "https://", "http://h/?q", "http://h/#f", "http://[", ""]
)
def test_a_parent_is_an_http_url(url: str) -> None:
    with pytest.raises(PolicyError, match="the parent"):
        AttestedAdapter(parent=url, policy=policy())


def test_a_parent_may_live_below_a_path(mock: responses.RequestsMock) -> None:
    adapter = AttestedAdapter(parent="https://h.example/enclaves/", policy=policy(), sealed=False)
    mock.post("https://h.example/enclaves/attest/fetch", status=404, json={"error": "none", "code": "no_enclave"})
    with pytest.raises(requests.RequestException, match="404 no_enclave"):
        attest_only(requests.Session(), {HOST: adapter}).get(URL)


def test_a_policy_with_a_challenge_of_its_own_does_not_fit() -> None:
    with pytest.raises(PolicyError, match="one challenge for ever"):
        AttestedAdapter(parent=PARENT, policy=policy(challenge=kit.CHALLENGE))


def test_threads_may_share_a_session_and_every_request_has_its_own_challenge(parent: Parent) -> None:
    session = parent.session()
    with ThreadPoolExecutor(8) as pool:
        found = [*pool.map(lambda _: attestation_of(session.get(URL)).verified.statement.challenge, range(40))]
    assert len(set(found)) == 40
    assert set(found) == {asked.challenge for asked in parent.asked}


def test_retries_are_those_of_requests_and_concern_the_parent(mock: responses.RequestsMock) -> None:
    retry = requests.adapters.Retry(total=1, status_forcelist={503}, allowed_methods={"POST"}, backoff_factor=0)
    mock.post(ENDPOINT, status=503, json={"success": False, "error": "busy", "code": "busy", "requestId": "1"})
    parent = Parent(mock)
    response = parent.session(max_retries=retry).get(URL)
    assert (response.status_code, len(mock.calls)) == (200, 2)
    bodies = [json.loads(call.request.body or "")["challenge"] for call in mock.calls]
    assert bodies[0] == bodies[1]
