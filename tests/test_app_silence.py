"""Silent and dripping callers under real gunicorn, with more of them than it has threads."""

import contextlib
import http.client
import itertools
import json
import select
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from gunicorn.config import Config  # type: ignore[import-untyped]
from gunicorn.http import errors, get_parser  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from app import gunicorn_conf, patience
from app.gunicorn_arrival import MAX_HEAD_BYTES, is_parsable
from app.patience import Patient
from tests.fake_enclave import FakeEnclave, keeps
from tests.parent import LEAST, Gunicorn

HEAD = b"POST /attest/fetch HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
HALF = HEAD + b"{"
MANY = gunicorn_conf.threads + 4
LONGEST_LINE = gunicorn_conf.limit_request_line


@contextmanager
def connected(port: int, count: int, said: bytes) -> Iterator[list[socket.socket]]:
    socks = [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]
    try:
        for sock in socks:
            sock.sendall(said)
        yield socks
    finally:
        for sock in socks:
            sock.close()


@contextmanager
def full_at(connections: int, folder: Path) -> Iterator[Gunicorn]:
    """A parent whose one process has so many places for connections."""
    environ = {"GUNICORN_CMD_ARGS": f"--worker-connections {connections}"}
    with (
        FakeEnclave(folder / "enclave", keeps()),
        Gunicorn(folder / "enclave", folder / "log", environ=environ) as gunicorn,
    ):
        yield gunicorn


def read_answer(sock: socket.socket) -> tuple[int, str]:
    sock.settimeout(30.0)
    answer = http.client.HTTPResponse(sock)
    answer.begin()
    return answer.status, json.loads(answer.read())["code"]


def test_silent_callers_give_their_threads_back(tmp_path: Path) -> None:
    with (
        FakeEnclave(tmp_path / "enclave", keeps()),
        Gunicorn(tmp_path / "enclave", tmp_path / "log") as gunicorn,
        connected(gunicorn.port, MANY, HALF) as silent,
    ):
        connection = gunicorn.connect(timeout=40.0)
        connection.request("GET", "/health")
        assert json.loads(connection.getresponse().read())["healthy"] is True
        connection.close()
        assert read_answer(silent[0]) == (408, "request_timeout")


@pytest.mark.parametrize("said", [b"", HEAD[:5], HEAD[:-2]], ids=["nothing", "half a line", "half a head"])
def test_callers_whose_head_is_not_whole_take_no_thread(said: bytes, tmp_path: Path) -> None:
    with (
        FakeEnclave(tmp_path / "enclave", keeps()),
        Gunicorn(tmp_path / "enclave", tmp_path / "log") as gunicorn,
        connected(gunicorn.port, MANY, said) as slow,
    ):
        assert gunicorn.post(json.dumps(LEAST).encode()).status == 200
        assert select.select(slow, [], [], 0.0)[0] == []  # all of them are still waited for


def test_a_drip_prolongs_nothing(tmp_path: Path) -> None:
    stop = threading.Event()

    def drip(socks: list[socket.socket]) -> None:
        while not stop.wait(0.5):
            for sock in socks:
                try:
                    sock.send(b" ")
                except OSError:
                    return

    with (
        FakeEnclave(tmp_path / "enclave", keeps()),
        Gunicorn(tmp_path / "enclave", tmp_path / "log") as gunicorn,
        connected(gunicorn.port, 1, b"GET / HTTP/1.1\r\nA: ") as heads,
        connected(gunicorn.port, 1, HALF) as bodies,
    ):
        thread = threading.Thread(target=drip, args=[[*heads, *bodies]])
        thread.start()
        try:
            assert [read_answer(sock) for sock in (*heads, *bodies)] == [(408, "request_timeout")] * 2
        finally:
            stop.set()
            thread.join()


def test_a_head_in_pieces_is_a_request(tmp_path: Path) -> None:
    body = json.dumps(LEAST).encode()
    request = HEAD.replace(b"1000", str(len(body)).encode()) + body
    with (
        FakeEnclave(tmp_path / "enclave", keeps()),
        Gunicorn(tmp_path / "enclave", tmp_path / "log") as gunicorn,
        connected(gunicorn.port, 1, b"") as (sock,),
    ):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(2):  # of one connection
            for byte in request:
                sock.sendall(bytes([byte]))
            assert sock.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_who_is_idle_for_longest_makes_room(tmp_path: Path) -> None:
    with full_at(MANY, tmp_path) as gunicorn, connected(gunicorn.port, MANY + 20, b"") as idle:
        assert gunicorn.post(json.dumps(LEAST).encode()).status == 200
        assert idle[0].recv(1) == b""
        assert select.select(idle[-20:], [], [], 0.0)[0] == []


def test_a_byte_on_the_connection_that_makes_room_in_that_instant_ends_no_process(tmp_path: Path) -> None:
    with full_at(MANY, tmp_path) as gunicorn, connected(gunicorn.port, MANY - 1, b"") as idle:
        assert gunicorn.post(json.dumps(LEAST).encode()).status == 200
        for _ in range(1000):
            idle.append(socket.create_connection(("127.0.0.1", gunicorn.port)))
            with idle.pop(0) as oldest, contextlib.suppress(OSError):
                oldest.send(b"G")
        assert gunicorn.post(json.dumps(LEAST).encode()).status == 200
    log = (tmp_path / "log").read_text()
    assert log.count("Booting worker") == 1
    assert "Traceback" not in log


# --- when a thread begins

PIECES = st.lists(
    st.sampled_from(
        [b"GET", b" ", b"/", b"HTTP/1.1", b"\r", b"\n", b"\r\n", b"\r\n\r\n", b"Host: x", b":", b"a" * 5000, b"\0"]
    )
    | st.binary(max_size=8),
    max_size=12,
).map(b"".join)


@given(PIECES)
def test_what_a_thread_begins_with_is_parsed_without_waiting_for_more(data: bytes) -> None:
    config = Config()
    config.set("limit_request_line", LONGEST_LINE)
    waited = False
    try:
        next(get_parser(config, iter([data] if data else []), ("127.0.0.1", 1)))
    except (errors.NoMoreData, StopIteration):
        waited = True
    except errors.ParseException:
        pass
    if is_parsable(data, LONGEST_LINE):
        assert not waited


@pytest.mark.parametrize("end", [b"", b"\r\n\r\n"])
def test_a_head_that_is_too_large_is_refused_before_it_is_parsed(end: bytes) -> None:
    with pytest.raises(errors.LimitRequestHeaders):
        is_parsable(b"GET / HTTP/1.1\r\nA: " + b"a" * MAX_HEAD_BYTES + end, LONGEST_LINE)


# --- how long a socket is patient


@pytest.fixture
def pair() -> Iterator[tuple[Patient, socket.socket]]:
    ours, theirs = socket.socketpair()
    with Patient(fileno=ours.detach()) as patient, theirs:
        yield patient, theirs


def test_bytes_buy_time_at_a_rate(pair: tuple[Patient, socket.socket], monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(patience.time, "monotonic", lambda: now[0])
    ours, theirs = pair
    theirs.sendall(b"a" * 3)
    ours.expect()
    assert ours.recv(1) == b"a"
    now[0] += patience.SILENCE_SECONDS
    assert ours.recv(1) == b"a"
    now[0] += 0.001
    with pytest.raises(TimeoutError):
        ours.recv(1)
    assert ours.take(1) == b"a"  # between two requests nothing is counted
    with pytest.raises(BlockingIOError):
        ours.take(1)


@pytest.mark.parametrize("hurried", [False, True])
def test_an_answer_that_is_taken_too_slowly_ends_and_sooner_where_threads_are_scarce(
    hurried: bool, pair: tuple[Patient, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    instants, waited = itertools.count(100.0, 0.3), list[float]()

    def now() -> float:
        waited.append(next(instants))
        return waited[-1]

    monkeypatch.setattr(patience.time, "monotonic", now)
    monkeypatch.setattr(patience, "BYTES_PER_SECOND", 10**12)
    ours, _ = pair
    ours.hurried = lambda: hurried
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 0, 1000))
    with pytest.raises(BrokenPipeError):
        ours.sendall(b"a" * 10_000_000)
    limit = patience.HURRIED_SECONDS if hurried else patience.SILENCE_SECONDS
    assert limit < waited[-1] - waited[0] < limit + 0.31


def test_callers_who_do_not_read_give_their_threads_back_where_threads_are_scarce(tmp_path: Path) -> None:
    with (
        FakeEnclave(tmp_path / "enclave", keeps()),
        Gunicorn(tmp_path / "enclave", tmp_path / "log") as gunicorn,
        connected(gunicorn.port, MANY, b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 200),
    ):
        assert gunicorn.post(json.dumps(LEAST).encode()).status == 200
    assert "Traceback" not in (tmp_path / "log").read_text()
