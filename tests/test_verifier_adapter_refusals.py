"""The adapter when there is no verified answer: an exception of `requests`, and not a byte of what came."""

import gzip
import io
import json
import socket
import subprocess
import sys
import threading
import traceback
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import requests
import responses
import verifier_kit as kit
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from requests import exceptions
from urllib3 import HTTPResponse
from verifier_cases import NOW, policy, verify
from verifier_parent import ENDPOINT, HOST, URL, Parent, Upstream, reply_to

from tytle_verifier import (
    AWS_ROOT,
    Archive,
    AttestedFailure,
    Live,
    NotAttested,
    Request,
    VerificationError,
    live,
    load_request,
)
from tytle_verifier.adapter import (
    ConnectionFailureAttested,
    DeadlinePassed,
    FailureAttested,
    NoAnswer,
    NotVerified,
    Refused,
    TimeoutAttested,
    TlsFailureAttested,
    Unavailable,
    incoming,
)
from tytle_verifier.reply import MAX_REPLY_BYTES

GENUINE = Upstream(
    body=b"the genuine answer", headers=(("Content-Type", b"text/plain"), ("Set-Cookie", b"session=genuine"))
)
OTHER_URL = f"{HOST}taxation_customs/vies/rest-api/other"
TOKEN = "Bearer of-the-parent"


@pytest.fixture
def mock() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


@pytest.fixture
def parent(mock: responses.RequestsMock) -> Parent:
    return Parent(mock, {URL: GENUINE})


def nothing_came_through(error: requests.RequestException, *words: str) -> None:
    """Neither response nor a word of what came hangs on the exception or on what it was raised from."""
    linked: list[BaseException] = [error]
    while (before := linked[-1].__cause__ or linked[-1].__context__) is not None:
        linked.append(before)
    seen = "".join(traceback.format_exception(error)) + "".join(repr(vars(one)) + repr(one.args) for one in linked)
    assert [word for word in words if word in seen] == []
    assert [getattr(one, "response", None) for one in linked] == [None] * len(linked)


# --- evidence that does not hold -------------------------------------------------------------------------------------


def setting(name: str, value: Any) -> dict[str, kit.Hook]:
    return {"on_reply": lambda whole: whole.update({name: value})}


def courier_header(name: str, value: str) -> dict[str, kit.Hook]:
    return {"on_reply": lambda whole: whole["headers"].update({name: value})}


def swapped(old: bytes, new: bytes) -> dict[str, Callable[[bytes], bytes]]:
    return {"on_bytes": lambda statement: statement.replace(old, new)}


def in_statement(change: Callable[[dict[str, Any], dict[str, Any]], object]) -> dict[str, kit.Hook]:
    return {"on_statement": lambda made: void(change(made, made["exchanges"][-1]))}


def void(_: object) -> None:
    """Drop what a one-line change returns."""


def old_statement(whole: dict[str, Any], statement: bytes) -> None:
    whole["attestation"]["statement"] = kit.b64(statement)


TAMPERED: dict[str, tuple[int, dict[str, Any]]] = {
    "body": (8, setting("rawBody", "the tampered answer")),
    "body of the same length": (8, setting("rawBody", "the tampered answ.")),
    "body cut short": (8, setting("rawBody", "the genuine")),
    "status": (8, setting("status", 204)),
    "success": (8, setting("success", False)),
    "header": (8, courier_header("content-type", "text/tampered")),
    "header added": (8, courier_header("location", "https://tampered.example/")),
    "cookie": (8, courier_header("set-cookie", "session=tampered")),
    "cookie removed": (8, {"on_reply": lambda whole: whole["headers"].pop("set-cookie")}),
    "signed body digest": (
        8,
        in_statement(lambda _, last: last["response"]["body"].update(sha256=kit.sha256(b"tampered"))),
    ),
    "statement after it was signed": (
        7,
        {"on_reply": lambda whole: old_statement(whole, kit.cbor({**kit.statement(), "service": "tampered"}))},
    ),
    "challenge": (8, in_statement(lambda made, _: made.update(challenge=b"tampered challenge of mine"))),
    "challenge left out": (8, in_statement(lambda made, _: made.pop("challenge"))),
    "method": (8, in_statement(lambda _, last: last["request"].update(method="DELETE"))),
    "url": (8, in_statement(lambda _, last: last["request"].update(url=OTHER_URL))),
    "request header": (8, in_statement(lambda _, last: last["request"]["headers"].append(["X-Tampered", b"1"]))),
    "request body": (8, in_statement(lambda _, last: last["request"].update(body=kit.digest(b"tampered")))),
    "service": (8, in_statement(lambda made, _: made.update(service="tampered"))),
    "no tls": (8, in_statement(lambda _, last: last.update(upstream={"tls": None}))),
    "code": (6, {"on_document": lambda signed: signed.update(pcrs={**kit.PCRS, 0: b"\x66" * 48})}),
    "debug mode": (6, {"on_document": lambda signed: signed.update(pcrs=dict.fromkeys(range(16), bytes(48)))}),
    "certificate that no library reads": (
        2,
        {"on_document": lambda signed: signed.update(certificate=kit.odd_leaf().der)},
    ),
    "document": (1, {"on_reply": lambda whole: whole["attestation"].update(nsmDocument=kit.b64(b"tampered"))}),
    "legacy hash": (9, {"on_reply": lambda whole: whole["attestation"].update(responseHash="00" * 32)}),
    "unknown field": (0, setting("tampered", "x")),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("step", "hooks"), TAMPERED.values(), ids=TAMPERED)
def test_one_tampered_thing_ends_in_an_exception_without_a_body(
    parent: Parent, step: int, hooks: dict[str, Any], stream: bool
) -> None:
    parent.hooks = hooks
    session = parent.session()
    with pytest.raises(NotVerified) as caught:
        session.get(URL, stream=stream)
    error = caught.value
    assert isinstance(error.error, VerificationError)
    assert (error.error.step, error.__cause__) == (step, error.error)
    assert error.request is not None
    assert (error.request.url, len(session.cookies)) == (URL, 0)
    nothing_came_through(error, "the genuine", "the tampered", "session=genuine", "session=tampered")


def failing(parent: Parent, answer: bytes | Callable[[Request], bytes], status: int = 200) -> NoAnswer:
    """Make the parent answer with these bytes and return the exception that this ends in."""

    def callback(prepared: requests.PreparedRequest) -> tuple[int, dict[str, str], bytes]:
        asked = load_request(prepared.body if isinstance(prepared.body, bytes) else b"")
        return status, {}, answer(asked) if callable(answer) else answer

    parent.mock.reset()
    parent.mock.add_callback(responses.POST, ENDPOINT, callback=callback)
    with pytest.raises(NoAnswer) as caught:
        parent.session(parent_headers={"Authorization": TOKEN}).get(URL)
    nothing_came_through(caught.value, "the genuine", TOKEN)
    return caught.value


def test_a_genuine_reply_for_another_url_is_not_the_answer(parent: Parent) -> None:
    def another(asked: Request) -> bytes:
        return reply_to(Request(method="GET", url=OTHER_URL, headers=asked.headers, challenge=asked.challenge), GENUINE)

    assert "step 8: request line" in str(failing(parent, another))


def test_a_genuine_reply_from_before_is_not_the_answer_now(parent: Parent) -> None:
    old = parent.session().get(URL)
    assert "step 8: challenge" in str(failing(parent, old.attestation.reply))  # type: ignore[attr-defined]


def test_a_genuine_reply_to_another_caller_is_not_the_answer_to_this_one(parent: Parent) -> None:
    def another(asked: Request) -> bytes:
        return reply_to(Request(method="GET", url=URL, headers=asked.headers, challenge=b"c" * 32), GENUINE)

    assert "step 8: challenge" in str(failing(parent, another))


def test_a_reply_that_took_longer_than_the_policy_allows_is_refused(parent: Parent) -> None:
    late = Live(now=kit.SIGNED_AT + timedelta(minutes=2))
    with pytest.raises(NotVerified, match="step 5: too old"):
        parent.session(policy=policy(max_age=timedelta(minutes=1)), clock=lambda: late).get(URL)


def test_a_test_pki_means_nothing_to_an_adapter_that_was_not_told_of_it(mock: responses.RequestsMock) -> None:
    parent = Parent(mock)
    with pytest.raises(NotVerified, match="step 3: cabundle"):
        parent.session(root=AWS_ROOT).get(URL)


def test_the_clock_of_the_machine_is_the_default(parent: Parent) -> None:
    with pytest.raises(NotVerified, match=r"step [35]: "):
        parent.session(clock=live).get(URL)


@pytest.mark.parametrize("status", [200, 403, 503])
def test_a_success_without_attestation_is_no_answer(parent: Parent, status: int) -> None:
    reply = {"success": True, "status": status, "headers": {}, "rawBody": "the genuine answer"}
    error = failing(parent, json.dumps(reply).encode())
    assert isinstance(error, NotVerified)
    assert isinstance(error.error, NotAttested)


@pytest.mark.parametrize("status", [200, 302, None, "403", True, 4030])
def test_a_refusal_needs_a_status_of_a_refusal(parent: Parent, status: object) -> None:
    reply = {"success": False, "status": status, "headers": {}, "rawBody": "", "error": "no"}
    assert isinstance(failing(parent, json.dumps(reply).encode()), NotVerified)


def test_a_reply_above_the_limit_is_not_read_to_its_end(parent: Parent) -> None:
    class Endless(io.RawIOBase):
        taken = 0

        def readinto(self, buffer: Any) -> int:
            self.taken += len(buffer)
            return len(buffer)

        def readable(self) -> bool:
            return True

    endless = Endless()
    parent.mock.reset()
    parent.mock.add(responses.POST, ENDPOINT, body=io.BufferedReader(endless))
    with pytest.raises(NotVerified, match="step 0: reply size"):
        parent.session().get(URL)
    assert endless.taken < MAX_REPLY_BYTES + 1_000_000


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.binary(max_size=300), status=st.sampled_from([200, 400, 503, 301, 999]))
def test_whatever_bytes_a_parent_sends_the_end_is_an_exception_of_requests(
    parent: Parent, data: bytes, status: int
) -> None:
    assert isinstance(failing(parent, data, status), requests.RequestException)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
)
refusals = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("success", "status", "error", "code", "attestation", "rawBody"), json_values)
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(value=refusals, status=st.sampled_from([200, 404, 504]))
def test_whatever_json_a_parent_sends_the_end_is_an_exception_of_requests(
    parent: Parent, value: object, status: int
) -> None:
    assert isinstance(failing(parent, json.dumps(value).encode(), status), requests.RequestException)


# --- verified failures -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "ours", "theirs"),
    [
        ("timeout", TimeoutAttested, exceptions.Timeout),
        ("tls", TlsFailureAttested, exceptions.SSLError),
        ("connect", ConnectionFailureAttested, exceptions.ConnectionError),
        ("truncated", ConnectionFailureAttested, exceptions.ConnectionError),
        ("a kind of tomorrow", ConnectionFailureAttested, exceptions.ConnectionError),
    ],
)
def test_an_attested_failure_is_the_kind_that_requests_would_raise_and_proves_itself(
    parent: Parent, kind: str, ours: type[FailureAttested], theirs: type[Exception]
) -> None:
    parent.upstreams = {URL: Upstream(failure=(kind, "no luck\x1b[2J"))}
    with pytest.raises(theirs, match=f"attested failure: {kind}: no luck") as caught:
        parent.session().get(URL)
    error = caught.value
    assert isinstance(error, ours)
    assert (error.response, isinstance(error.__cause__, AttestedFailure), "\x1b" in str(error)) == (None, True, False)
    kept = error.attestation
    assert verify(kept.reply, time=Archive(), request=load_request(kept.call)).statement == kept.verified.statement


def test_a_failure_that_the_parent_made_up_is_not_verified(parent: Parent) -> None:
    parent.hooks = {
        "on_reply": lambda whole: whole.update(success=False, status=504, rawBody="", headers={}, error="timeout: x")
    }
    with pytest.raises(NotVerified, match="step 8: success"):
        parent.session().get(URL)


# --- hearsay ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code", "ours", "theirs"),
    [
        (400, "url.userinfo", Refused, exceptions.RequestException),
        (401, "unauthorized", Refused, exceptions.RequestException),
        (404, "no_enclave", Refused, exceptions.RequestException),
        (413, "too_large", Refused, exceptions.RequestException),
        (429, "busy", Unavailable, exceptions.ConnectionError),
        (500, "internal_error", Unavailable, exceptions.ConnectionError),
        (502, "enclave_unreachable", Unavailable, exceptions.ConnectionError),
        (503, "busy", Unavailable, exceptions.ConnectionError),
        (504, "deadline", DeadlinePassed, exceptions.Timeout),
    ],
)
def test_an_error_of_the_parent_is_an_exception_of_a_fitting_kind(
    parent: Parent, status: int, code: str, ours: type[Any], theirs: type[Exception]
) -> None:
    said = {"success": False, "error": "what it said", "code": code, "requestId": "1"}
    error: Any = failing(parent, json.dumps(said).encode(), status)
    assert (type(error), isinstance(error, theirs)) == (ours, True)
    assert (error.status, error.code, error.said) == (status, code, "what it said")
    assert str(error).endswith(f"({status} {code}): what it said")


@pytest.mark.parametrize(
    ("status", "ours"), [(400, Refused), (403, Refused), (502, Unavailable), (503, Unavailable), (504, DeadlinePassed)]
)
def test_a_refusal_of_the_enclave_is_an_exception_of_a_fitting_kind(
    parent: Parent, status: int, ours: type[Any]
) -> None:
    said = {"success": False, "status": status, "headers": {}, "rawBody": "", "error": "no rule for this path"}
    error: Any = failing(parent, json.dumps(said).encode())
    assert (type(error), error.status, error.code, error.said) == (ours, status, None, "no rule for this path")


def test_a_refusal_points_at_the_cookie_that_the_session_added(parent: Parent) -> None:
    session = parent.session()
    session.get(URL)
    said = {"success": False, "status": 403, "headers": {}, "rawBody": "", "error": "header 2 is not allowed"}
    parent.mock.reset()
    parent.mock.post(ENDPOINT, json=said)
    with pytest.raises(Refused, match="header 2 is not allowed; the session sent a cookie with it"):
        session.get(URL)


def test_what_a_parent_says_is_quoted_short_and_printable(parent: Parent) -> None:
    error: Any = failing(parent, json.dumps({"error": "\x1b[31m" * 999, "code": "\n" * 999}).encode(), 500)
    assert str(error).isprintable()
    assert len(str(error)) < 2_000


@pytest.mark.parametrize("status", [201, 301, 302])
def test_any_other_status_of_the_parent_is_no_answer(parent: Parent, status: int) -> None:
    error = failing(parent, b"<html>the genuine answer</html>", status)
    assert isinstance(error, Unavailable)


# --- the way to the parent, over real sockets ------------------------------------------------------------------------


class Silent(BaseHTTPRequestHandler):
    """Answers as its server's `act` says."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.act(self)  # type: ignore[attr-defined]

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@pytest.fixture
def serving() -> Iterator[Callable[[Callable[[Silent], object]], str]]:
    servers: list[ThreadingHTTPServer] = []

    def serve(act: Callable[[Silent], object]) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), Silent)
        server.act = act  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def asking(url: str, parent: Parent, **kwargs: Any) -> requests.RequestException:
    session = parent.session(parent=url, parent_headers={"Authorization": TOKEN})
    session.trust_env = False
    parent.mock.stop()
    try:
        with session, pytest.raises(requests.RequestException) as caught:
            session.get(URL, **kwargs)
    finally:
        parent.mock.start()
    assert caught.value.request is not None
    assert (caught.value.request.url, caught.value.response) == (URL, None)
    return caught.value


def test_a_parent_that_is_not_there_is_a_connection_error(parent: Parent) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        assert type(asking(url, parent)) is exceptions.ConnectionError


def test_a_parent_that_says_nothing_is_a_read_timeout(
    parent: Parent, serving: Callable[[Callable[[Silent], object]], str]
) -> None:
    released = threading.Event()
    url = serving(lambda _: released.wait(20))
    assert type(asking(url, parent, timeout=0.2)) is exceptions.ReadTimeout
    released.set()


def answering_under(coding: str, data: bytes) -> Callable[[Silent], object]:
    def act(handler: Silent) -> None:
        handler.send_response(200)
        handler.send_header("Content-Encoding", coding)
        handler.end_headers()
        handler.wfile.write(data)

    return act


@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "deflate", "br", "zstd", "gzip, gzip", "identity, gzip", "\x1b"])
def test_an_answer_that_came_encoded_is_refused_before_a_byte_is_decoded(
    parent: Parent, serving: Callable[[Callable[[Silent], object]], str], coding: str
) -> None:
    """A kilobyte that decodes to gigabytes, from a parent that nothing is known of yet."""
    bomb = gzip.compress(gzip.compress(bytes(16 << 20)))
    tracemalloc.start()
    try:
        error = asking(serving(answering_under(coding, bomb)), parent)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert type(error) is exceptions.ContentDecodingError
    assert "came encoded" in str(error)
    assert str(error).isprintable()
    assert peak < 4 << 20


@pytest.mark.parametrize("coding", ["identity", "Identity "])
def test_identity_is_what_was_asked_for(
    parent: Parent, serving: Callable[[Callable[[Silent], object]], str], coding: str
) -> None:
    error = asking(serving(answering_under(coding, b"{}")), parent)
    assert isinstance(error, NotVerified)
    assert error.error.step == 0  # type: ignore[attr-defined]


def test_what_came_is_read_as_it_came(parent: Parent) -> None:
    """Whatever urllib3 would make of a header: the bytes of the wire are what is verified."""
    response = requests.Response()
    response.raw = HTTPResponse(
        io.BytesIO(gzip.compress(b"{}")), headers={"Content-Encoding": "gzip"}, preload_content=False
    )
    assert incoming.read(response) == gzip.compress(b"{}")


def test_a_reply_cut_short_is_no_answer(parent: Parent, serving: Callable[[Callable[[Silent], object]], str]) -> None:
    def cut(handler: Silent) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        handler.wfile.write(b'{"success":true')
        handler.close_connection = True

    assert isinstance(asking(serving(cut), parent), exceptions.ChunkedEncodingError | exceptions.ConnectionError)


def test_a_genuine_reply_over_a_real_socket_is_an_answer(
    mock: responses.RequestsMock, serving: Callable[[Callable[[Silent], object]], str]
) -> None:
    def answer(handler: Silent) -> None:
        data = reply_to(asked.pop(), GENUINE)
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(data)

    asked: list[Request] = []
    challenge = b"one challenge of 32 bytes, fixed."[:32]
    headers = (("User-Agent", requests.utils.default_user_agent()), ("Accept", "*/*"))
    asked.append(Request(method="GET", url=URL, headers=headers, challenge=challenge))
    session = Parent(mock).session(parent=serving(answer), random=lambda _: challenge, clock=lambda: NOW)
    session.trust_env = False
    mock.stop()
    try:
        with session:
            assert session.get(URL, timeout=20).text == "the genuine answer"
    finally:
        mock.start()


# --- the package -----------------------------------------------------------------------------------------------------


def test_the_verifier_itself_does_not_need_requests() -> None:
    program = (
        "import sys, tytle_verifier, tytle_verifier.cli; sys.exit({'requests', 'urllib3'} & {*sys.modules} != set())"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
