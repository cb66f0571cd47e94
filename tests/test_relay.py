"""The blind relay: the same bytes both ways, half-close as half-close, a bounded number of threads, a clean stop."""

import contextlib
import os
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devstack.relay import GuestPort, Relay, connect, pump
from tests.hostile.actions import Cut
from tests.hostile.case import HELLO, TLS_1_3, reply
from tests.hostile.servers import HOST, Servers

REQUEST = b"GET /a HTTP/1.1\r\n\r\n"
Serve = Callable[[socket.socket], None]


def _target(stack: contextlib.ExitStack, serve: Serve) -> tuple[str, int]:
    """A TCP server that hands every connection to `serve` in a thread of its own."""
    listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    stack.callback(listener.shutdown, socket.SHUT_RDWR)

    def run(sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError):
            serve(sock)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=run, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    host, port = listener.getsockname()
    return host, port


@pytest.fixture
def stack() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as open_things:
        yield open_things


def _read_all(sock: socket.socket) -> bytes:
    data = b""
    while piece := sock.recv(65536):
        data += piece
    return data


def _send_all(sock: socket.socket, data: bytes) -> None:
    sock.sendall(data)
    sock.shutdown(socket.SHUT_WR)


def _echo(sock: socket.socket) -> None:
    while data := sock.recv(4096):
        sock.sendall(data)


def _count_then_answer(sock: socket.socket) -> None:
    """Answers only after the end of the request stream: needs the half-close to arrive as one."""
    sock.sendall(b"%d" % len(_read_all(sock)))


@pytest.fixture
def threads() -> Callable[[], int]:
    """How many threads the test's own relays have; other modules' stacks may run relays in this process too."""
    others = set(threading.enumerate())

    def count() -> int:
        return sum(thread.name.startswith("relay") for thread in threading.enumerate() if thread not in others)

    return count


def _wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 3
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize("family", ["tcp", "unix"])
def test_bytes_pass_unchanged_both_ways(stack: contextlib.ExitStack, tmp_path: Path, family: str) -> None:
    listen = tmp_path / "relay.sock" if family == "unix" else ("127.0.0.1", 0)
    relay = stack.enter_context(Relay(_target(stack, _echo), listen=listen))
    data = os.urandom(3 * 1024 * 1024)
    with relay.dial(3.0) as sock:
        sender = threading.Thread(target=_send_all, args=(sock, data))
        sender.start()
        assert _read_all(sock) == data
        sender.join()


def test_a_half_close_of_the_client_reaches_the_target_and_the_answer_still_comes(
    stack: contextlib.ExitStack,
) -> None:
    relay = stack.enter_context(Relay(_target(stack, _count_then_answer)))
    with relay.dial(3.0) as sock:
        sock.sendall(b"x" * 100_000)
        sock.shutdown(socket.SHUT_WR)
        assert _read_all(sock) == b"100000"


def test_a_half_close_of_the_target_reaches_the_client_which_may_go_on_sending(stack: contextlib.ExitStack) -> None:
    received: list[bytes] = []

    def farewell(sock: socket.socket) -> None:
        sock.sendall(b"bye")
        sock.shutdown(socket.SHUT_WR)
        received.append(_read_all(sock))

    relay = stack.enter_context(Relay(_target(stack, farewell)))
    with relay.dial(3.0) as sock:
        assert _read_all(sock) == b"bye"
        sock.sendall(b"late")
    _wait_until(lambda: received == [b"late"])


def test_no_byte_waits_for_an_acknowledgement_of_those_before(stack: contextlib.ExitStack) -> None:
    relay = stack.enter_context(Relay(_target(stack, _echo)))
    at_once: list[bool] = []

    def watched(source: socket.socket, sink: socket.socket) -> None:
        at_once.append(sink.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0)
        pump(source, sink)

    relay.up = relay.down = watched
    with relay.dial(3.0) as sock:
        _send_all(sock, b"abc")
        assert _read_all(sock) == b"abc"
    assert at_once == [True, True]


def test_tls_passes_and_so_does_a_cut(stack: contextlib.ExitStack) -> None:
    servers = stack.enter_context(Servers())
    server = servers.get("good", TLS_1_3)
    server.load(reply(HELLO[:-1], Cut()))
    relay = stack.enter_context(Relay(server.address))
    context = ssl.create_default_context(cadata=servers.authority.roots_pem)
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    with (
        relay.dial(3.0) as sock,
        context.wrap_socket(sock, server_hostname=HOST, suppress_ragged_eofs=False) as tls,
    ):
        tls.sendall(REQUEST)
        assert tls.recv(1000) == HELLO[:-1]
        with pytest.raises(ssl.SSLError, match=r"(?i)eof"):
            tls.recv(1000)


def test_a_target_that_refuses_shows_as_an_end_of_stream(stack: contextlib.ExitStack) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        target = closed.getsockname()
    relay = stack.enter_context(Relay(target))
    with relay.dial(3.0) as sock:
        assert sock.recv(1) == b""


def test_the_target_can_be_moved(stack: contextlib.ExitStack) -> None:
    relay = stack.enter_context(Relay(_target(stack, lambda sock: sock.sendall(b"one"))))
    with relay.dial(3.0) as sock:
        assert _read_all(sock) == b"one"
    relay.target = _target(stack, lambda sock: sock.sendall(b"two"))
    with relay.dial(3.0) as sock:
        assert _read_all(sock) == b"two"
    assert relay.accepted == 2


def test_connections_above_the_limit_wait_for_a_place(stack: contextlib.ExitStack, threads: Callable[[], int]) -> None:
    relay = stack.enter_context(Relay(_target(stack, _echo), max_connections=2))
    first, second, third = (stack.enter_context(relay.dial(0.3)) for _ in range(3))
    for sock in (first, second):
        sock.sendall(b"a")
        assert sock.recv(1) == b"a"
    third.sendall(b"a")
    with pytest.raises(TimeoutError):
        third.recv(1)
    assert threads() <= 1 + 2 * 2
    first.close()
    third.settimeout(3.0)
    assert third.recv(1) == b"a"


def test_stop_ends_open_connections_and_every_thread(
    stack: contextlib.ExitStack, tmp_path: Path, threads: Callable[[], int]
) -> None:
    path = tmp_path / "relay.sock"
    relay = Relay(_target(stack, _echo), listen=path).start()
    with relay.dial(3.0) as sock:
        sock.sendall(b"a")
        assert sock.recv(1) == b"a"
        started = time.monotonic()
        relay.stop()
        assert time.monotonic() - started < 1
        assert sock.recv(1) == b""
    relay.stop()
    assert (threads(), path.exists()) == (0, False)
    with pytest.raises(OSError, match="No such file"):
        connect(path, timeout=1.0)


def test_stop_ends_a_transfer_that_nobody_reads(stack: contextlib.ExitStack, threads: Callable[[], int]) -> None:
    def pour(sock: socket.socket) -> None:
        while True:
            sock.sendall(b"x" * 65536)

    relay = Relay(_target(stack, pour)).start()
    with relay.dial(3.0):
        time.sleep(0.1)
        relay.stop()
    assert threads() == 0


def test_a_relay_starts_once_and_has_an_address_then() -> None:
    relay = Relay(("127.0.0.1", 1))
    with pytest.raises(RuntimeError, match="not started"):
        _ = relay.address
    with relay, pytest.raises(RuntimeError, match="starts once"):
        relay.start()
    with pytest.raises(RuntimeError, match="starts once"):
        relay.start()


def test_a_relay_without_a_place_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Relay(("127.0.0.1", 1), max_connections=0)


def _switch(folder: Path, *, port: int, answers: bytes) -> tuple[GuestPort, socket.socket, threading.Thread]:
    """A virtual machine's unix socket that reads one line for `port` and answers; then it echoes, if it has."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(folder / "guest"))
    listener.listen()

    def serve() -> None:
        sock, _ = listener.accept()
        with sock:
            if sock.recv(64) == b"CONNECT %d\n" % port:
                sock.sendall(answers)
                if answers:
                    _echo(sock)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return GuestPort(path=folder / "guest", port=port), listener, thread


def test_a_port_of_a_virtual_machine_is_reached_through_its_hosts_socket(tmp_path: Path) -> None:
    guest, listener, thread = _switch(tmp_path, port=5001, answers=b"OK 1073741825\nfirst")
    with listener, Relay(guest) as relay, relay.dial(5) as sock:
        _send_all(sock, REQUEST)
        assert _read_all(sock) == b"first" + REQUEST
    thread.join()


def test_a_port_of_a_virtual_machine_that_nobody_listens_on_is_a_refused_connection(tmp_path: Path) -> None:
    guest, listener, thread = _switch(tmp_path, port=5001, answers=b"")
    with listener, pytest.raises(ConnectionRefusedError, match="nobody listens on port 5001"):
        connect(guest, timeout=5)
    thread.join()


def test_a_port_of_a_virtual_machine_cannot_be_listened_on(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="its own to listen on"):
        Relay(("127.0.0.1", 1), listen=GuestPort(path=tmp_path / "guest", port=5001)).start()


def test_a_cut_ends_connections_that_are_just_being_made(
    stack: contextlib.ExitStack, threads: Callable[[], int]
) -> None:
    """Accepted, being connected on or up: the target is deaf, so that nothing but the cut can end them."""
    over = threading.Event()
    stack.callback(sys.setswitchinterval, sys.getswitchinterval())
    sys.setswitchinterval(1e-6)  # threads change places everywhere
    relay = stack.enter_context(Relay(_target(stack, lambda _: over.wait(20) and None)))
    stack.callback(over.set)

    def all_are_cut() -> bool:
        relay.cut()
        return relay.accepted == 500

    for _ in range(500):
        with relay.dial(3.0):
            relay.cut()
    _wait_until(all_are_cut)
    relay.stop()
    assert threads() == 0
