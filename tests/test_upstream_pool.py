"""Idle connections to upstreams: bounded, and none is held for a key that nobody comes back with."""

import socket
from collections.abc import Iterator

import pytest

from enclave_worker.upstream.connection import Connection
from enclave_worker.upstream.exchange import PLAIN
from enclave_worker.upstream.pool import Pool


@pytest.fixture
def sockets() -> Iterator[list[tuple[socket.socket, socket.socket]]]:
    pairs = [socket.socketpair() for _ in range(4)]
    yield pairs
    for pair in pairs:
        for sock in pair:
            sock.close()


def is_closed(far: socket.socket) -> bool:
    far.settimeout(0.2)
    try:
        return far.recv(1) == b""
    except TimeoutError:
        return False


def test_what_has_expired_is_closed_whatever_its_key(sockets: list[tuple[socket.socket, socket.socket]]) -> None:
    pool = Pool(max_idle_seconds=0.0)
    for index, (near, _) in enumerate(sockets[:3]):
        pool.give(("host", b"%d" % index), Connection(near, PLAIN))
    assert pool.take(("host", b"another credential")) is None
    assert [is_closed(far) for _, far in sockets] == [True, True, True, False]


def test_the_oldest_makes_room(sockets: list[tuple[socket.socket, socket.socket]]) -> None:
    pool = Pool(max_idle=2)
    kept = [Connection(near, PLAIN) for near, _ in sockets[:3]]
    for index, connection in enumerate(kept):
        pool.give(("host", b"%d" % index), connection)
    assert [is_closed(far) for _, far in sockets[:3]] == [True, False, False]
    assert pool.take(("host", b"2")) is kept[2]
    pool.close()
