"""Silent callers under real gunicorn, with as many of them as it has threads."""

import http.client
import json
import socket
from pathlib import Path

from app import gunicorn_conf
from tests.fake_enclave import FakeEnclave, keeps
from tests.parent import Gunicorn

HALF = b"POST /attest/fetch HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"


def test_silent_callers_give_their_threads_back(tmp_path: Path) -> None:
    with FakeEnclave(tmp_path / "enclave", keeps()), Gunicorn(tmp_path / "enclave", tmp_path / "log") as gunicorn:
        silent = [socket.create_connection(("127.0.0.1", gunicorn.port)) for _ in range(gunicorn_conf.threads + 4)]
        try:
            for sock in silent:
                sock.sendall(HALF)
            connection = gunicorn.connect(timeout=40.0)
            connection.request("GET", "/health")
            assert json.loads(connection.getresponse().read())["healthy"] is True
            connection.close()
            silent[0].settimeout(20.0)
            answer = http.client.HTTPResponse(silent[0])
            answer.begin()
            said = json.loads(answer.read())
        finally:
            for sock in silent:
                sock.close()
    assert (answer.status, said["code"]) == (408, "request_timeout")
