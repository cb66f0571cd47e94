"""One connection of a load generator, to an HTTP/1.1 server or to a worker.

It shares the machine with what it measures, so it parses no more than it must: status, Content-Length or frames, and
whether the body says that it is a good one.
"""

import re
import socket

from wire import frames

RECEIVE_BYTES = 64 * 1024  # larger buffers are mapped and unmapped by malloc for every call
GOOD_STATUS = b"HTTP/1.1 200 "
GOOD_BODY = b'"success":true'
HEAD_END = b"\r\n\r\n"
TOKEN = "tytle_benchmarks"  # noqa: S105  of a parent that lives for a benchmark; see bench/parent.py
AUTHORIZATION = {"Authorization": f"Bearer {TOKEN}"}  # the peers are sent it too, and do not look
_CONTENT_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,15})\r\n", re.IGNORECASE)


class Answer:
    """Puts one answer of HTTP together from what arrives. Knows Content-Length, and no other way to end one."""

    def __init__(self) -> None:
        self._received: list[bytes] = []
        self._missing: int | None = None  # bytes; not known before the head is here

    def feed(self, data: bytes) -> bytes | None:
        """Add what arrived; return the whole answer, head and body, once nothing is missing.

        Raises:
            ValueError: it does not say how long it is, or is longer than it says.
        """
        self._received.append(data)
        self._missing = self._after_head() if self._missing is None else self._missing - len(data)
        if self._missing is None or self._missing > 0:
            return None
        if self._missing < 0:
            raise ValueError("more came than one answer")
        return self._received[0] if len(self._received) == 1 else b"".join(self._received)

    def _after_head(self) -> int | None:
        received = b"".join(self._received)
        end = received.find(HEAD_END)
        if end < 0:
            return None
        self._received = [received]
        found = _CONTENT_LENGTH.search(received, 0, end + 2)
        if not found:
            raise ValueError("an answer without Content-Length cannot be measured here")
        return end + len(HEAD_END) + int(found[1]) - len(received)


class Frames:
    """Puts one answer of a worker together that was asked for its report: the report, and the reply behind it."""

    def __init__(self) -> None:
        self._decoder = frames.Decoder()
        self._report: bytes | None = None

    def feed(self, data: bytes) -> bytes | None:
        """Add what arrived; return the reply once it is whole. Raises: FrameError."""
        self._decoder.feed(data)
        if self._report is None:
            self._report = self._decoder.next()
        return None if self._report is None else self._decoder.next()


class Caller:
    """One kept connection. `last` is the last answer that came whole, with its head, behind the request for it.

    `place` is a port on loopback, where HTTP is spoken, or the path of a worker's socket.
    """

    def __init__(self, place: int | str) -> None:
        http = isinstance(place, int)
        self._new_answer: type[Answer | Frames] = Answer if http else Frames
        self._good_start = GOOD_STATUS if http else b"{"
        self.sock = _connect(place)
        self.since = 0.0
        self.last: tuple[bytes, bytes] | None = None
        self._request = b""
        self._answer: Answer | Frames = self._new_answer()

    def send(self, request: bytes, *, since: float) -> None:
        """Send the request, however long the server takes to read it. Its latency counts from `since`."""
        self._request, self._answer = request, self._new_answer()
        self.since = since
        self.sock.sendall(request)

    def receive(self, good_body: bytes) -> bool | None:
        """Read what has arrived: None while the answer is incomplete, then whether it was a good one."""
        data = self.sock.recv(RECEIVE_BYTES)
        if not data:
            raise ConnectionError("the server closed the connection")
        answer = self._answer.feed(data)
        if answer is None:
            return None
        self.last = self._request, answer
        return answer.startswith(self._good_start) and good_body in answer


def _connect(place: int | str) -> socket.socket:
    if isinstance(place, str):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(place)
        return sock
    sock = socket.create_connection(("127.0.0.1", place))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def http_request(path: str, body: bytes) -> bytes:
    """Return the HTTP request that carries JSON to a server on loopback."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in AUTHORIZATION.items())
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
