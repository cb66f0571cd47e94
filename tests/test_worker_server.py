"""The listening side over real sockets: many calls per connection, bounded, patient with shutdown only."""

import contextlib
import json
import operator
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from enclave_worker.log import Log
from enclave_worker.server import FrameServer
from tests.corpora import predecessor_vectors
from tests.enclave_kit import enclave, in_threads
from wire import frames, hops, sockets
from wire.addresses import Address, LoopbackAddress, UnixAddress
from wire.hops import Hop


@contextmanager
def serving(answer: Any, address: Address, **limits: Any) -> Iterator[tuple[FrameServer, Any]]:
    listener = sockets.listen(address)
    where = listener.getsockname()
    server = FrameServer(listener, answer, log=Log("test", stream=StringIO()), **limits)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server, where
    finally:
        server.stop()
        thread.join()


def connect(where: Any) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX if isinstance(where, str) else socket.AF_INET, socket.SOCK_STREAM)
    sock.settimeout(5)
    sock.connect(where)
    return sock


def receive(sock: socket.socket) -> bytes | None:
    return sockets.receive_frame(sock, frames.Decoder(), deadline=time.monotonic() + 5)


def unix(tmp_path: Path) -> UnixAddress:
    return UnixAddress(path=str(tmp_path / "worker.sock"))


def shout(payload: bytes) -> tuple[bytes]:
    return (payload.upper(),)


@pytest.mark.parametrize("kind", ["unix", "tcp"])
def test_a_connection_serves_one_call_after_another(kind: str, tmp_path: Path) -> None:
    address = unix(tmp_path) if kind == "unix" else LoopbackAddress(host="127.0.0.1", port=0)
    with serving(shout, address) as (_, where), connect(where) as sock:
        for index in range(50):
            sock.sendall(frames.encode(f"call {index}".encode()))
            assert receive(sock) == f"CALL {index}".encode()


def test_a_frame_may_arrive_byte_by_byte(tmp_path: Path) -> None:
    with serving(shout, unix(tmp_path)) as (_, where), connect(where) as sock:
        for byte in frames.encode(b"slow"):
            sock.sendall(bytes([byte]))
        assert receive(sock) == b"SLOW"


def test_two_frames_in_one_write_get_two_replies_in_order(tmp_path: Path) -> None:
    with serving(shout, unix(tmp_path)) as (_, where), connect(where) as sock:
        sock.sendall(frames.encode(b"one") + frames.encode(b"two"))
        decoder = frames.Decoder()
        deadline = time.monotonic() + 5
        replies = [sockets.receive_frame(sock, decoder, deadline=deadline) for _ in range(2)]
    assert replies == [b"ONE", b"TWO"]


def test_a_frame_of_16_mib_passes_both_ways(tmp_path: Path) -> None:
    payload = b"a" * frames.MAX_FRAME_BYTES
    with serving(shout, unix(tmp_path)) as (_, where), connect(where) as sock:
        threading.Thread(target=sock.sendall, args=(frames.encode(payload),)).start()
        assert receive(sock) == payload.upper()


def test_a_peer_that_is_silent_in_a_frame_is_dropped(tmp_path: Path) -> None:
    with serving(shout, unix(tmp_path), frame_seconds=0.2) as (_, where), connect(where) as sock:
        sock.sendall(b"\0\0\0\5ab")
        assert sock.recv(1) == b""


def test_an_idle_peer_is_dropped(tmp_path: Path) -> None:
    with serving(shout, unix(tmp_path), idle_seconds=0.2) as (_, where), connect(where) as sock:
        assert sock.recv(1) == b""


def test_connections_are_bounded_and_their_places_come_back(tmp_path: Path) -> None:
    with serving(shout, unix(tmp_path), connections=2) as (_, where):
        first, second = connect(where), connect(where)
        for sock in (first, second):
            sock.sendall(frames.encode(b"x"))
            assert receive(sock) == b"X"
        with connect(where) as third:
            assert json.loads(receive(third) or b"")["error"] == "Enclave at capacity"
            assert third.recv(1) == b""
        first.close()
        assert _eventually_answers(where)
        second.close()


def _eventually_answers(where: Any) -> bool:
    for _ in range(100):
        with connect(where) as sock, contextlib.suppress(BrokenPipeError):  # turned away before it could send
            sock.sendall(frames.encode(b"again"))
            if receive(sock) == b"AGAIN":
                return True
        time.sleep(0.02)
    return False


def test_a_bug_in_a_handler_costs_its_connection_only(tmp_path: Path) -> None:
    def answer(payload: bytes) -> tuple[bytes]:
        if payload == b"bug":
            raise ZeroDivisionError
        return (payload,)

    with serving(answer, unix(tmp_path)) as (server, where):
        with connect(where) as sock:
            sock.sendall(frames.encode(b"bug"))
            assert receive(sock) is None
        with connect(where) as sock:
            sock.sendall(frames.encode(b"fine"))
            assert receive(sock) == b"fine"
        assert server.fileno() >= 0


def test_stopping_finishes_calls_under_way_and_closes_idle_connections(tmp_path: Path) -> None:
    entered = threading.Event()

    def slow(payload: bytes) -> tuple[bytes]:
        entered.set()
        time.sleep(0.3)
        return (payload,)

    with serving(slow, unix(tmp_path)) as (server, where), connect(where) as idle, connect(where) as busy:
        busy.sendall(frames.encode(b"begun"))
        entered.wait(5)
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        assert receive(busy) == b"begun"
        assert (busy.recv(1), idle.recv(1)) == (b"", b"")
        stopping.join()


def test_no_thread_or_descriptor_outlives_its_connection(tmp_path: Path) -> None:
    with serving(shout, unix(tmp_path)) as (_, where):
        before = (threading.active_count(), len(list(Path("/proc/self/fd").iterdir())))

        def call(index: int) -> bytes | None:
            with connect(where) as sock:
                sock.sendall(frames.encode(b"%d" % index))
                return receive(sock)

        for _ in range(10):
            in_threads(20, call)
        for _ in range(100):
            now = (threading.active_count(), len(list(Path("/proc/self/fd").iterdir())))
            if all(map(operator.le, now, before)):
                break
            time.sleep(0.02)
        assert all(map(operator.le, now, before)), (now, before)


# The predecessor's accept loop, replayed byte for byte. Rows of ARCHITECTURE.md's table of deviations:
# E1 the words and status (400) of an error are ours; E2 a close between two frames is no error;
# E3 what is not an object, or lacks url and method, is refused (400) instead of being handled;
# E4 bytes that are not UTF-8 are refused instead of replaced; E5 bytes behind a frame begin the next one;
# E6 the connection stays open after a reply.
DEVIATIONS = {
    "invalid json": "E1",
    "json null": "E3",
    "json number": "E3",
    "json array": "E3",
    "empty object": "E3",
    "zero length": "E1",
    "too large header (16MiB+1)": "E1",
    "exactly 16MiB header then EOF": "E1",
    "truncated header": "E1",
    "truncated payload": "E1",
    "immediate EOF": "E2",
    "trailing bytes ignored": "E5",
    "invalid utf8 in JSON string": "E4",
}
ELSEWHERE = {
    "startup": "the console's words are not kept",
    "handler throws": "test_a_bug_in_a_handler_costs_its_connection_only",
    "response > 16MiB": "test_text_that_json_would_blow_up_beyond_a_frame_comes_as_base64",
    "6 concurrent with MAX_CONCURRENT default 4": "test_six_calls_at_once_...",
}
LOOP = [v for v in predecessor_vectors("enclave_loop") if v["name"].removeprefix("head: ") not in ELSEWHERE]


@pytest.mark.parametrize("vector", [v for v in LOOP if v["name"].startswith("head: ")], ids=lambda v: v["name"])
def test_the_predecessors_loop(vector: dict, tmp_path: Path) -> None:  # type: ignore[type-arg]
    name = vector["name"].removeprefix("head: ")
    with enclave() as running, serving(running.worker.payloads, unix(tmp_path)) as (_, where), connect(where) as sock:
        sock.sendall(bytes.fromhex(vector["input"]["inboundHex"]))
        sock.shutdown(socket.SHUT_WR)
        data = b"".join(iter(lambda: sock.recv(65536), b""))
    expected = vector["expected"]["reply"]["json"]
    if name == "immediate EOF":
        assert data == b""
        return
    (length,) = struct.unpack(">I", data[:4])
    reply = json.loads(data[4 : 4 + length])
    if DEVIATIONS.get(name) in ("E1", "E3", "E4"):
        assert (reply["success"], reply["status"], reply["headers"], reply["rawBody"]) == (False, 400, {}, "")
        if DEVIATIONS[name] == "E1" and name != "invalid json":
            assert reply["error"] == expected["error"]  # the framing errors keep even their words
    elif name.startswith("ping"):
        assert (reply["type"], isinstance(reply["timestamp"], int)) == ("pong", True)
    else:  # well-formed calls for a host that this policy does not have
        assert (reply["success"], reply["status"]) == (False, 403)


def test_every_deviation_names_a_vector_that_exists() -> None:
    assert set(DEVIATIONS) | set(ELSEWHERE) <= {
        v["name"].removeprefix("head: ") for v in predecessor_vectors("enclave_loop")
    }


def test_who_wants_a_report_gets_it_in_a_frame_before_the_reply(tmp_path: Path) -> None:
    with enclave() as running, serving(running.worker.payloads, unix(tmp_path)) as (_, where), connect(where) as sock:
        sock.sendall(frames.encode(hops.attach(b'{"type":"ping"}', Hop(report=True))))
        decoder, deadline = frames.Decoder(), time.monotonic() + 5
        report, pong = (sockets.receive_frame(sock, decoder, deadline=deadline) or b"" for _ in range(2))
    told = hops.read_report(report)
    assert told is not None
    assert (told.success, told.status, told.boot) == (True, 200, json.loads(pong)["boot"])
