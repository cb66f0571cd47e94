"""What an upstream says unasked on an idle connection is no answer to what is asked next, whatever a host does with it.

Real TLS, an honest upstream that gives up its idle connection with a 408 (RFC 9110, 15.5.9), and a relay that holds
those records back until the enclave uses the connection again, drops that request, and lets them go: TLS does not order
the two directions, so that nothing but the status tells.
"""

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from devstack.tls_pki import Authority
from tests.enclave_kit import HOST, Enclave, enclave, statement_of
from tests.hostile.case import sized

ANSWER = sized(body=b"ok")
GIVEN_UP = sized(b"Connection: close", status=b"HTTP/1.1 408 Request Timeout\r\n", body=b"")
KEEPS_QUIET_ABOUT_IT = sized(status=b"HTTP/1.1 408 Request Timeout\r\n", body=b"")
PATIENCE_S = 5.0
BODY: dict[str, Any] = {"headers": {"Content-Type": "text/plain"}, "body": "pay 5"}


class Tiring:
    """An upstream that answers one request on each connection, and says `last` there when it is `tired`."""

    def __init__(self, last: bytes) -> None:
        self.tired = threading.Event()
        self.seen: list[bytes] = []
        self.context: ssl.SSLContext | None = None
        self._last = last

    def serve(self, sock: socket.socket) -> None:
        assert self.context is not None
        with contextlib.suppress(OSError), self.context.wrap_socket(sock, server_side=True) as tls:
            self.seen.append(tls.recv(65536).partition(b" ")[0])
            tls.sendall(ANSWER)
            assert self.tired.wait(PATIENCE_S)
            tls.sendall(self._last)
            tls.unwrap()


class HoldingRelay:
    """A dialler: bytes pass, but while it is `holding` those from the upstream wait until the enclave sends some.

    These are dropped, and what waited goes on its way. `held` says that something waits.
    """

    def __init__(self, upstream: Tiring) -> None:
        self.holding, self.held = threading.Event(), threading.Event()
        self._upstream = upstream
        self._waiting: list[bytes] = []
        self._stack = contextlib.ExitStack()

    def __call__(self, *_: object) -> socket.socket:
        enclave_side, near = socket.socketpair()
        far, upstream_side = socket.socketpair()
        for sock in (near, far):
            sock.settimeout(PATIENCE_S)
            self._stack.enter_context(sock)
        upstream_side.settimeout(PATIENCE_S)
        for work in (
            lambda: self._upstream.serve(upstream_side),
            lambda: self._down(far, near),
            lambda: self._up(near, far),
        ):
            thread = threading.Thread(target=work)
            thread.start()
            self._stack.callback(thread.join)
        for sock in (near, far):
            self._stack.callback(_end, sock)
        return enclave_side

    def _down(self, far: socket.socket, near: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := far.recv(65536):
                if self.holding.is_set():
                    self._waiting.append(data)
                    self.held.set()
                else:
                    near.sendall(data)

    def _up(self, near: socket.socket, far: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := near.recv(65536):
                if self.holding.is_set():
                    self.holding.clear()
                    near.sendall(b"".join(self._waiting))
                    return
                far.sendall(data)

    def close(self) -> None:
        self._stack.close()


def _end(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def held_back(last: bytes) -> Iterator[tuple[Enclave, Tiring]]:
    """An enclave with a kept connection on which `last` was said and has not come yet."""
    upstream = Tiring(last)
    relay = HoldingRelay(upstream)
    try:
        with enclave(dial=relay) as running:
            upstream.context = _context(running.authority)
            assert running.fetch()["rawBody"] == "ok"
            relay.holding.set()
            upstream.tired.set()
            assert relay.held.wait(PATIENCE_S)
            yield running, upstream
    finally:
        relay.close()


def _context(authority: Authority) -> ssl.SSLContext:
    context: ssl.SSLContext = authority.issue(HOST).context()
    return context


@pytest.mark.parametrize("last", [GIVEN_UP, KEEPS_QUIET_ABOUT_IT])
def test_a_408_from_before_the_request_is_never_the_answer_to_a_post(last: bytes) -> None:
    with held_back(last) as (running, upstream):
        reply = running.fetch(method="POST", **BODY)
        (exchange,) = statement_of(reply)["exchanges"]
    assert (reply["success"], exchange["request"]["method"], exchange["attempts"]) == (False, "POST", 1)
    assert exchange["failure"] == {
        "kind": "truncated",
        "detail": "the upstream had given up the kept connection: it says 408",
    }
    assert upstream.seen == [b"GET"]  # and the statement does not say otherwise


@pytest.mark.parametrize("last", [GIVEN_UP, KEEPS_QUIET_ABOUT_IT])
def test_a_408_from_before_a_request_that_may_be_repeated_costs_a_new_connection(last: bytes) -> None:
    with held_back(last) as (running, upstream):
        reply = running.fetch("/again")
        (exchange,) = statement_of(reply)["exchanges"]
    assert (reply["success"], reply["rawBody"], exchange["attempts"]) == (True, "ok", 2)
    assert upstream.seen == [b"GET", b"GET"]
