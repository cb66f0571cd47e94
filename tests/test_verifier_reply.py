"""Steps 0 and 6 to 9 on whole replies: what is genuine verifies, and one mutant per way to fail."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import verifier_kit as kit
import verifier_queries as queries
from hypothesis import given
from hypothesis import strategies as st
from verifier_cases import NOW, RELEASE, REQUEST, ROOT, policy, refused, verify

from tytle_verifier import (
    Archive,
    AttestedFailure,
    Failure,
    NotAttested,
    PolicyError,
    Release,
    Request,
    TlsDemands,
    VerificationError,
    legacy,
    verify_reply,
)

Hook = Callable[[dict[str, Any]], None]
OTHERS = tuple(kit.sha256(bytes([n])) for n in range(6))


def put(*path: Any, value: Any) -> Hook:
    """A hook that sets one place."""

    def hook(made: dict[str, Any]) -> None:
        target: Any = made
        for key in path[:-1]:
            target = target[key]
        target[path[-1]] = value

    return hook


def drop(*path: Any) -> Hook:
    """A hook that deletes one place."""

    def hook(made: dict[str, Any]) -> None:
        target: Any = made
        for key in path[:-1]:
            target = target[key]
        del target[path[-1]]

    return hook


def test_a_genuine_reply_passes_all_ten_steps() -> None:
    verified = verify(kit.reply())
    assert [step.number for step in verified.report.steps] == list(range(10))
    assert (verified.response.status, verified.body, verified.release) == (200, kit.BODY, RELEASE)


@pytest.mark.parametrize("count", range(len(OTHERS) + 1))
def test_a_batch_of_any_size_proves_each_answer(count: int) -> None:
    assert verify(kit.reply(others=OTHERS[:count])).statement.seq == 7


def test_an_attested_failure_verifies_and_hands_out_no_answer() -> None:
    verified = verify(kit.reply(on_statement=kit.failed))
    assert isinstance(verified.outcome, Failure)
    with pytest.raises(AttestedFailure, match="timeout"):
        _ = verified.response


@pytest.mark.parametrize("body", [b"", bytes(range(256)), "naïve \u2028 \U0001f600".encode(), b'{"a":"\x00\\"}'])
def test_any_body_verifies_as_text_or_base64(body: bytes) -> None:
    made = put("exchanges", 0, "response", "body", value=kit.digest(body))
    old = kit.legacy({**kit.statement()}, body)

    def base64_body(whole: dict[str, Any]) -> None:
        whole.update(rawBody=kit.b64(body), bodyEncoding="base64")
        whole["attestation"].update(responseHash=old["responseHash"], nonce=old["nonce"])

    signed = put("nonce", value=bytes.fromhex(old["nonce"]))
    verified = verify(kit.reply(on_statement=made, on_document=signed, on_reply=base64_body))
    assert verified.body == body


# --- step 0 --------------------------------------------------------------------------------------------------------

REPLIES: list[tuple[str, Hook]] = [
    *(("missing key", drop(key)) for key in ("success", "status", "headers", "rawBody")),
    *(("missing key", drop("attestation", key)) for key in ("responseHash", "nsmDocument", "nonce", "mode", "pcrs")),
    ("missing key", drop("attestation", "pcrs", "pcr2")),
    ("unknown key", put("bn255", value="x")),
    ("bn254", put("bn254", value=1)),
    ("bn254Headers", put("bn254Headers", value={"x-vies-name": None})),
    ("code", put("code", value=7)),
    ("result", put("result", value=[])),
    ("result", put("result", value={"a": 1.5})),
    ("result", put("result", value={"a": {}})),
    ("bn254Hash", put("attestation", "bn254Hash", value=None)),
    ("unknown key", put("attestation", "verified", value=True)),
    ("unknown key", put("attestation", "pcrs", "pcr3", value="")),
    ("success", put("success", value=1)),
    ("status", put("status", value="200")),
    ("status", put("status", value=200.0)),
    ("status", put("status", value=True)),
    ("status", put("status", value=-200)),
    ("headers", put("headers", value=[])),
    ("headers", put("headers", "x", value=["1"])),
    ("rawBody", put("rawBody", value=None)),
    ("rawBody", put("rawBody", value={"a": 1})),
    ("bodyEncoding", put("bodyEncoding", value="gzip")),
    ("surrogate", put("rawBody", value="\ud800")),
    ("error", put("error", value={})),
    ("attestation", put("attestation", value=[])),
    ("timestamp", put("attestation", "timestamp", value="1")),
    ("base64", put("attestation", "nsmDocument", value="hES=")),
    ("base64", put("attestation", "nsmDocument", value="hE_-")),
    ("base64", put("attestation", "nsmDocument", value="é")),
    ("canonical", put("attestation", "statement", value="oR==")),
    ("base64", put("attestation", "statement", value="oQ==\n")),
    ("inclusion", put("attestation", "inclusion", value={"index": 0, "size": 1})),
    ("size", put("attestation", "inclusion", value={"index": 0, "size": 0, "path": []})),
    ("index", put("attestation", "inclusion", value={"index": -1, "size": 1, "path": []})),
    ("path", put("attestation", "inclusion", value={"index": 0, "size": 1, "path": [1]})),
    ("base64", put("attestation", "inclusion", value={"index": 0, "size": 1, "path": ["00" * 31 + "0"]})),
    ("document size", put("attestation", "nsmDocument", value="")),
    ("document size", put("attestation", "nsmDocument", value=kit.b64(bytes(20_481)))),
]


@pytest.mark.parametrize(("problem", "hook"), REPLIES)
def test_step_0_refuses_a_reply_of_another_shape(problem: str, hook: Hook) -> None:
    refused(0, problem, verify, kit.reply(on_reply=hook))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"1",
        b"{",
        b"\xff{}",
        b"\xef\xbb\xbf{}",
        kit.reply() + b"x",
        kit.reply().decode().encode("utf-16"),
        b'{"success":true,' + kit.reply()[1:],
        kit.reply().replace(b'"status":200', b'"status":NaN'),
        b"[" * 100_000,
        b'{"attestation":' * 100_000,
        b'{"status":' + b"9" * 5000 + b"," + kit.reply()[1:],
        bytes(16 * 1024 * 1024 + 1),
    ],
    ids=range(15),
)
def test_step_0_refuses_what_is_not_one_json_object(data: bytes) -> None:
    refused(0, "", verify, data)


@pytest.mark.parametrize(
    "value", [{}, {"success": True, "rawBody": "trust me"}, {"attestation": None, "error": "full"}]
)
def test_an_answer_without_evidence_is_named_so(value: dict[str, Any]) -> None:
    assert isinstance(refused(0, "no attestation", verify, json.dumps(value).encode()), NotAttested)


def test_a_body_without_an_encoding_is_text() -> None:
    verify(kit.reply(on_reply=drop("bodyEncoding")))


# --- step 7 --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["none", "", "Document", "sessions"])
def test_step_7_refuses_an_unknown_mode_by_name(mode: str) -> None:
    error = refused(7, "unknown mode", verify, kit.reply(on_reply=put("attestation", "mode", value=mode)))
    assert "document or batch or session" in str(error)


def test_step_7_ties_the_mode_to_the_documents_nonce_and_size() -> None:
    as_batch = put("attestation", "mode", value="batch")
    refused(7, "nonce in mode batch", verify, kit.reply(on_reply=as_batch))
    as_document = put("attestation", "mode", value="document")
    refused(7, "nonce in mode document", verify, kit.reply(others=(), on_reply=as_document))
    refused(7, "size in mode document", verify, kit.reply(others=OTHERS, on_reply=as_document))
    for nonce in (None, b"", bytes(31), bytes(33)):
        refused(7, "nonce in mode document", verify, kit.reply(on_document=put("nonce", value=nonce)))


def test_step_7_wants_user_data_that_commits_to_this_statement() -> None:
    refused(7, "no user_data", verify, kit.reply(on_document=put("user_data", value=None)))
    refused(7, "user_data", verify, kit.reply(on_document=put("user_data", value=b"")))
    refused(7, "user_data", verify, kit.reply(on_document=put("user_data", value=kit.sha256(b"bare hash"))))
    refused(7, "tree root", verify, kit.reply(on_user_data=put("root", value=bytes(32))))
    other = kit.b64(kit.cbor({**kit.statement(), "seq": 8}))
    refused(7, "tree root", verify, kit.reply(on_reply=put("attestation", "statement", value=other)))


def test_step_7_wants_the_trees_size_and_the_leafs_place() -> None:
    batch = json.loads(kit.reply(others=OTHERS))["attestation"]["inclusion"]
    for change in ({"size": 8}, {"index": 5}, {"path": batch["path"][:-1]}, {"path": [*batch["path"], "A" * 43 + "="]}):
        hook = put("attestation", "inclusion", value={**batch, **change})
        refused(7, "", verify, kit.reply(others=OTHERS, on_reply=hook))
    refused(7, "inclusion size", verify, kit.reply(others=OTHERS, on_reply=drop("attestation", "inclusion")))
    trivial = put("attestation", "inclusion", value={"index": 0, "size": 1, "path": []})
    verify(kit.reply(on_reply=trivial))


def test_step_7_compares_fields_with_the_statements_result() -> None:
    same, other = put("fields", value=queries.FIELDS), put("fields", value=b"g" * 32)
    verify(queries.reply(on_user_data=same), request=None)
    refused(7, "user_data.fields", verify, queries.reply(on_user_data=other), request=None)
    refused(7, "user_data.fields", verify, queries.unanswered(on_user_data=same), request=None)
    refused(7, "user_data.fields", verify, kit.reply(on_user_data=same))


# --- step 8 --------------------------------------------------------------------------------------------------------

ASKED, GOT, UPSTREAM = ("exchanges", 0, "request"), ("exchanges", 0, "response"), ("exchanges", 0, "upstream")
STATEMENTS: list[tuple[str, Hook]] = [
    ("service", put("service", value="stripe")),
    ("manifest", put("manifest", value=bytes(32))),
    ("statement time", put("time", value=kit.SIGNED_MS - 300_001)),
    ("statement time", put("time", value=kit.SIGNED_MS + 300_001)),
    ("challenge", put("challenge", value=bytes(21))),
    ("challenge", drop("challenge")),
    ("request id", put("id", value="call-2")),
    ("request line", put(*ASKED, "method", value="GET")),
    ("request line", put(*ASKED, "url", value=kit.URL + "0")),
    ("URL", put(*ASKED, "url", value="https://ec.europa.eu/#x")),
    ("request headers", put(*ASKED, "headers", value=[])),
    ("request headers", put(*ASKED, "headers", 0, 0, value="content-type")),
    ("request header", put(*ASKED, "headers", 0, 1, value=b"text/xml")),
    ("request header", put(*ASKED, "headers", 1, 1, value=b"Bearer another")),
    ("request body", put(*ASKED, "body", value=kit.digest(b"another question"))),
    ("request body", put(*ASKED, "body", "length", value=0)),
    ("TLS version", put(*UPSTREAM, "tls", value=None)),
    ("TLS version", put(*UPSTREAM, "tls", value="TLSv1.1")),
]


@pytest.mark.parametrize(("problem", "hook"), STATEMENTS)
def test_step_8_refuses_a_statement_about_something_else(problem: str, hook: Hook) -> None:
    refused(8, problem, verify, kit.reply(on_statement=hook))


@pytest.mark.parametrize("order", [(1, 0, 2), (0, 1), (0, 1, 2, 2)])
def test_step_8_compares_request_headers_in_order(order: tuple[int, ...]) -> None:
    asked = Request(**{**fields_of(REQUEST), "headers": tuple(kit.HEADERS[n] for n in order)})
    refused(8, "request headers", verify, kit.reply(), request=asked)


def fields_of(request: Request) -> dict[str, Any]:
    return {name: getattr(request, name) for name in ("method", "url", "headers", "body", "challenge", "id")}


SHOWN: list[tuple[str, Hook]] = [
    ("success", put("success", value=False)),
    ("status", put("status", value=201)),
    ("response headers", put("headers", value={})),
    ("response headers", put("headers", "content-type", value="text/html")),
    ("response headers", put("headers", "x-added", value="1")),
    ("response headers", put("headers", "set-cookie", value="a=1")),
    ("response headers", put("headers", "set-cookie", value="b=é, a=1")),
    ("response body", put("rawBody", value=kit.BODY.decode() + " ")),
    ("response body", put("rawBody", value=kit.BODY.decode().replace("true", "truE"))),
    ("response body", put("rawBody", value="")),
]


@pytest.mark.parametrize(("problem", "hook"), SHOWN)
def test_step_8_refuses_a_reply_that_shows_something_else(problem: str, hook: Hook) -> None:
    refused(8, problem, verify, kit.reply(on_reply=hook))


@pytest.mark.parametrize(
    ("problem", "hook"),
    [
        ("success", put("success", value=True)),
        ("status of a failed fetch", put("status", value=200)),
        ("status of a failed fetch", put("status", value=502)),
        ("shows an answer", put("rawBody", value="x")),
        ("shows an answer", put("headers", "x", value="1")),
    ],
)
def test_step_8_lets_a_failure_show_no_answer(problem: str, hook: Hook) -> None:
    refused(8, problem, verify, kit.reply(on_statement=kit.failed, on_reply=hook))


def test_step_8_compares_a_body_that_the_caller_holds() -> None:
    verify(kit.reply(), body=kit.BODY)
    refused(8, "the body held", verify, kit.reply(), body=kit.BODY + b"\n")
    refused(8, "the body held", verify, kit.reply(), body=b"")
    refused(8, "the body held", verify, kit.reply(on_statement=kit.failed), body=b"")


def test_step_8_keeps_the_policys_urls_and_methods() -> None:
    allowed = (kit.URL, kit.URL[:50] + "*", "https://ec.europa.eu/*")
    for rule in allowed:
        verify(kit.reply(), policy=policy(urls=("https://other.example/", rule), methods=frozenset({"POST"})))
    for rule in (kit.URL[:-1], "https://ec.europa.eu.evil.example/*", "http://ec.europa.eu/*"):
        refused(8, "URL", verify, kit.reply(), policy=policy(urls=(rule,)))
    refused(8, "method", verify, kit.reply(), policy=policy(methods=frozenset({"GET"})))


def test_step_8_judges_every_exchange_and_shows_the_last() -> None:
    def two(made: dict[str, Any]) -> None:
        made["exchanges"] = [kit.exchange(), *made["exchanges"]]
        made["exchanges"][0]["request"]["url"] = "https://ec.europa.eu/session"

    verify(kit.reply(on_statement=two))
    refused(8, "URL", verify, kit.reply(on_statement=two), policy=policy(urls=(kit.URL,)))

    def first_in_the_clear(made: dict[str, Any]) -> None:
        two(made)
        made["exchanges"][0]["upstream"] = {"tls": None}

    refused(8, "TLS version", verify, kit.reply(on_statement=first_in_the_clear))


def in_the_clear(made: dict[str, Any]) -> None:
    made["exchanges"][0]["request"]["url"] = kit.URL.replace("https", "http")
    made["exchanges"][0]["upstream"] = {"tls": None}


def test_step_8_allows_plain_http_by_name_only() -> None:
    reply = kit.reply(on_statement=in_the_clear)
    refused(8, "plain HTTP", verify, reply, request=None)
    named = policy(tls=TlsDemands(plain_http_hosts=frozenset({"ec.europa.eu"})))
    verify(reply, request=None, policy=named)
    other = policy(tls=TlsDemands(plain_http_hosts=frozenset({"europa.eu"})))
    refused(8, "plain HTTP", verify, reply, request=None, policy=other)

    def both(made: dict[str, Any]) -> None:
        in_the_clear(made)
        made["exchanges"][0]["upstream"] = {"tls": "TLSv1.3"}

    refused(8, "TLS under an http URL", verify, kit.reply(on_statement=both), request=None, policy=named)
    stripped = put(*UPSTREAM, "tls", value=None)
    refused(8, "TLS version", verify, kit.reply(on_statement=stripped), policy=named)


def test_step_8_keeps_tls_demands() -> None:
    newest = policy(tls=TlsDemands(versions=frozenset({"TLSv1.3"})))
    verify(kit.reply(), policy=newest)
    older = put(*UPSTREAM, "tls", value="TLSv1.2")
    verify(kit.reply(on_statement=older))
    refused(8, "TLS version", verify, kit.reply(on_statement=older), policy=newest)
    pinned = policy(tls=TlsDemands(spki=frozenset({b"s" * 32})))
    verify(kit.reply(), policy=pinned)
    refused(8, "public key", verify, kit.reply(on_statement=drop(*UPSTREAM, "spki")), policy=pinned)
    refused(8, "public key", verify, kit.reply(), policy=policy(tls=TlsDemands(spki=frozenset({b"t" * 32}))))


def test_step_8_finds_the_challenge_in_the_request_or_the_policy() -> None:
    reply, other = kit.reply(), b"another challenge"
    verify(reply, request=None, policy=policy(challenge=kit.CHALLENGE, require_challenge=True))
    verify(reply, policy=policy(require_challenge=True))
    refused(8, "challenge", verify, reply, request=None, policy=policy(challenge=other))
    refused(8, "challenge", verify, reply, request=None, policy=policy(require_challenge=True))
    with pytest.raises(PolicyError, match="different challenges"):
        verify(reply, policy=policy(challenge=other))


def test_an_unpinned_manifest_and_a_missing_request_are_reported_as_not_checked() -> None:
    loose = Release(commit=kit.COMMIT, pcrs=RELEASE.pcrs)
    changed = kit.reply(on_statement=put("manifest", value=bytes(32)))
    lines = " ".join(verify(changed, request=None, policy=policy(releases=(loose,))).report.not_checked)
    missing = ("manifest", "challenge", "what was asked", "mode", "URL", "method", "withheld", "revocation")
    missing += ("attestationId",)
    assert [word for word in missing if word not in lines] == []


URLS = [
    "ftp://a.example/",
    "https://a.example",
    "https://user@a.example/",
    "https://a.example:8443/",
    "http://a.example:443/",
    "https://A.example/",
    "https://a..example/",
    "https://a.example./",
    "https://-a.example/",
    "https://é.example/",
    "https://a.example/é",
    "https://a.example/ ",
    "https://a.example/#",
    "https://a.example/?",
    f"https://{'a' * 63}.{'b' * 63}.{'c' * 63}.{'d' * 62}/",
    "https://a.example/\\",
    "https://a.example/../x",
    "https://a.example/%2e%2E/x",
    "https://a.example/x/.",
    "https://a.example/%zz",
    "https://[::1]/",
    "//a.example/",
    "https://a.example/" + "x" * 8192,
    "https://a.example/\n",
]


@pytest.mark.parametrize("url", URLS)
def test_step_8_refuses_a_url_outside_the_grammar(url: str) -> None:
    refused(8, "URL outside", verify, kit.reply(on_statement=put(*ASKED, "url", value=url)), request=None)


def test_a_default_port_is_part_of_the_url_and_not_of_the_endpoint() -> None:
    made = put(*ASKED, "url", value="https://a.example:443/x?y=%20")
    old = kit.legacy({**kit.statement()}, kit.BODY)
    nonce = legacy.nonce(old["responseHash"], "a.example/x", old["timestamp"])

    def hook(whole: dict[str, Any]) -> None:
        whole["attestation"].update(apiEndpoint="a.example/x", nonce=nonce)

    signed = put("nonce", value=bytes.fromhex(nonce))
    verify(kit.reply(on_statement=made, on_document=signed, on_reply=hook), request=None)


# --- step 9 --------------------------------------------------------------------------------------------------------

ZERO = "0" * 64
LEGACY: list[tuple[str, Hook]] = [
    ("responseHash", put("attestation", "responseHash", value=ZERO)),
    ("responseHash", put("attestation", "responseHash", value=kit.sha256(kit.BODY).hex().upper())),
    ("requestHash", put("attestation", "requestHash", value=ZERO)),
    ("apiEndpoint", put("attestation", "apiEndpoint", value="ec.europa.eu/")),
    ("apiMethod", put("attestation", "apiMethod", value="GET")),
    ("timestamp", put("attestation", "timestamp", value=kit.SIGNED_MS // 1000 + 1)),
    ("nonce", put("attestation", "nonce", value=ZERO)),
    ("nonce", put("attestation", "nonce", value=None)),
    ("nonce", put("attestation", "nonce", value="")),
    ("attestationId", put("attestation", "attestationId", value="enc-1")),
    ("pcrs.pcr0", put("attestation", "pcrs", "pcr0", value="11" * 48)),
    ("pcrs.pcr1", put("attestation", "pcrs", "pcr1", value="")),
    ("pcrs.pcr2", put("attestation", "pcrs", "pcr2", value="12" * 48 + " ")),
]


@pytest.mark.parametrize(("problem", "hook"), LEGACY)
def test_step_9_refuses_an_altered_legacy_field(problem: str, hook: Hook) -> None:
    refused(9, problem, verify, kit.reply(on_reply=hook))


def test_step_9_compares_the_signed_nonce() -> None:
    refused(9, "document's nonce", verify, kit.reply(on_document=put("nonce", value=bytes(32))))


def test_step_9_in_a_batch_takes_null_or_the_right_nonce() -> None:
    verify(kit.reply(others=OTHERS, on_reply=put("attestation", "nonce", value=None)))
    wrong = put("attestation", "nonce", value=ZERO)
    refused(9, "nonce", verify, kit.reply(others=OTHERS, on_reply=wrong))


@pytest.mark.parametrize(
    ("pairs", "text"),
    [
        ([], "{}"),
        ([("b", "1"), ("a", "2")], '{"b":"1","a":"2"}'),
        ([("b", '"\\\b\f\n\r\t\x00\x1f\x7fé\u2028/')], '{"b":"\\"\\\\\\b\\f\\n\\r\\t\\u0000\\u001f\x7fé\u2028/"}'),
        ([("b", ""), ("10", ""), ("9", ""), ("01", ""), ("4294967295", ""), ("4294967294", ""), ("0", "")], None),
    ],
)
def test_headers_are_written_as_javascript_writes_them(pairs: list[tuple[str, str]], text: str | None) -> None:
    expected = text or '{"0":"","9":"","10":"","4294967294":"","b":"","01":"","4294967295":""}'
    assert legacy.json_object(pairs) == expected


# --- whole ---------------------------------------------------------------------------------------------------------


def test_an_error_names_the_steps_that_were_passed() -> None:
    error = refused(8, "status", verify, kit.reply(on_reply=put("status", value=404)))
    assert error.report is not None
    assert [step.number for step in error.report.steps] == list(range(8))


def test_a_reply_of_a_test_pki_is_refused_under_the_default_root() -> None:
    with pytest.raises(VerificationError) as caught:
        verify_reply(kit.reply(), policy=policy(), time=Archive())
    assert caught.value.step == 3


def test_errors_are_one_line_of_printable_ascii_however_hostile_the_evidence() -> None:
    hostile = "\x1b[2J\r\n\u202e\U0001f600" * 50
    for hook in (put("service", value=hostile), put("id", value=hostile), put(*ASKED, "method", value=hostile)):
        text = str(refused(8, "", verify, kit.reply(on_statement=hook)))
        assert text.isascii()
        assert text.isprintable()
        assert len(text) < 500


def test_time_is_never_guessed() -> None:
    with pytest.raises(TypeError, match="time"):
        verify_reply(kit.reply(), policy=policy(), root=ROOT)  # type: ignore[call-arg]


@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode(errors="replace")))
def test_any_bytes_are_refused_with_an_error_of_this_room(data: bytes) -> None:
    for whole in (data, b'{"attestation":' + data, b'{"attestation":{"nsmDocument":"' + data + b'"}}'):
        with pytest.raises(VerificationError):
            verify_reply(whole, policy=policy(), time=NOW, root=ROOT)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from([*json.loads(kit.reply()), *json.loads(kit.reply())["attestation"]]), JSON)
def test_any_json_in_any_place_is_refused_or_changes_nothing(key: str, value: Any) -> None:
    whole = json.loads(kit.reply())
    target = whole if key in whole else whole["attestation"]
    if target[key] == value:
        return
    target[key] = value
    with pytest.raises(VerificationError):
        verify(json.dumps(whole).encode(errors="replace"))


def test_live_time_judges_a_reply_by_its_document() -> None:
    refused(5, "too old", verify, kit.reply(), time=type(NOW)(now=kit.SIGNED_AT + timedelta(minutes=6)))
