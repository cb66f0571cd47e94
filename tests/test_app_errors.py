"""Errors: always JSON of one form, never a stack trace, and no secret in the log or in the parent's own answers."""

import base64
import io
import json
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app.config import MAX_REQUEST_BYTES
from app.log import Log
from tests.fake_enclave import ANSWER, FakeEnclave, Script, keeps, sends, silent, wait_until
from tests.parent import LEAST, URL, Gunicorn, json_of, parent
from wire.addresses import UnixAddress

MARK = "s3cr3tmark"
SECRETS = {
    "url": f"https://ec.europa.eu/path-{MARK}?query-{MARK}={MARK}",
    "method": "POST",
    "headers": {"Authorization": f"Bearer {MARK}", f"X-Name-{MARK}": f"value-{MARK}"},
    "body": f"body-{MARK}",
    "challenge": base64.b64encode(MARK.encode() * 2).decode(),
}
LOOKUP = {"service": "vies", "operation": "hmrc.lookup", "params": {}}


RELAYS = keeps()


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One way to fail. `fields` are sent as JSON unless `data` is given; `script` is None where no enclave runs."""

    status: int
    code: str
    error: str | None = None
    method: str = "POST"
    path: str = "/attest/fetch"
    fields: dict[str, Any] = field(default_factory=lambda: SECRETS)
    data: bytes | None = None
    content_type: str = "application/json"
    script: Script | None = RELAYS

    def ask(self, client: FlaskClient) -> TestResponse:
        data = json.dumps(self.fields).encode() if self.data is None else self.data
        headers = {"Authorization": f"Bearer token-{MARK}", "Cookie": f"c={MARK}"}
        return client.open(self.path, method=self.method, data=data, content_type=self.content_type, headers=headers)


def refused(code: str, **fields: Any) -> Case:
    return Case(status=400, code=code, fields={**SECRETS, **fields})


CASES = {
    "bad json": Case(status=400, code="bad_request", data=b'{"url":"%s"' % MARK.encode()),
    "empty body": Case(status=400, code="bad_request", data=b"", error="invalid JSON at character 0: Expecting value"),
    "json array": Case(
        status=400, code="bad_request", data=b'["%s"]' % MARK.encode(), error="the JSON must be an object"
    ),
    "not utf-8": Case(status=400, code="bad_request", data=b'{"url":"%s\xff"}' % MARK.encode()),
    "missing fields": Case(
        status=400, code="bad_request", fields={"body": MARK}, error="Missing required fields: url, method"
    ),
    "wrong type": refused("bad_request", body={"secret": MARK}),
    "bad base64": refused("bad_request", bodyEncoding="base64"),
    "short challenge": refused("bad_request", challenge="AAAA"),
    "duplicate key": Case(
        status=400, code="bad_request", data=b'{"url":"%s","url":"%s"}' % (MARK.encode(), MARK.encode())
    ),
    "userinfo": refused("url.userinfo", url=f"https://user-{MARK}:pass-{MARK}@ec.europa.eu/"),
    "bad scheme": refused("url.scheme", url=f"ftp://ec.europa.eu/{MARK}"),
    "fragment": refused("url.fragment", url=f"https://ec.europa.eu/#{MARK}"),
    "blank in url": refused("url.space", url=f"https://ec.europa.eu/{MARK} x"),
    "line break in url": refused("url.control", url=f"https://ec.europa.eu/{MARK}\r\nHost: x"),
    "dot segments": refused("url.dot-segment", url=f"https://ec.europa.eu/{MARK}/../x"),
    "address": refused("url.ip-literal", url=f"https://127.0.0.1/{MARK}"),
    "other port": refused("url.port", url=f"https://ec.europa.eu:8443/{MARK}"),
    "no path": refused("url.path-missing", url="https://ec.europa.eu"),
    "lower-case method": refused("method.grammar", method="get"),
    "injected method": refused("method.grammar", method=f"GET /{MARK} HTTP/1.1\r\nX:"),
    "tunnel": refused("method.forbidden", method="CONNECT"),
    "host header": refused("header.forbidden", headers={"Host": MARK}),
    "injected header": refused("header.value", headers={"X-A": f"{MARK}\r\nX-B: y"}),
    "injected header name": refused("header.name", headers={f"X: {MARK}\r\nX-B": "y"}),
    "header twice": refused("header.duplicate", headers={"X-A": MARK, "x-a": MARK}),
    "unknown host": Case(
        status=404,
        code="no_enclave",
        fields={**SECRETS, "url": f"https://example.com/{MARK}?{MARK}"},
        error="No enclave configured for host: example.com",
    ),
    "unknown path": Case(status=404, code="not_found", path=f"/{MARK}?q={MARK}"),
    "wrong verb": Case(status=405, code="method_not_allowed", method="GET", path=f"/attest/fetch?q={MARK}"),
    "too large": Case(status=413, code="too_large", data=b'{"body":"%s' % MARK.encode() + b"a" * MAX_REQUEST_BYTES),
    "far too large": Case(status=413, code="too_large", data=b"a" * (2 * MAX_REQUEST_BYTES + 1)),
    "wrong media type": Case(status=415, code="unsupported_media_type", content_type=f"text/{MARK}"),
    "wrong charset": Case(status=415, code="unsupported_media_type", content_type=f"application/json; charset={MARK}"),
    "no enclave": Case(status=502, code="enclave_unreachable", script=None),
    "broken frame": Case(
        status=502,
        code="enclave_unreachable",
        script=sends(b"\xff\xff\xff\xff" + MARK.encode()),
        error="Enclave communication failed: Message too large: 4294967295 bytes (max 16777216)",
    ),
    "cut reply": Case(
        status=502,
        code="enclave_unreachable",
        script=sends(b"\x00\x00\x01\x00" + MARK.encode()),
        error=f"Enclave communication failed: Connection closed: expected 256 bytes, got {len(MARK)}",
    ),
    "reply is no json": Case(
        status=502,
        code="bad_reply",
        script=keeps(lambda _: MARK.encode()),
        error="Enclave communication failed: the reply is not JSON",
    ),
    "reply is not utf-8": Case(status=502, code="bad_reply", script=keeps(lambda _: MARK.encode() + b"\xff")),
    "reply is nested deeply": Case(status=502, code="bad_reply", script=keeps(lambda _: b"[" * 100_000)),
    "reply is no object": Case(
        status=502,
        code="bad_reply",
        script=keeps(lambda _: b'["%s"]' % MARK.encode()),
        error="Enclave communication failed: the reply is not a JSON object",
    ),
    "deadline": Case(
        status=504,
        code="deadline",
        script=silent,
        fields={**SECRETS, "timeoutMs": 60},
        error="Enclave communication failed: receive timed out",
    ),
    "bug": Case(status=500, code="internal_error", path="/bug"),
}


def bug() -> str:
    secret = f"local-{MARK}"
    raise ValueError(f"message-{MARK} {secret}")


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_an_error_is_json_of_one_form_and_no_secret_is_logged_or_echoed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], case: Case
) -> None:
    log = io.StringIO()
    address = UnixAddress(path=str(tmp_path / "enclave"))
    enclave = FakeEnclave(tmp_path / "enclave", case.script) if case.script else None
    try:
        with parent(address, log=log) as client:
            client.application.add_url_rule("/bug", view_func=bug, methods=["POST"])
            response = case.ask(client)
    finally:
        if enclave is not None:
            enclave.stop()
    assert (response.status_code, json_of(response)["code"]) == (case.status, case.code)
    assert_is_our_error(json_of(response), response.headers["X-Request-Id"])
    assert response.mimetype == "application/json"
    if case.error is not None:
        assert json_of(response)["error"] == case.error
    assert MARK not in response.get_data(as_text=True) + str(response.headers)
    assert MARK not in log.getvalue()
    assert capfd.readouterr() == ("", "")


def test_a_full_pool_says_so_without_a_secret(tmp_path: Path) -> None:
    log = io.StringIO()
    with (
        FakeEnclave(tmp_path / "enclave", silent) as enclave,
        parent(enclave.address, log=log, connections=1) as client,
        ThreadPoolExecutor(1) as threads,
    ):
        threads.submit(Case(status=504, code="", fields={**SECRETS, "timeoutMs": 400}).ask, client)
        wait_until(lambda: len(enclave.calls) == 1)
        other = client.application.test_client()
        response = Case(status=503, code="", fields={**SECRETS, "timeoutMs": 50}).ask(other)
    assert (response.status_code, json_of(response)["code"]) == (503, "busy")
    assert_is_our_error(json_of(response), response.headers["X-Request-Id"])
    assert MARK not in response.get_data(as_text=True) + str(response.headers) + log.getvalue()


def assert_is_our_error(body: dict[str, Any], request_id: str) -> None:
    assert list(body) == ["success", "error", "code", "requestId"]
    assert body["success"] is False
    assert body["requestId"] == request_id
    assert body["error"]
    assert "Traceback" not in body["error"]
    assert "<" not in body["error"]


@pytest.mark.parametrize(
    "reply",
    [
        json.dumps({"success": True, "status": 200, "rawBody": MARK, "headers": {"set-cookie": MARK}}).encode(),
        json.dumps({"success": False, "status": 502, "rawBody": MARK, "error": MARK}).encode(),
        json.dumps({"success": MARK, "status": MARK}).encode(),
    ],
)
def test_nothing_of_a_request_or_of_its_answer_is_logged(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], reply: bytes
) -> None:
    log = io.StringIO()
    with (
        FakeEnclave(tmp_path / "enclave", keeps(lambda _: reply)) as enclave,
        parent(enclave.address, log=log) as client,
    ):
        response = Case(status=200, code="").ask(client)
        assert (response.status_code, response.data) == (200, reply)
        assert json.dumps(enclave.calls).count(MARK) > 4  # it did travel
    assert MARK not in log.getvalue()
    assert capfd.readouterr() == ("", "")


def test_the_log_goes_to_standard_error_as_one_json_object_per_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    Log().event("a", text='x\n"y"', number=1, flag=True, nothing=None)
    Log().event("b")
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert [line["event"] for line in lines] == ["a", "b"]
    assert lines[0] == {**lines[0], "text": 'x\n"y"', "number": 1, "flag": True, "nothing": None}


def test_a_log_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    log = io.StringIO()
    log.close()
    with FakeEnclave(tmp_path / "enclave", keeps()) as enclave, parent(enclave.address, log=log) as client:
        assert client.post("/attest/fetch", json=LEAST).status_code == 200


def test_a_bug_is_logged_under_its_request_id_with_its_type_and_place_only(tmp_path: Path) -> None:
    log = io.StringIO()
    with parent(UnixAddress(path=str(tmp_path / "none")), log=log) as client:
        client.application.add_url_rule("/bug", view_func=bug)
        response = client.get("/bug")
    line = json.loads(log.getvalue())
    line.pop("time")
    assert line == {
        "event": "internal error",
        "requestId": json_of(response)["requestId"],
        "error": "ValueError",
        "where": f"test_app_errors.py:{bug.__code__.co_firstlineno + 2}",
    }


def test_two_errors_have_two_request_ids(tmp_path: Path) -> None:
    with parent(UnixAddress(path=str(tmp_path / "none"))) as client:
        ids = {json_of(client.post("/attest/fetch", json={}))["requestId"] for _ in range(3)}
    assert len({str(uuid.UUID(found)) for found in ids}) == 3


def test_a_caller_s_id_is_named_in_the_errors_that_come_after_it_was_read(tmp_path: Path) -> None:
    with parent(UnixAddress(path=str(tmp_path / "none"))) as client:
        response = client.post("/attest/fetch", json={**LEAST, "id": "r1"})
    assert (json_of(response)["requestId"], response.headers["X-Request-Id"]) == ("r1", "r1")


def test_an_id_that_is_no_header_value_is_refused_and_not_repeated(tmp_path: Path) -> None:
    with parent(UnixAddress(path=str(tmp_path / "none"))) as client:
        response = client.post("/attest/fetch", json={**LEAST, "id": "r1\r\nX-Evil: 1"})
    assert (response.status_code, json_of(response)["code"]) == (400, "bad_request")
    assert "X-Evil" not in response.headers


def test_a_wrong_verb_is_told_the_right_one(tmp_path: Path) -> None:
    with parent(UnixAddress(path=str(tmp_path / "none"))) as client:
        response = client.get("/attest/fetch")
    assert sorted(response.headers["Allow"].split(", ")) == ["OPTIONS", "POST"]


def test_only_a_full_pool_says_when_to_come_back(tmp_path: Path) -> None:
    with parent(UnixAddress(path=str(tmp_path / "none"))) as client:
        assert "Retry-After" not in client.post("/attest/fetch", json=LEAST).headers


def test_the_enclave_is_not_asked_about_what_the_parent_refuses(tmp_path: Path) -> None:
    with FakeEnclave(tmp_path / "enclave", keeps()) as enclave, parent(enclave.address) as client:
        for case in CASES.values():
            if case.status < 500:
                assert case.ask(client).status_code == case.status
        assert (enclave.accepted, enclave.received) == (0, [])


# --- under gunicorn


@pytest.fixture(scope="module")
def gunicorn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gunicorn]:
    folder = tmp_path_factory.mktemp("gunicorn")

    def answer(payload: bytes) -> bytes:
        return MARK.encode() if json.loads(payload)["id"] == "garbage" else ANSWER

    with FakeEnclave(folder / "enclave", keeps(answer)), Gunicorn(folder / "enclave", folder / "log") as gunicorn:
        yield gunicorn


HEAD = b"POST /attest/fetch HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nCookie: s3cr3tmark\r\n"
RAW = {
    "no request line": (b"s3cr3tmark\r\n\r\n", 400),
    "unknown version": (b"GET /s3cr3tmark HTTP/9.9\r\n\r\n", 400),
    "bytes that are no text": (b"GET /s3cr3tmark\xff HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "long request line": (b"GET /s3cr3tmark" + b"x" * 5000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
    "header without colon": (HEAD + b"Authorization s3cr3tmark\r\n\r\n", 400),
    "nul in a header": (HEAD + b"Authorization: s3cr3tmark\x00\r\n\r\n", 400),
    "header too long": (HEAD + b"Authorization: s3cr3tmark" + b"x" * 10_000 + b"\r\n\r\n", 431),
    "too many headers": (HEAD + b"".join(b"A%d: s3cr3tmark\r\n" % n for n in range(70)) + b"\r\n", 431),
    "two lengths": (HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400),
    "length and chunked": (HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}", 400),
    "bad length": (HEAD + b"Content-Length: s3cr3tmark\r\n\r\n{}", 400),
    "bad chunk size": (HEAD + b"Transfer-Encoding: chunked\r\n\r\ns3cr3tmark\r\n{}", 400),
    "chunk cut short": (HEAD + b"Transfer-Encoding: chunked\r\n\r\nff\r\ns3cr3tmark", 400),
    "body cut short": (HEAD + b'Content-Length: 999\r\n\r\n{"body":"s3cr3tmark', 400),
    "expectation": (HEAD + b"Expect: s3cr3tmark\r\nContent-Length: 2\r\n\r\n{}", 417),
    "unknown path": (b"GET /s3cr3tmark?s3cr3tmark HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 404),
    "unknown verb": (b"STEAL /routes?s3cr3tmark HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 405),
}


@pytest.mark.parametrize(("data", "status"), RAW.values(), ids=RAW)
def test_broken_http_is_answered_in_the_same_form_and_not_repeated(
    gunicorn: Gunicorn, data: bytes, status: int
) -> None:
    head, _, body = gunicorn.exchange(data).partition(b"\r\n\r\n")
    lines = head.decode("ascii").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:])
    assert lines[0].startswith(f"HTTP/1.1 {status} ")
    assert headers["content-type"] == "application/json"
    assert headers["cache-control"] == "no-store"
    assert_is_our_error(json.loads(body), headers["x-request-id"])
    assert MARK.encode() not in head + body


def test_a_gunicorn_that_saw_secrets_in_every_place_has_logged_none(gunicorn: Gunicorn) -> None:
    statuses = [
        gunicorn.post(json.dumps(fields).encode(), path=path).status
        for fields, path in [
            (SECRETS, "/attest/fetch"),
            (SECRETS, f"/attest/fetch?{MARK}"),
            ({**SECRETS, "id": "garbage"}, "/attest/fetch"),
            ({**SECRETS, "url": f"https://{MARK}:{MARK}@ec.europa.eu/"}, "/attest/fetch"),
            ({"url": URL, "secret": MARK}, "/attest/fetch"),
            ({**LOOKUP, "params": {"accessToken": MARK}}, "/attest/query"),
            ({**LOOKUP, "operation": MARK, "params": {MARK: MARK}}, "/attest/query"),
            ({**LOOKUP, "service": MARK}, "/attest/query"),
            ({**LOOKUP, "params": [MARK]}, "/attest/query"),
        ]
    ]
    for data, _ in RAW.values():
        gunicorn.exchange(data)
    assert statuses == [200, 200, 502, 400, 400, 200, 200, 404, 400]
    log = gunicorn.log.read_text(encoding="utf-8")
    assert '"event": "fetch"' in log
    assert '"event": "http error"' in log
    assert MARK not in log
    assert "Traceback" not in log
