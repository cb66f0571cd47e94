"""How a request's head arrives: in gunicorn's poller, however slowly. A thread is taken once the head is whole.

As shipped, each connection takes a thread when it begins, for up to 5 s, and again from the first byte of a head to its
last: some two hundred connections that drip, or say nothing, hold all threads. Here a thread takes what has come and
goes. A TLS handshake arrives in the same way. From its first byte a head, with its handshake, has SILENCE_SECONDS.
"""

import contextlib
import io
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

from gunicorn import http  # type: ignore[import-untyped]
from gunicorn.http import errors  # type: ignore[import-untyped]
from gunicorn.sock import ssl_wrap_socket  # type: ignore[import-untyped]
from gunicorn.workers.gthread import TConn  # type: ignore[import-untyped]

from app.patience import PAUSE_SECONDS, SILENCE_SECONDS, Patient

MAX_HEAD_BYTES = 64 * 1024  # of request line and headers; what drips is kept in memory meanwhile
RECEIVE_BYTES = 8192  # gunicorn's
SEND_BUFFER_BYTES = 256 * 1024  # the kernel doubles it; left to itself it keeps 3 MB for each who does not read
PAUSE_MICROSECONDS = round(PAUSE_SECONDS * 1_000_000)
_LINE, _END = b"\r\n", b"\r\n\r\n"


class Connection(Patient):
    """A caller's plain socket. To set the timeout that it has costs no system call; gunicorn does so all the time."""

    def settimeout(self, value: float | None) -> None:
        """As `socket.settimeout`."""
        if value != self.gettimeout():
            super().settimeout(value)

    def setblocking(self, flag: bool) -> None:  # socket's signature
        """As `socket.setblocking`."""
        self.settimeout(None if flag else 0.0)

    def limit(self, *, seconds: int = 0, microseconds: int = 0) -> None:
        """Make every receive end after this time without a byte."""
        self.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", seconds, microseconds))

    def wait(self, *, microseconds: int) -> bytes:
        """Return what comes within this time, without counting it. Raises BlockingIOError: nothing."""
        self.limit(microseconds=microseconds)
        try:
            return socket.socket.recv(self, RECEIVE_BYTES)
        finally:
            self.limit(seconds=int(SILENCE_SECONDS))


class Caller(TConn):  # type: ignore[misc]
    """One connection. `until` is when the head that has begun must be whole; None between two requests."""

    sock: Any
    until: float | None = None
    ended = False  # whether it is closed already

    def prepare(self, hurried: Callable[[], bool]) -> None:
        """Make its socket one of ours. (gunicorn's `init` finds nothing left to do.) `hurried`: see `Patient`.

        Raises:
            OSError: TLS cannot be begun.
        """
        self.initialized = True
        with contextlib.suppress(OSError):  # it has gone already, which is noticed soon enough
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        if self.cfg.is_ssl:
            self.sock = ssl_wrap_socket(self.sock, self.cfg)
        else:
            with contextlib.suppress(OSError):
                self.sock.setblocking(True)  # a Connection takes it for granted
                self.sock = Connection(fileno=self.sock.detach())
                self.sock.limit(seconds=int(SILENCE_SECONDS))
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 0, PAUSE_MICROSECONDS))
        if isinstance(self.sock, Patient):
            self.sock.hurried = hurried
        self.parser = http.get_parser(self.cfg, self.sock, self.client)

    def arrive(self) -> bool:
        """Take what has come; return whether the head is whole, or cannot become one, so that it can be parsed.

        Raises:
            LimitRequestHeaders: it is too large.
            OSError: the connection or its handshake has failed.
        """
        buffer: io.BytesIO = self.parser.unreader.buf
        while not is_parsable(buffer.getvalue(), self.cfg.limit_request_line):
            try:
                data = self.sock.take(RECEIVE_BYTES)
            except BlockingIOError:
                self.until = self.until or time.monotonic() + SILENCE_SECONDS
                return False
            if not data:
                break  # the parser finds that out, too
            buffer.seek(0, io.SEEK_END)
            buffer.write(data)
        self.until = None
        self.sock.expect()
        return True


def is_parsable(data: bytes, longest_line: int) -> bool:
    """Whether gunicorn's parser would wait for nothing: the head is whole, or already broken.

    Raises:
        LimitRequestHeaders: it is too large.
    """
    start = len(_LINE) if data.startswith(_LINE) else 0  # one empty line may precede it (RFC 9112, 2.2)
    end = data.find(_END, start, MAX_HEAD_BYTES)
    if end >= 0:
        return True
    line = data.find(_LINE, start, start + longest_line + len(_LINE))
    if line == start or (line < 0 and len(data) - start > longest_line + len(_LINE)):
        return True
    if len(data) > MAX_HEAD_BYTES:
        raise errors.LimitRequestHeaders("head")
    return data.count(b"\n") != data.count(_LINE)
