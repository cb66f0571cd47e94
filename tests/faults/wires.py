"""What can go wrong with a connection on its way through a relay: pumps that carry some bytes, then do something."""

import contextlib
import functools
import socket
import struct
import time
from collections.abc import Callable, Iterator

from devstack.relay import Pump, Relay, pump, shutdown

CHUNK_BYTES = 16 * 1024
GARBAGE = bytes(range(255, -1, -1)) * 4
FLIP = 0x01
SCRAMBLED = bytes(byte ^ 0x5A for byte in range(256))
Then = Callable[[socket.socket, socket.socket], None]  # what happens to (source, sink) after some bytes


def after(count: int, then: Then) -> Pump:
    """Carry `count` bytes, then do `then`, which sees to the ends of both."""

    def carry(source: socket.socket, sink: socket.socket) -> None:
        left = count
        try:
            while left and (data := source.recv(min(left, CHUNK_BYTES))):
                sink.sendall(data)
                left -= len(data)
            if not left:
                then(source, sink)
                return
        except OSError:
            cut(source, sink)
        else:
            shutdown(sink, socket.SHUT_WR)

    return carry


def cut(source: socket.socket, sink: socket.socket) -> None:
    """End both, without a word."""
    shutdown(source, socket.SHUT_RDWR)
    shutdown(sink, socket.SHUT_RDWR)


def reset(source: socket.socket, sink: socket.socket) -> None:
    """End both with RST, where there is one: what is closed with a linger of nothing, and was not shut for writing."""
    for sock in (source, sink):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        shutdown(sock, socket.SHUT_RD)  # wakes whoever reads here; the peer hears nothing of it


def stall(source: socket.socket, sink: socket.socket) -> None:
    """Take what comes and pass on nothing, until the source ends."""
    with contextlib.suppress(OSError):
        while source.recv(CHUNK_BYTES):
            pass
    cut(source, sink)


def garbage(source: socket.socket, sink: socket.socket) -> None:
    """Pass on bytes that nobody sent."""
    sink.sendall(GARBAGE)
    stall(source, sink)


def scramble(source: socket.socket, sink: socket.socket) -> None:
    """Pass on other bytes, as many."""
    while data := source.recv(CHUNK_BYTES):
        sink.sendall(data.translate(SCRAMBLED))
    shutdown(sink, socket.SHUT_WR)


def half_close(source: socket.socket, sink: socket.socket) -> None:
    """End this direction only."""
    shutdown(sink, socket.SHUT_WR)
    with contextlib.suppress(OSError):
        while source.recv(CHUNK_BYTES):
            pass


def flip(source: socket.socket, sink: socket.socket) -> None:
    """Change one letter of what comes next, and nothing else."""
    data = source.recv(CHUNK_BYTES)
    if not data:
        shutdown(sink, socket.SHUT_WR)
        return
    at = next((index for index, byte in enumerate(data) if chr(byte).isalnum()), 0)
    sink.sendall(data[:at] + bytes([data[at] ^ FLIP]) + data[at + 1 :])
    pump(source, sink)


def drip(source: socket.socket, sink: socket.socket, *, size: int, pause: float) -> None:
    """Carry on in small pieces with pauses between them."""
    while data := source.recv(CHUNK_BYTES):
        for start in range(0, len(data), size):
            sink.sendall(data[start : start + size])
            time.sleep(pause)
    shutdown(sink, socket.SHUT_WR)


def late(source: socket.socket, sink: socket.socket, *, seconds: float) -> None:
    """Carry on after a while."""
    time.sleep(seconds)
    pump(source, sink)


SLOW_DRIP: Then = functools.partial(drip, size=16, pause=0.05)
QUICK_DRIP: Then = functools.partial(drip, size=512, pause=0.005)
LITTLE_LATE: Then = functools.partial(late, seconds=0.8)


class Tap:
    """A pump that carries everything, and can put bytes behind it."""

    def __init__(self) -> None:
        self._sinks: set[socket.socket] = set()

    def __call__(self, source: socket.socket, sink: socket.socket) -> None:
        """Carry what comes."""
        self._sinks.add(sink)
        try:
            pump(source, sink)
        finally:
            self._sinks.discard(sink)

    def send(self, data: bytes) -> None:
        """Send to every sink."""
        for sink in list(self._sinks):
            with contextlib.suppress(OSError):
                sink.sendall(data)


@contextlib.contextmanager
def troubled(relay: Relay, *, up: Pump | None = None, down: Pump | None = None) -> Iterator[None]:
    """Every connection goes so, from now on: those that are open end, and so do those that were made meanwhile."""
    right = relay.up, relay.down
    relay.up, relay.down = up or relay.up, down or relay.down
    relay.cut()
    yield
    relay.up, relay.down = right
    relay.cut()
