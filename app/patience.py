"""A caller's socket whose reads and writes come to an end: after a silence, and after a drip.

Rule: 10 s for a body to come, or for an answer to be taken, and one second more for each 128 KiB of it that has moved.
A packet now and then buys no more time than its bytes are worth. What is not part of a request is not counted.
"""

import math
import socket
import time
from typing import Any

SILENCE_SECONDS = 10.0  # between two packets; and what a head, a handshake, a small body or answer may take in all
BYTES_PER_SECOND = 128 * 1024  # of a larger one, on the whole


class Patient(socket.socket):
    """Below the plain and the TLS socket."""

    _until = math.inf

    def expect(self) -> None:
        """Begin to count: a request's body is what comes next."""
        self._until = time.monotonic() + SILENCE_SECONDS

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """As `socket.recv`. Raises TimeoutError: the body comes too slowly."""
        _check(self._until)
        data = super().recv(buflen, flags)
        self._until += len(data) / BYTES_PER_SECOND
        return data

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        """As `socket.sendall`. Raises TimeoutError: the answer is taken too slowly."""
        sent = self.send(data, flags)
        if sent == len(data):
            return
        until = time.monotonic() + SILENCE_SECONDS + sent / BYTES_PER_SECOND
        rest = memoryview(data)[sent:]
        while rest:
            _check(until)
            sent = self.send(rest, flags)
            until += sent / BYTES_PER_SECOND
            rest = rest[sent:]

    def take(self, size: int) -> bytes:
        """Return what has come, without waiting and without counting; empty at the end of the stream.

        Raises:
            BlockingIOError: nothing has come.
            OSError: the connection has broken.
        """
        return super().recv(size, socket.MSG_DONTWAIT)


def _check(until: float) -> None:
    if time.monotonic() > until:
        raise TimeoutError("too slow")
