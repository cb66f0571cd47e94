"""Kept connections under real gunicorn: threads wait on them for a moment, and nobody else has to."""

import http.client
import json
import resource
import selectors
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent import futures
from functools import partial
from pathlib import Path

import pytest
from gunicorn.config import Config  # type: ignore[import-untyped]
from gunicorn.http import get_parser  # type: ignore[import-untyped]
from gunicorn.workers.gthread import TConn  # type: ignore[import-untyped]

from app import gunicorn_conf, gunicorn_worker
from app.gunicorn_answer import MAX_JOINED_BYTES, Answer
from tests.fake_enclave import FakeEnclave, keeps
from tests.parent import LEAST, Gunicorn

CALL = json.dumps(LEAST).encode()
JSON = {"Content-Type": "application/json"}
IDLE_CONNECTIONS = 1000
RELOADS = 3
CLIENTS = 12
UNCLOSED, KEPT = 10, 40
FAREWELL_SECONDS = gunicorn_worker.FAREWELL_SECONDS
LINGER_SECONDS = gunicorn_worker.LINGER_MICROSECONDS / 1_000_000


@pytest.fixture
def gunicorn(tmp_path: Path) -> Iterator[Gunicorn]:
    with FakeEnclave(tmp_path / "enclave", keeps()), Gunicorn(tmp_path / "enclave", tmp_path / "log") as gunicorn:
        yield gunicorn


def ask(connection: http.client.HTTPConnection) -> http.client.HTTPResponse:
    connection.request("POST", "/attest/fetch", CALL, JSON)
    answer = connection.getresponse()
    assert json.loads(answer.read())["success"] is True
    return answer


def raw_request(identity: str) -> bytes:
    body = json.dumps({**LEAST, "id": identity}).encode()
    head = f"POST /attest/fetch HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return head.encode() + b"\r\n\r\n" + body


def test_one_connection_serves_requests_at_once_and_after_a_pause(gunicorn: Gunicorn) -> None:
    connection = gunicorn.connect()
    ask(connection)
    first = connection.sock
    for pause in (0.0, 0.0, 4 * LINGER_SECONDS, 0.0):  # the long one: the thread has left, and the poller takes over
        time.sleep(pause)
        assert ask(connection).status == 200
    assert connection.sock is first
    connection.close()


def test_a_later_request_may_take_its_time_too(gunicorn: Gunicorn) -> None:
    connection = gunicorn.connect()
    ask(connection)
    assert connection.sock is not None
    head, _, body = raw_request("slow").partition(b"\r\n\r\n")
    connection.sock.sendall(head + b"\r\n\r\n")
    time.sleep(4 * LINGER_SECONDS)
    connection.sock.sendall(body)
    assert connection.sock.recv(65536).startswith(b"HTTP/1.1 200 ")
    connection.close()


def test_requests_that_come_together_are_answered_in_order(gunicorn: Gunicorn) -> None:
    with socket.create_connection(("127.0.0.1", gunicorn.port), timeout=20) as sock:
        sock.sendall(b"".join(map(raw_request, ("one", "two", "three"))))
        received = b""
        while received.count(b"X-Request-Id: ") < 3:
            received += sock.recv(65536)
    assert [part[: part.index(b"\r")] for part in received.split(b"X-Request-Id: ")[1:]] == [b"one", b"two", b"three"]


def test_a_thousand_idle_connections_leave_threads_for_a_new_caller(gunicorn: Gunicorn) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4096)), hard))
    idle = [gunicorn.connect() for _ in range(IDLE_CONNECTIONS)]
    newcomers = [gunicorn.connect() for _ in range(gunicorn_conf.threads)]
    try:
        assert [ask(connection).status for connection in (*idle, *newcomers)] == [200] * (len(idle) + len(newcomers))
    finally:
        for connection in (*idle, *newcomers):
            connection.close()


def test_a_reload_loses_no_request_of_busy_connections(gunicorn: Gunicorn) -> None:
    stop, lost, served = threading.Event(), list[str](), list[int]()

    def hammer() -> None:
        connection, count = gunicorn.connect(), 0
        while not stop.is_set():
            try:
                count += ask(connection).status == 200
            except (OSError, http.client.HTTPException) as exc:
                lost.append(repr(exc))
                connection.close()
        served.append(count)
        connection.close()

    serves(gunicorn)
    clients = [threading.Thread(target=hammer) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    for number in range(RELOADS):
        gunicorn.process.send_signal(signal.SIGHUP)
        booted(gunicorn, 2 + number)
    stop.set()
    for client in clients:
        client.join()
    assert lost == []
    assert min(served) > 0


def test_callers_that_do_not_close_hold_up_nobody_else(gunicorn: Gunicorn) -> None:
    """gunicorn as shipped has its accepting thread wait two seconds for each of them."""
    serves(gunicorn)
    ended = [socket.create_connection(("127.0.0.1", gunicorn.port), timeout=20) for _ in range(UNCLOSED)]
    request = raw_request("ends").replace(b"Host: x", b"Host: x\r\nConnection: close")
    for sock in ended:
        sock.sendall(request)
    for sock in ended:
        assert sock.recv(65536).startswith(b"HTTP/1.1 200 ")
    began = time.monotonic()
    connection = gunicorn.connect()
    ask(connection)
    assert time.monotonic() - began < FAREWELL_SECONDS
    for each in (connection, *ended):
        each.close()


def test_a_reload_answers_what_comes_on_kept_connections_whoever_does_not_close(gunicorn: Gunicorn) -> None:
    serves(gunicorn)
    kept = [socket.create_connection(("127.0.0.1", gunicorn.port), timeout=20) for _ in range(KEPT)]
    for number, sock in enumerate(kept):
        sock.sendall(raw_request(f"first{number}"))
        assert sock.recv(65536).startswith(b"HTTP/1.1 200 ")
    gunicorn.process.send_signal(signal.SIGHUP)
    booted(gunicorn, 2)
    heads = []
    for number, sock in enumerate(kept):  # none of them is closed here before all are answered
        sock.sendall(raw_request(f"second{number}"))
        heads.append(sock.recv(65536).partition(b"\r\n\r\n")[0])
    assert [head[:12] for head in heads] == [b"HTTP/1.1 200"] * KEPT
    assert all(b"\r\nConnection: close" in head for head in heads)
    for sock in kept:
        sock.close()


def test_a_kept_connection_whose_time_is_over_is_not_closed_with_a_request_in_it() -> None:
    worker = gunicorn_worker.Worker(1, 1, [], None, 10, Config(), None)
    worker._taken, worker.poller = 0, selectors.DefaultSelector()
    worker.tpool = futures.ThreadPoolExecutor(max_workers=1)
    answered = list[TConn]()
    worker.handle = answered.append
    worker.method_queue.defer = lambda *_: None
    pairs = [socket.socketpair() for _ in range(3)]
    conns = [TConn(worker.cfg, ours, None, None) for ours, _ in pairs]
    for conn in conns:
        conn.timeout = time.monotonic()
        worker.keepalived_conns.append(conn)
        worker.poller.register(conn.sock, selectors.EVENT_READ, partial(worker.on_client_socket_readable, conn))
    worker.nr_conns = len(conns)
    pairs[1][1].sendall(GET)
    worker.murder_keepalived()
    worker.tpool.shutdown()
    assert answered == [conns[1]]
    assert [ours.fileno() == -1 for ours, _ in pairs] == [True, False, True]
    assert (worker.nr_conns, list(worker.keepalived_conns)) == (1, [])
    worker.poller.close()
    worker.tmp.close()
    for sock in (sock for pair in pairs for sock in pair):
        sock.close()


def serves(gunicorn: Gunicorn) -> None:
    """Wait until the first process answers."""
    connection = gunicorn.connect()
    ask(connection)
    connection.close()


def booted(gunicorn: Gunicorn, workers: int) -> None:
    """Wait until so many workers have started, and the last of them has been given time to take over."""
    deadline = time.monotonic() + 20
    while gunicorn.log.read_text().count("Booting worker") < workers:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(0.5)


# --- how an answer is written


def answered(
    request: bytes, headers: list[tuple[str, str]], *pieces: bytes
) -> tuple[http.client.HTTPResponse, bytes, Answer]:
    """Return what a caller receives, and the answer that wrote it."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        asked = next(get_parser(Config(), iter([request]), ("127.0.0.1", 1)))
        answer = Answer(asked, ours, Config())
        answer.start_response("200 OK", headers)

        def write() -> None:
            for piece in pieces:
                answer.write(piece)
            answer.close()
            ours.shutdown(socket.SHUT_WR)

        writer = threading.Thread(target=write)
        writer.start()
        received = http.client.HTTPResponse(theirs, method=asked.method)
        received.begin()
        body = received.read()
        writer.join()
    return received, body, answer


GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize("size", [0, 1, MAX_JOINED_BYTES, MAX_JOINED_BYTES + 1, 4 * MAX_JOINED_BYTES])
def test_an_answer_of_known_length_arrives_whole(size: int) -> None:
    received, body, answer = answered(GET, [("Content-Length", str(size)), ("X-A", "b")], b"x" * size)
    assert (body, received.headers["X-A"], received.headers["Connection"]) == (b"x" * size, "b", "keep-alive")
    assert not answer.should_close()


def test_an_answer_in_pieces_arrives_whole() -> None:
    assert answered(GET, [("Content-Length", "6")], b"abc", b"def")[1] == b"abcdef"
    received, body, _ = answered(GET, [], b"abc", b"", b"def")
    assert (body, received.headers["Transfer-Encoding"]) == (b"abcdef", "chunked")


def test_an_answer_without_a_body_has_its_head() -> None:
    assert answered(GET, [("Content-Length", "0")])[0].headers["Content-Length"] == "0"
    received, body, _ = answered(GET.replace(b"GET", b"HEAD"), [("Content-Length", "3")], b"abc")
    assert (body, received.headers["Content-Length"]) == (b"", "3")


def test_an_answer_says_so_when_its_connection_ends() -> None:
    received, body, answer = answered(GET.replace(b"1.1", b"1.0"), [("Content-Length", "3")], b"abc")
    assert (body, received.headers["Connection"], answer.should_close()) == (b"abc", "close", True)


def test_an_answer_is_dated() -> None:
    received, _, _ = answered(GET, [("Content-Length", "0")])
    dated = time.strptime(received.headers["Date"], "%a, %d %b %Y %H:%M:%S GMT")
    assert abs(time.mktime(dated) - time.mktime(time.gmtime())) < 60


def test_head_and_body_leave_in_one_packet() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        answer = Answer(next(get_parser(Config(), iter([GET]), ("127.0.0.1", 1))), ours, Config())
        answer.start_response("200 OK", [("Content-Length", "3")])
        answer.write(b"abc")
        answer.close()
        assert theirs.recv(65536).endswith(b"\r\n\r\nabc")
