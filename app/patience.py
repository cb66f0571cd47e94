"""A caller's socket whose reads and writes come to an end: after a silence, and after a drip.

Rule: 10 s for a body to come, or for an answer to be taken, and one second more for each 128 KiB of it that has moved.
A packet now and then buys no more time than its bytes are worth. What is not part of a request is not counted. While
threads are scarce, an answer has 0.2 s in the place of the 10: whoever reads needs less, and who does not read may be
anybody, for some answers want no token.
"""

import errno
import math
import socket
import sys
import time
from collections.abc import Callable
from fcntl import ioctl
from termios import TIOCOUTQ
from typing import Any

SILENCE_SECONDS = 10.0  # between two packets; and what a head, a handshake, a small body or answer may take in all
HURRIED_SECONDS = 0.2  # the same, of an answer, while threads are scarce
PAUSE_SECONDS = 0.1  # after which a send that waits looks whether that has changed
BYTES_PER_SECOND = 128 * 1024  # of a larger one, on the whole


def _never() -> bool:
    return False


class Patient(socket.socket):
    """Below the plain and the TLS socket. `hurried` says whether threads are scarce. A send waits PAUSE_SECONDS."""

    hurried: Callable[[], bool] = staticmethod(_never)
    _until = math.inf

    def expect(self) -> None:
        """Begin to count: a request's body is what comes next."""
        self._until = time.monotonic() + SILENCE_SECONDS

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """As `socket.recv`. Raises TimeoutError: the body comes too slowly."""
        if time.monotonic() > self._until:
            raise TimeoutError("the request comes too slowly")
        data = super().recv(buflen, flags)
        self._until += len(data) / BYTES_PER_SECOND
        return data

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        """As `socket.sendall`. Raises BrokenPipeError: the answer is taken too slowly."""
        rest = memoryview(data)
        sent = self._send_some(rest, flags)
        if sent == len(rest):
            return
        began = moved = time.monotonic()
        while sent < len(rest):
            more = self._send_some(rest[sent:], flags)
            now = time.monotonic()
            moved = now if more else moved
            sent += more
            patience = HURRIED_SECONDS if self.hurried() else SILENCE_SECONDS
            if now > min(moved + SILENCE_SECONDS, began + patience + sent / BYTES_PER_SECOND):
                raise BrokenPipeError(errno.EPIPE, "the answer is taken too slowly")

    def _send_some(self, data: memoryview, flags: int) -> int:
        try:
            return self.send(data, flags)
        except (BlockingIOError, TimeoutError):
            if self.gettimeout() == 0.0:
                raise
            return 0

    def unsent(self) -> int:
        """Return how many bytes the kernel keeps that the caller has not taken yet. (tcp(7), SIOCOUTQ.)

        Raises:
            OSError: the connection is gone.
        """
        return int.from_bytes(ioctl(self, TIOCOUTQ, bytes(4)), sys.byteorder)

    def take(self, size: int) -> bytes:
        """Return what has come, without waiting and without counting; empty at the end of the stream.

        Raises:
            BlockingIOError: nothing has come.
            OSError: the connection has broken.
        """
        return super().recv(size, socket.MSG_DONTWAIT)
