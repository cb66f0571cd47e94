"""One HTTP/1.1 connection of a load generator. It shares the machine with what it measures, so it parses no more than
it must: status, Content-Length, and whether the body says that it is a good one.
"""

import re
import socket

RECEIVE_BYTES = 64 * 1024  # larger buffers are mapped and unmapped by malloc for every call
GOOD_STATUS = b"HTTP/1.1 200 "
GOOD_BODY = b'"success":true'
HEAD_END = b"\r\n\r\n"
_CONTENT_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]+)", re.IGNORECASE)


class Caller:
    """One kept connection. `last` is the last answer that came whole, with its head, behind the request for it."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.since = 0.0
        self.last: tuple[bytes, bytes] | None = None
        self._request = b""
        self._received: list[bytes] = []
        self._missing: int | None = None  # bytes of the answer; not known before its head is here

    def send(self, request: bytes, *, since: float) -> None:
        """Send the request, however long the server takes to read it. Its latency counts from `since`."""
        self._request, self._received, self._missing = request, [], None
        self.since = since
        self.sock.sendall(request)

    def receive(self, good_body: bytes) -> bool | None:
        """Read what has arrived: None while the answer is incomplete, then whether it was a good one."""
        data = self.sock.recv(RECEIVE_BYTES)
        if not data:
            raise ConnectionError("the server closed the connection")
        self._received.append(data)
        self._missing = self._after_head() if self._missing is None else self._missing - len(data)
        if self._missing is None or self._missing > 0:
            return None
        answer = self._received[0] if len(self._received) == 1 else b"".join(self._received)
        self.last = self._request, answer
        return answer.startswith(GOOD_STATUS) and good_body in answer

    def _after_head(self) -> int | None:
        received = b"".join(self._received)
        end = received.find(HEAD_END)
        if end < 0:
            return None
        self._received = [received]
        return end + len(HEAD_END) + _content_length(received[:end]) - len(received)


def http_request(path: str, body: bytes) -> bytes:
    """Return the HTTP request that carries JSON to a server on loopback."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def _content_length(head: bytes) -> int:
    found = _CONTENT_LENGTH.search(head)
    if not found:
        raise ValueError("an answer without Content-Length cannot be measured here")
    return int(found[1])
