"""`POST /attest/fetch`: what reaches the enclave, what comes back, and how long it may take."""

import base64
import io
import json
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from app.config import MAX_REQUEST_BYTES, Config
from tests.fake_enclave import ANSWER, FakeEnclave, Peer, Script, closes, keeps, silent, wait_until
from tests.parent import LEAST, URL, VIES, Gunicorn, json_of, parent, service, serving
from wire.addresses import UnixAddress

CHALLENGE = base64.b64encode(bytes(range(32))).decode()


def forwarded(folder: Path, fields: dict[str, Any], **settings: Any) -> dict[str, Any]:
    """Return the message that reaches the enclave for a request of these fields."""
    with FakeEnclave(folder / "enclave", keeps()) as enclave, parent(enclave.address, **settings) as client:
        assert client.post("/attest/fetch", json=fields).status_code == 200
    (call,) = enclave.calls
    assert call.pop("hop") == {"report": True}
    return call


def reads_and_closes(peer: Peer) -> None:
    peer.read()


# --- what reaches the enclave


def test_the_least_request_reaches_the_enclave_with_an_id_and_the_time_it_may_take(tmp_path: Path) -> None:
    message = forwarded(tmp_path, LEAST)
    assert uuid.UUID(message.pop("id")).version == 4
    assert message == {"url": URL, "method": "GET", "headers": {}, "timeoutMs": 4500}


def test_every_field_reaches_the_enclave_as_it_was_given(tmp_path: Path) -> None:
    fields = {
        "id": "r1",
        "url": "https://ec.europa.eu/a%20b?c=d&e",
        "method": "POST",
        "headers": {"SOAPAction": "", "content-type": "text/xml", "Authorization": "Bearer x"},
        "body": "Zürich \U0001f600\0",
        "challenge": CHALLENGE,
        "timeoutMs": 1000,
    }
    assert forwarded(tmp_path, fields) == {**fields, "timeoutMs": 800}


def test_headers_keep_their_order(tmp_path: Path) -> None:
    headers = dict.fromkeys(("z", "a", "M", "b"), "x")
    assert list(forwarded(tmp_path, {**LEAST, "headers": headers})["headers"]) == ["z", "a", "M", "b"]


def test_defaults_that_were_spelled_out_are_not_forwarded(tmp_path: Path) -> None:
    fields = {**LEAST, "id": "r1", "mode": "document", "body": "b", "bodyEncoding": "utf-8"}
    assert forwarded(tmp_path, fields) == {**LEAST, "id": "r1", "headers": {}, "body": "b", "timeoutMs": 4500}


def test_a_binary_body_reaches_the_enclave_in_base64(tmp_path: Path) -> None:
    message = forwarded(tmp_path, {**LEAST, "body": "AP/+", "bodyEncoding": "base64"})
    assert (message["body"], message["bodyEncoding"]) == ("AP/+", "base64")


def test_a_body_in_base64_that_is_text_reaches_the_enclave_as_text(tmp_path: Path) -> None:
    message = forwarded(tmp_path, {**LEAST, "body": "YWJj", "bodyEncoding": "base64"})
    assert message["body"] == "abc"
    assert "bodyEncoding" not in message


@pytest.mark.parametrize(
    ("asked", "granted"), [(1, 1), (4, 4), (5, 4), (100, 80), (2500, 2000), (10_000, 9_500), (120_000, 119_500)]
)
def test_the_enclave_gets_the_caller_s_time_less_what_the_way_back_takes(
    tmp_path: Path, asked: int, granted: int
) -> None:
    def script(peer: Peer) -> None:
        payload = peer.read()
        if payload is not None:
            peer.reply(payload)

    with FakeEnclave(tmp_path / "enclave", script) as enclave, parent(enclave.address) as client:
        client.post("/attest/fetch", json={**LEAST, "timeoutMs": asked})
        wait_until(lambda: bool(enclave.calls) or asked < 100)  # one millisecond may be over before anything is sent
    assert [call["timeoutMs"] for call in enclave.calls] in ([granted], [] if asked < 100 else [granted])


def test_each_host_s_requests_reach_its_own_enclave(tmp_path: Path) -> None:
    other = service("other", cid=17, host="other.test")
    with FakeEnclave(tmp_path / "vies", keeps()) as vies, FakeEnclave(tmp_path / "other", keeps()) as second:
        config = Config(manifests=(VIES, other), addresses={"vies": (vies.address,), "other": (second.address,)})
        with serving(config) as app:
            for host in ("ec.europa.eu", "other.test", "api.service.hmrc.gov.uk", "other.test"):
                app.test_client().post("/attest/fetch", json={"url": f"https://{host}/", "method": "GET"})
    assert [call["url"] for call in vies.calls] == ["https://ec.europa.eu/", "https://api.service.hmrc.gov.uk/"]
    assert [call["url"] for call in second.calls] == ["https://other.test/", "https://other.test/"]


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/",
        "https://ec.europa.eu.example.com/",
        "https://xec.europa.eu/",
        "https://europa.eu/",
        "https://service.hmrc.gov.uk/",
    ],
)
def test_a_host_is_compared_as_a_whole(tmp_path: Path, url: str) -> None:
    with FakeEnclave(tmp_path / "enclave", keeps()) as enclave, parent(enclave.address) as client:
        response = client.post("/attest/fetch", json={"url": url, "method": "GET"})
        assert (response.status_code, json_of(response)["code"]) == (404, "no_enclave")
        assert enclave.accepted == 0


# --- what comes back


@pytest.mark.parametrize(
    "reply",
    [
        ANSWER,
        b' { "z" : 1.0, "a":1e2,\n"success":false , "status": 403, "error":"Host not allowed"} ',
        b'{"success":true,"rawBody":"\\u00fc\\ud83d\\ude00\\/","rawBody":"twice"}',
        '{"success":true,"rawBody":"ü\U0001f600"}'.encode(),
        b'{"success":false,"status":503,"headers":{},"rawBody":"","error":"Enclave at capacity"}',
        b"{}",
    ],
)
def test_the_enclave_s_reply_is_relayed_byte_for_byte_with_status_200(tmp_path: Path, reply: bytes) -> None:
    with FakeEnclave(tmp_path / "enclave", keeps(lambda _: reply)) as enclave, parent(enclave.address) as client:
        response = client.post("/attest/fetch", json=LEAST)
        assert (response.status_code, response.mimetype, response.data) == (200, "application/json", reply)


def test_the_headers_of_a_reply_are_these_in_this_order_and_a_head_has_no_body(tmp_path: Path) -> None:
    path = "/enclaves/vies/identity"
    with FakeEnclave(tmp_path / "enclave", keeps()) as enclave, parent(enclave.address) as client:
        whole, head = client.get(path), client.head(path)
    assert (whole.status, whole.data, head.status, head.data) == ("200 OK", ANSWER, "200 OK", b"")
    expected = [
        "X-Enclave",
        "Content-Type",
        "Content-Length",
        "X-Request-Id",
        "Cache-Control",
        "X-Content-Type-Options",
    ]
    assert [name for name, _ in whole.headers] == expected
    assert [name for name, _ in head.headers] == expected
    assert whole.headers["Content-Length"] == head.headers["Content-Length"] == str(len(ANSWER))
    assert whole.headers["Content-Type"] == "application/json"


def test_a_reply_of_sixteen_mebibytes_is_relayed(tmp_path: Path) -> None:
    reply = b'{"success":true,"rawBody":"' + b"a" * ((16 << 20) - 29) + b'"}'
    assert len(reply) == 16 << 20
    with FakeEnclave(tmp_path / "enclave", keeps(lambda _: reply)) as enclave, parent(enclave.address) as client:
        assert client.post("/attest/fetch", json=LEAST).data == reply


def test_an_answer_says_that_it_must_not_be_stored_and_not_what_made_it(tmp_path: Path) -> None:
    with FakeEnclave(tmp_path / "enclave", keeps()) as enclave, parent(enclave.address) as client:
        for response in (
            client.post("/attest/fetch", json={**LEAST, "id": "r1"}),
            client.post("/attest/fetch", json={"id": "r1"}),
            client.get("/health"),
            client.get("/routes"),
        ):
            assert response.headers["Cache-Control"] == "no-store"
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert not {"etag", "x-powered-by", "server", "set-cookie"} & {name.lower() for name, _ in response.headers}


def test_the_caller_s_id_is_the_request_id_everywhere(tmp_path: Path) -> None:
    log = io.StringIO()
    with FakeEnclave(tmp_path / "enclave", keeps()) as enclave, parent(enclave.address, log=log) as client:
        response = client.post("/attest/fetch", json={**LEAST, "id": "r1"})
    assert response.headers["X-Request-Id"] == "r1"
    assert enclave.calls[0]["id"] == "r1"
    assert json.loads(log.getvalue())["requestId"] == "r1"


def test_a_request_without_an_id_gets_one_that_is_the_same_everywhere(tmp_path: Path) -> None:
    log = io.StringIO()
    with FakeEnclave(tmp_path / "enclave", keeps()) as enclave, parent(enclave.address, log=log) as client:
        first, second = (client.post("/attest/fetch", json=LEAST).headers["X-Request-Id"] for _ in range(2))
    assert first != second
    assert [call["id"] for call in enclave.calls] == [first, second]
    assert [json.loads(line)["requestId"] for line in log.getvalue().splitlines()] == [first, second]


def test_a_fetch_leaves_one_line_in_the_log(tmp_path: Path) -> None:
    log = io.StringIO()
    reply = b'{"success":false,"status":403}'
    with (
        FakeEnclave(tmp_path / "enclave", keeps(lambda _: reply)) as enclave,
        parent(enclave.address, log=log) as client,
    ):
        client.post("/attest/fetch", json={**LEAST, "id": "r1"})
    line = json.loads(log.getvalue())
    assert abs(line.pop("time") - time.time()) < 10
    assert line.pop("ms") < 5_000
    assert line == {
        "event": "fetch",
        "requestId": "r1",
        "service": "vies",
        "enclave": "vies/16",
        "success": False,
        "status": 403,
    }


# --- paths and media types


@pytest.mark.parametrize("path", ["/attest/fetch", "/attest/fetch/", "/attest/fetch?x=1"])
def test_the_path_may_end_with_a_slash(tmp_path: Path, path: str) -> None:
    with FakeEnclave(tmp_path / "enclave", keeps()) as enclave, parent(enclave.address) as client:
        assert client.post(path, json=LEAST).status_code == 200


@pytest.mark.parametrize(
    "path", ["/ATTEST/fetch", "/attest//fetch", "//attest/fetch", "/attest/fetch/x", "/attest", "/static/x"]
)
def test_any_other_path_is_unknown_and_redirects_nowhere(tmp_path: Path, path: str) -> None:
    with FakeEnclave(tmp_path / "enclave", keeps()) as enclave, parent(enclave.address) as client:
        response = client.post(path, json=LEAST)
        assert (response.status_code, json_of(response)["code"]) == (404, "not_found")
        assert enclave.accepted == 0


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "Application/JSON", "application/json; charset=utf-8", 'application/json;charset="UTF-8"'],
)
def test_json_in_utf8_is_read_however_its_type_is_spelled(tmp_path: Path, content_type: str) -> None:
    with FakeEnclave(tmp_path / "enclave", keeps()) as enclave, parent(enclave.address) as client:
        response = client.post("/attest/fetch", data=json.dumps(LEAST), content_type=content_type)
        assert response.status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": ""},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "multipart/form-data; boundary=x"},
        {"Content-Type": "application/vnd.x+json"},
        {"Content-Type": "application/json; charset=iso-8859-1"},
        {"Content-Type": "application/json; charset=utf-16"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
        {"Content-Type": "application/json", "Content-Encoding": "br"},
    ],
)
def test_anything_but_plain_json_in_utf8_is_an_unsupported_media_type(tmp_path: Path, headers: dict[str, str]) -> None:
    with FakeEnclave(tmp_path / "enclave", keeps()) as enclave, parent(enclave.address) as client:
        response = client.post("/attest/fetch", data=json.dumps(LEAST), headers=headers)
        assert (response.status_code, json_of(response)["code"]) == (415, "unsupported_media_type")
        assert enclave.accepted == 0


# --- time and failure


def test_a_call_ends_with_the_caller_s_own_deadline(tmp_path: Path) -> None:
    with FakeEnclave(tmp_path / "enclave", silent) as enclave, parent(enclave.address) as client:
        began = time.monotonic()
        response = client.post("/attest/fetch", json={**LEAST, "timeoutMs": 300})
        assert 0.3 <= time.monotonic() - began < 1.0
        assert (response.status_code, json_of(response)["code"]) == (504, "deadline")


def test_a_caller_who_names_no_deadline_gets_the_configured_one(tmp_path: Path) -> None:
    with FakeEnclave(tmp_path / "enclave", silent) as enclave, parent(enclave.address, timeout_ms=200) as client:
        began = time.monotonic()
        assert client.post("/attest/fetch", json=LEAST).status_code == 504
        assert 0.2 <= time.monotonic() - began < 0.9


def test_a_late_reply_never_reaches_the_next_caller(tmp_path: Path) -> None:
    def answer(payload: bytes) -> bytes:
        call = json.loads(payload)
        time.sleep(0.4 if call["id"] == "slow" else 0)
        return json.dumps({"success": True, "status": 200, "rawBody": call["id"]}).encode()

    with FakeEnclave(tmp_path / "enclave", keeps(answer)) as enclave, parent(enclave.address, connections=1) as client:
        assert client.post("/attest/fetch", json={**LEAST, "id": "slow", "timeoutMs": 200}).status_code == 504
        for number in range(10):
            response = client.post("/attest/fetch", json={**LEAST, "id": f"r{number}"})
            assert json_of(response)["rawBody"] == f"r{number}"
            time.sleep(0.03)


def test_a_killed_enclave_is_a_502_and_a_restarted_one_is_found_again(tmp_path: Path) -> None:
    path = tmp_path / "enclave"
    seen = []
    with parent(UnixAddress(path=str(path))) as client:
        for _ in range(3):
            with FakeEnclave(path, keeps()):
                seen += [client.post("/attest/fetch", json=LEAST).status_code for _ in range(2)]
            response = client.post("/attest/fetch", json=LEAST)
            seen.append(response.status_code)
            assert json_of(response)["code"] == "enclave_unreachable"
    assert seen == [200, 200, 502] * 3


def test_a_call_that_the_enclave_took_and_dropped_is_a_502_and_was_sent_once(tmp_path: Path) -> None:
    with (
        FakeEnclave(tmp_path / "enclave", reads_and_closes) as enclave,
        parent(enclave.address) as client,
    ):
        response = client.post("/attest/fetch", json=LEAST)
        assert (response.status_code, json_of(response)["error"]) == (
            502,
            "Enclave communication failed: Connection closed: expected 4 bytes, got 0",
        )
        assert (len(enclave.calls), enclave.accepted) == (1, 1)


def test_a_full_pool_is_a_503_that_says_when_to_come_back(tmp_path: Path) -> None:
    with (
        FakeEnclave(tmp_path / "enclave", silent) as enclave,
        parent(enclave.address, connections=1) as client,
        ThreadPoolExecutor(1) as threads,
    ):
        other = client.application.test_client()
        slow = threads.submit(other.post, "/attest/fetch", json={**LEAST, "timeoutMs": 1000})
        wait_until(lambda: len(enclave.calls) == 1)
        response = client.post("/attest/fetch", json={**LEAST, "timeoutMs": 200})
        assert (response.status_code, json_of(response)["code"], response.headers["Retry-After"]) == (503, "busy", "1")
        assert slow.result().status_code == 504
        assert len(enclave.calls) == 1


@pytest.mark.parametrize("script", [keeps(), closes()], ids=["keeps", "closes"])
def test_many_calls_through_either_kind_of_worker_all_succeed(tmp_path: Path, script: Script) -> None:
    with FakeEnclave(tmp_path / "enclave", script) as enclave, parent(enclave.address) as client:
        statuses = {client.post("/attest/fetch", json=LEAST).status_code for _ in range(100)}
        assert (statuses, len(enclave.calls)) == ({200}, 100)


# --- under gunicorn, with the shipped settings


class Served:
    """A gunicorn and its enclave, which answers at once, or when `go` is set to a call whose id is `slow`."""

    def __init__(self, folder: Path) -> None:
        self.go = threading.Event()
        self.enclave = FakeEnclave(folder / "enclave", keeps(self.answer))
        self.gunicorn = Gunicorn(folder / "enclave", folder / "log")

    def answer(self, payload: bytes) -> bytes:
        if json.loads(payload)["id"] == "slow":
            self.go.wait(10)
        return ANSWER

    def stop(self) -> None:
        self.go.set()
        with self.gunicorn:
            pass
        self.enclave.stop()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(tmp_path_factory.mktemp("gunicorn"))
    yield served
    served.stop()


def test_gunicorn_relays_a_fetch_and_keeps_the_connection(served: Served) -> None:
    connection = served.gunicorn.connect()
    for _ in range(3):
        connection.request("POST", "/attest/fetch", json.dumps(LEAST), {"Content-Type": "application/json"})
        sock = connection.sock
        response = connection.getresponse()
        assert (response.status, response.headers["Content-Type"], response.read()) == (200, "application/json", ANSWER)
        assert connection.sock is sock
    connection.close()


def test_gunicorn_accepts_exactly_ten_mebibytes_and_no_byte_more(served: Served) -> None:
    least = json.dumps({**LEAST, "body": ""}).encode()
    body = least[:-2] + b"a" * (MAX_REQUEST_BYTES - len(least)) + least[-2:]
    assert len(body) == 10 * 1024 * 1024
    assert served.gunicorn.post(body).status == 200
    answer = served.gunicorn.post(body[:-2] + b'a"}')
    assert (answer.status, answer.json["code"]) == (413, "too_large")


def test_gunicorn_reads_a_chunked_request_within_the_same_limit(served: Served) -> None:
    connection = served.gunicorn.connect()
    headers = {"Content-Type": "application/json"}
    data = json.dumps(LEAST).encode()
    connection.request("POST", "/attest/fetch", iter([data[:10], data[10:]]), headers, encode_chunked=True)
    response = connection.getresponse()
    assert (response.status, response.read()) == (200, ANSWER)
    blanks = [b" " * (1 << 20)] * 10  # JSON all the same, if it were cut short at the limit
    connection.request("POST", "/attest/fetch", iter([data, *blanks]), headers, encode_chunked=True)
    response = connection.getresponse()
    assert (response.status, json.load(response)["code"]) == (413, "too_large")
    connection.close()


def test_gunicorn_refuses_a_hundred_mebibytes_without_reading_them(served: Served) -> None:
    head = (
        b"POST /attest/fetch HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 104857600\r\n\r\n"
    )
    answer = served.gunicorn.exchange(head)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "too_large"


def test_sixteen_slow_calls_do_not_delay_a_fast_one(served: Served) -> None:
    served.go.clear()
    before = len(served.enclave.calls)
    with ThreadPoolExecutor(16) as threads:
        slow = [threads.submit(served.gunicorn.post, json.dumps({**LEAST, "id": "slow"}).encode()) for _ in range(16)]
        wait_until(lambda: len(served.enclave.calls) == before + 16)
        began = time.monotonic()
        assert served.gunicorn.post(json.dumps(LEAST).encode()).status == 200
        taken = time.monotonic() - began
        served.go.set()
        assert [call.result().status for call in slow] == [200] * 16
    assert taken < 1.0


def test_a_sigterm_lets_a_slow_call_finish_and_then_ends_the_process(tmp_path: Path) -> None:
    served = Served(tmp_path)
    try:
        with ThreadPoolExecutor(1) as threads:
            slow = threads.submit(served.gunicorn.post, json.dumps({**LEAST, "id": "slow"}).encode())
            wait_until(lambda: len(served.enclave.calls) == 1, seconds=20)
            served.gunicorn.terminate()
            wait_until(
                lambda: refuses(served.gunicorn.port) or "Handling signal: term" in served.gunicorn.log.read_text()
            )
            time.sleep(0.3)
            assert not slow.done()
            served.go.set()
            assert (slow.result().status, slow.result().data) == (200, ANSWER)
        assert served.gunicorn.process.wait(10) == 0
    finally:
        served.stop()


def refuses(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) != 0
