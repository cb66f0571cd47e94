"""The adapter's sealed way: answers that are none, what others say about a sealed call, rotation and restarts."""

import base64
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import responses
import verifier_kit as kit
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from requests import exceptions
from urllib3.util import Retry
from verifier_parent import PARENT, URL
from verifier_sealed import (
    HostileParent,
    Opened,
    Refusal,
    SealedEnclave,
    answered,
    container,
    seal_to,
)
from verifier_secrets import ending

from tytle_verifier import (
    SealedAnswerError,
    StatementError,
)
from tytle_verifier.adapter import (
    DeadlinePassed,
    KeyRetired,
    NoAnswer,
    NotVerified,
    Refused,
    Unavailable,
)


@pytest.fixture
def mock() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


@pytest.fixture
def parent(mock: responses.RequestsMock) -> HostileParent:
    return HostileParent(mock)


# --- answers that are not the answer ---------------------------------------------------------------------------------


def sealed_bytes(answer: bytes) -> bytes:
    return base64.b64decode(json.loads(answer)["sealed"])


def altering(parent: HostileParent, change: Callable[[bytes], bytes]) -> None:
    parent.post = lambda body: json.dumps({"sealed": kit.b64(change(sealed_bytes(parent.answer(body))))}).encode()


def flipped(sealed: bytes) -> bytes:
    return sealed[:5000] + bytes([sealed[5000] ^ 1]) + sealed[5001:]


@pytest.mark.parametrize(
    "change",
    [
        lambda sealed: sealed[:-1],
        lambda sealed: sealed[:1136],
        flipped,
        lambda sealed: sealed[:2000] + sealed[3000:4000] + sealed[2000:3000] + sealed[4000:],
        lambda _: b"",
    ],
    ids=["cut", "cut to nothing", "flipped", "reordered", "empty"],
)
def test_an_altered_answer_ends_in_one_typed_error(parent: HostileParent, change: Callable[[bytes], bytes]) -> None:
    altering(parent, change)
    error = ending(parent, NotVerified, "the answer does not open")
    assert type(error.error) is SealedAnswerError
    assert len(parent.posts) == 1


def test_the_answer_of_another_request_is_not_the_answer(parent: HostileParent) -> None:
    kept: list[bytes] = []

    def swapped(body: dict[str, Any]) -> bytes:
        kept.append(parent.answer(body))
        return kept[0]

    parent.post = swapped
    session = parent.session()
    assert session.get(URL).ok
    with pytest.raises(NotVerified, match="does not open"):
        session.get(URL)


def test_a_request_sent_back_as_its_answer_does_not_open(parent: HostileParent) -> None:
    parent.post = lambda body: json.dumps({"sealed": body["sealed"]}).encode()
    ending(parent, NotVerified, "the answer does not open")


def test_padding_of_an_answer_is_checked(parent: HostileParent) -> None:
    def padded(body: dict[str, Any]) -> bytes:
        opened = parent.enclave.open(body)
        plain = container(answered(parent.enclave, opened), 16_384)[:-1] + b"\1"
        return json.dumps({"sealed": kit.b64(seal_to(opened.reply_key, plain, opened.info))}).encode()

    parent.post = padded
    ending(parent, NotVerified, "padding")


def test_a_genuine_answer_in_clear_is_not_accepted(parent: HostileParent) -> None:
    """Even a statement that would verify: who had it unsealed could read what it answers."""
    parent.post = lambda body: answered(parent.enclave, parent.enclave.open(body))
    error = ending(parent, NotVerified, "expected a sealed answer")
    assert type(error.error) is SealedAnswerError


def test_an_answer_of_another_process_is_refused_although_its_statement_verifies(parent: HostileParent) -> None:
    def other(opened: Opened) -> bytes:
        return answered(SealedEnclave(boot=b"b" * 16), opened)

    parent.reply = other
    error = ending(parent, NotVerified, "step 8: boot")
    assert type(error.error) is StatementError


def test_what_verify_reply_refuses_is_refused_sealed_too(parent: HostileParent) -> None:
    def tampered(opened: Opened) -> bytes:
        whole = json.loads(answered(parent.enclave, opened))
        whole["rawBody"] = "tampered"
        return json.dumps(whole).encode()

    parent.reply = tampered
    ending(parent, NotVerified, "step 8: response body")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.binary(max_size=200), wrapped=st.booleans())
def test_whatever_a_parent_answers_the_end_is_an_exception_of_requests(
    parent: HostileParent, data: bytes, wrapped: bool
) -> None:
    parent.post = lambda _: json.dumps({"sealed": kit.b64(data)}).encode() if wrapped else data
    ending(parent, NoAnswer)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.binary(max_size=200))
def test_whatever_an_enclave_seals_the_end_is_an_exception_of_requests(parent: HostileParent, data: bytes) -> None:
    parent.reply = lambda _: data
    ending(parent, NoAnswer)


# --- hearsay about a sealed call -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (409, "sealed.unknown-key", KeyRetired),
        (400, "sealed.unreadable", Refused),
        (400, "sealed.stale", Refused),
        (409, "sealed.replayed", Refused),
        (503, "sealed.full", Unavailable),
        (503, None, Unavailable),
        (504, None, DeadlinePassed),
    ],
)
def test_a_call_that_was_not_opened_is_one_typed_error(
    parent: HostileParent, status: int, code: str | None, kind: type[Any]
) -> None:
    said = {"success": False, "status": status, "headers": {}, "rawBody": "", "error": "what it said"}
    said |= {"code": code} if code else {}
    parent.post = lambda _: json.dumps(said).encode()
    error = ending(parent, kind)
    assert (type(error), error.status, error.code, error.said) == (kind, status, code, "what it said")
    assert len(parent.posts) == 1


def test_a_retired_key_is_a_connection_error_for_whoever_retries(parent: HostileParent) -> None:
    parent.post = lambda _: json.dumps(Refusal(409, "sealed.unknown-key").body).encode()
    error = ending(parent, exceptions.ConnectionError, "the enclave has another key now")
    assert isinstance(error, Unavailable)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "bad_request", Refused),
        (403, "sealed.required", Refused),
        (404, "no_enclave", Refused),
        (413, "too_large", Refused),
        (409, "sealed.unknown-key", Refused),
        (502, "enclave_unreachable", Unavailable),
        (503, "busy", Unavailable),
        (504, "deadline", DeadlinePassed),
        (302, None, Unavailable),
    ],
)
def test_an_error_of_the_parent_about_a_sealed_call_is_hearsay_and_nothing_is_sent_again(
    mock: responses.RequestsMock, status: int, code: str | None, kind: type[Any]
) -> None:
    mock.post(f"{PARENT}/attest/sealed", status=status, json={"success": False, "error": "x", "code": code})
    parent = HostileParent(mock)
    error = ending(parent, kind)
    assert (type(error), error.status, error.code) == (kind, status, code)
    assert [call.request.method for call in mock.calls] == ["GET", "POST"]


def test_nothing_that_a_parent_says_makes_the_adapter_send_in_clear(parent: HostileParent) -> None:
    said = [
        {"success": False, "status": 400, "error": "sealed requests are not supported", "code": "sealed.unsupported"},
        {"success": False, "status": 403, "error": "send it unsealed", "code": "unsealed.required"},
        {"success": True, "status": 200, "headers": {}, "rawBody": "", "error": "POST /attest/fetch"},
        {},
    ]
    for one in said:
        parent.post = lambda _, one=one: json.dumps(one).encode()  # type: ignore[misc]
        ending(parent, NoAnswer)
        parent.identify = parent.post  # type: ignore[assignment]
        ending(parent, NoAnswer)
        parent.identify = None
    assert set(parent.paths) == {"/enclaves/vies/identity", "/attest/sealed"}


# --- rotation, restarts, retries -------------------------------------------------------------------------------------


def test_rotation_costs_exactly_one_question_and_no_request(parent: HostileParent) -> None:
    session = parent.session()
    for _ in range(3):
        session.get(URL)
    assert parent.questions == 1
    parent.enclave.now_ms = parent.enclave.until_ms
    parent.enclave.rotate()
    for _ in range(3):
        session.get(URL)
    assert (parent.questions, len(parent.posts)) == (2, 6)


def test_a_restart_costs_one_request_which_is_sent_once_and_the_next_asks_who_is_there(parent: HostileParent) -> None:
    session = parent.session()
    session.get(URL)
    parent.enclave.rotate(keep=False)
    parent.enclave.boot = b"b" * 16
    with pytest.raises(KeyRetired):
        session.get(URL)
    assert (parent.questions, len(parent.posts)) == (1, 2)
    assert session.get(URL).ok
    assert (parent.questions, len(parent.posts)) == (2, 3)


@pytest.mark.parametrize(
    "retries",
    [
        3,
        Retry(total=3, status_forcelist={502, 503}, allowed_methods={"POST"}, backoff_factor=0),
        Retry(total=3, status_forcelist={502, 503}, allowed_methods=None, backoff_factor=0),
        Retry(total=3, read=3, other=3, status=3, allowed_methods=None, backoff_factor=0),
    ],
)
def test_no_retry_of_urllib3_sends_a_sealed_call_twice(mock: responses.RequestsMock, retries: Any) -> None:
    mock.post(f"{PARENT}/attest/sealed", status=503, headers={"Retry-After": "0"}, json={"error": "x"})
    with pytest.raises(Unavailable):
        HostileParent(mock).session(max_retries=retries).get(URL)
    assert [call.request.method for call in mock.calls] == ["GET", "POST"]


def test_a_connection_that_breaks_behind_a_sealed_call_is_not_tried_again(mock: responses.RequestsMock) -> None:
    """Over real sockets: urllib3 itself must not send it twice, however much its `Retry` allows."""
    parent, came = HostileParent(mock), []

    class Breaking(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            came.append("GET")
            (challenge,) = parse_qs(urlsplit(self.path).query)["challenge"]
            self.send_response(200)
            self.end_headers()
            self.wfile.write(parent.enclave.show(base64.urlsafe_b64decode(challenge)))

        def do_POST(self) -> None:
            came.append("POST")
            self.rfile.read(int(self.headers["Content-Length"]))
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    retries = Retry(total=5, read=5, other=5, status=5, allowed_methods=None, backoff_factor=0)
    with serving(Breaking) as url:
        mock.stop()
        try:
            session = parent.session(parent=url, max_retries=retries)
            session.trust_env = False
            with session, pytest.raises(exceptions.ConnectionError):
                session.get(URL, timeout=20)
        finally:
            mock.start()
    assert came == ["GET", "POST"]


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_connections_that_were_never_made_are_still_retried() -> None:
    used = HostileParent(responses.RequestsMock()).adapter(max_retries=3).max_retries
    assert (used.total, used.connect, used.read, used.other) == (3, None, False, 0)


def test_sixteen_threads_without_an_identity_ask_one_question(parent: HostileParent) -> None:
    session, together = parent.session(), threading.Barrier(16)

    def one(_: int) -> int:
        together.wait(10)
        return session.get(URL).status_code

    with ThreadPoolExecutor(16) as pool:
        assert [*pool.map(one, range(16))] == [200] * 16
    assert (parent.questions, len(parent.posts)) == (1, 16)


def test_who_waits_too_long_for_anothers_question_has_sent_nothing(parent: HostileParent) -> None:
    asking, go_on = threading.Event(), threading.Event()

    def held(challenge: bytes) -> bytes:
        asking.set()
        assert go_on.wait(20)
        return parent.enclave.show(challenge)

    parent.identify = held
    session = parent.session()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(session.get, URL)
        assert asking.wait(20)
        with pytest.raises(exceptions.ConnectTimeout, match="another thread's question"):
            session.get(URL, timeout=0.05)
        assert parent.posts == []
        go_on.set()
        assert first.result(20).ok
