"""Connections to an upstream: kept, healed, not shared between credentials, and never a silent second POST."""

import base64
import socket
import ssl
import threading

import pytest

from devstack.upstream import Request, Response
from enclave_worker.upstream import tls
from tests.enclave_kit import Enclave, echo, enclave, statement_of


def attempts(reply: dict) -> int:  # type: ignore[type-arg]
    count: int = statement_of(reply)["exchanges"][0]["attempts"]
    return count


def test_one_connection_serves_many_requests() -> None:
    with enclave() as running:
        replies = [running.fetch(f"/n{index}")["rawBody"] for index in range(20)]
        assert replies == [f"/n{index}" for index in range(20)]
        assert running.upstream.connections == 1


def test_connections_are_not_shared_between_credentials() -> None:
    with enclave() as running:
        for token in ("a", "b", "a", "b"):
            running.fetch(headers={"Authorization": token})
        running.fetch()
        assert running.upstream.connections == 3  # a, b, and none


def test_secret_headers_of_the_manifest_are_credentials_too() -> None:
    with enclave() as running:
        running.fetch(headers={"X-Secret": "a"})
        running.fetch(headers={"X-Secret": "b"})
        running.fetch(headers={"X-Plain": "a", "X-Secret": "b"})
        assert running.upstream.connections == 2


def closing_after(count: int):  # type: ignore[no-untyped-def]
    """A handler whose server closes each connection behind its `count`-th answer, saying so or not."""

    def handler(request: Request) -> Response:
        return Response(status=200, headers=(("Connection", "close"),), body=request.path.encode())

    return handler


def test_an_announced_close_is_obeyed() -> None:
    with enclave(closing_after(1)) as running:
        assert [attempts(running.fetch()) for _ in range(3)] == [1, 1, 1]
        assert running.upstream.connections == 3


class Cutter:
    """A dialler that can cut the connections it made, as a host would."""

    def __init__(self) -> None:
        self.made: list[socket.socket] = []
        self.address: tuple[str, int] = ("", 0)

    def __call__(self, *_: object) -> socket.socket:
        sock = socket.create_connection(self.address, timeout=2)
        self.made.append(sock.dup())
        return sock

    def cut(self) -> None:
        for sock in self.made:
            sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        self.made.clear()

    def close(self) -> None:
        for sock in self.made:
            sock.close()


def test_a_kept_connection_that_was_cut_is_noticed_before_anything_is_sent() -> None:
    cutter = Cutter()
    with enclave(dial=cutter) as running:
        cutter.address = running.upstream.address
        running.fetch()
        cutter.cut()
        reply = running.fetch("/again", method="POST", headers={"Content-Type": "text/plain"}, body="x")
        assert (reply["success"], attempts(reply)) == (True, 1)
    cutter.close()


def drop_second(running_methods: list[str]):  # type: ignore[no-untyped-def]
    """Answers the first request of a connection and hangs up on the second, without a byte."""
    lock = threading.Lock()

    def handler(request: Request) -> Response:
        with lock:
            running_methods.append(request.method)
            if len(running_methods) == 2:
                raise ConnectionResetError
        return echo(request)

    return handler


@pytest.mark.parametrize(("method", "success", "count"), [("GET", True, 2), ("POST", False, 1)])
def test_only_a_safe_method_is_sent_again_and_the_statement_counts_it(method: str, success: bool, count: int) -> None:
    seen: list[str] = []
    body = {"headers": {"Content-Type": "text/plain"}, "body": "pay 5"} if method == "POST" else {}
    with enclave(drop_second(seen)) as running:
        running.fetch()
        reply = running.fetch(method=method, **body)
    assert (reply["success"], attempts(reply)) == (success, count)
    assert seen.count("POST") == (1 if method == "POST" else 0)


def test_a_context_without_roots_cannot_be_built() -> None:
    with pytest.raises((ValueError, ssl.SSLError)):
        tls.client_context("")


def test_the_context_reports_a_cut_stream_and_takes_no_weak_cipher(running: Enclave) -> None:
    context = tls.client_context(running.authority.roots_pem)
    assert not context.options & ssl.OP_IGNORE_UNEXPECTED_EOF
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    for cipher in context.get_ciphers():
        assert cipher["aead"] is True
        assert cipher["protocol"] == "TLSv1.3" or cipher["kea"] == "kx-ecdhe"


@pytest.fixture(scope="module")
def running():  # type: ignore[no-untyped-def]
    with enclave() as ready:
        yield ready


def test_a_name_that_the_certificate_lacks_is_refused() -> None:
    with enclave() as right, enclave() as wrong:
        # the worker trusts its own authority only; the other stack's upstream is signed by another one
        def misled(*_: object) -> socket.socket:
            return socket.create_connection(wrong.upstream.address, timeout=2)

        with enclave(dial=misled) as running:
            reply = running.fetch()
        assert right.fetch()["success"] is True
    failure = statement_of(reply)["exchanges"][0]["failure"]
    assert (failure["kind"], failure["detail"].startswith("certificate: ")) == ("tls", True)


def test_large_bodies_go_both_ways_untouched() -> None:
    body = bytes(range(256)) * 768  # 192 KiB, below what the stand-in takes
    with enclave() as running:
        reply = running.fetch(
            method="POST",
            headers={"Content-Type": "application/octet-stream"},
            body=base64.b64encode(body).decode(),
            bodyEncoding="base64",
        )
    (exchange,) = statement_of(reply)["exchanges"]
    assert exchange["response"]["body"] == exchange["request"]["body"]
    assert base64.b64decode(reply["rawBody"]) == body
