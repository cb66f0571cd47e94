"""One request and its response over HTTP/1.1, without I/O: text out, bytes in, a complete message or an error.

Rules: the final response counts only when its framing says that it is whole; interim (1xx) responses are read and
dropped, at most `MAX_INTERIM` of them; 101 and trailers are refused, since neither was asked for; a body that ends with
the connection counts only when that end was authenticated. A response reader serves one exchange.
"""

import h11

from enclave_worker.upstream import strict
from enclave_worker.upstream.chunks import ChunkGuard
from enclave_worker.upstream.exchange import Framing, UpstreamError
from policy.rules import Allowed

MAX_INTERIM = 8  # honest servers send one 100 or 103; the limit only has to be finite
USER_AGENT = "tytle-enclaves"  # some upstreams refuse requests without one


class ResponseReader:
    """Reads what follows a request on a connection. `complete` turns True when the message is whole.

    `request_bytes` is what to send first; `framing` is known once the final head has been read.
    """

    def __init__(self, allowed: Allowed) -> None:
        self._connection = h11.Connection(our_role=h11.CLIENT, max_incomplete_event_size=strict.MAX_HEAD_BYTES)
        self._method = allowed.method
        self._cap = allowed.rule.max_response_bytes
        self.request_bytes = _serialise(self._connection, allowed)
        self._head = bytearray()
        self._interim = 0
        self._response: h11.Response | None = None
        self.framing: Framing = "none"
        self._body = bytearray()
        self._chunks: ChunkGuard | None = None
        self._excess = False
        self.complete = False

    @property
    def status(self) -> int:
        """Status code of the final response. Only when `complete`."""
        return self._final().status_code

    @property
    def headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """Fields in their order and spelling. Only when `complete`."""
        return tuple((bytes(name), bytes(value)) for name, value in self._final().headers.raw_items())

    @property
    def body(self) -> bytes:
        """Bytes of the body, chunking removed, nothing else touched."""
        return bytes(self._body)

    @property
    def begun(self) -> bool:
        """Whether any byte of a response has arrived."""
        return bool(self._head or self._interim or self._response)

    @property
    def reusable(self) -> bool:
        """Whether the connection may carry another request: both sides agree, and no unasked byte came."""
        done = self._connection.their_state is h11.DONE and self._connection.our_state is h11.DONE
        return self.complete and done and not self._excess and not self._connection.trailing_data[0]

    def feed(self, data: bytes) -> None:
        """Take bytes as they arrived.

        Raises:
            UpstreamError: they cannot be part of an acceptable response.
        """
        if self._response is None:
            data = self._read_heads(data)
        if not data or self._response is None:
            return
        if self.complete:  # without a body, the message was whole with its head
            self._excess = True
            return
        if self._chunks is not None:
            self._chunks.feed(data)
        self._receive(data)
        self._read_body()

    def end(self, *, authenticated: bool) -> None:
        """Take the end of the stream. `authenticated` is True for a TLS close_notify only.

        Raises:
            UpstreamError: the message was not complete.
        """
        if not self.begun:
            raise UpstreamError("truncated", "the connection ended before the response")
        if self._response is None:
            raise UpstreamError("truncated", "the connection ended in the response head")
        if self.framing != "close":
            raise UpstreamError("truncated", "the connection ended in the response body")
        if not authenticated:
            raise UpstreamError("truncated", "the body ends with the connection, and that end is not authenticated")
        self._receive(b"")
        self._read_body()

    def _read_heads(self, data: bytes) -> bytes:
        """Consume heads until the final one; return the bytes behind it."""
        while self._response is None and (data or self._head):
            start = len(self._head)
            self._head += data
            end = self._head.find(strict.HEAD_END, max(0, start - 3))
            if end < 0:
                strict.check_partial(self._head, start)
                return b""
            end += len(strict.HEAD_END)
            head, data = bytes(self._head[:end]), bytes(self._head[end:])
            self._head.clear()
            self._take_head(head)
        if self._response is not None:
            self._read_body()  # a response without body is complete with its head
        return data

    def _take_head(self, head: bytes) -> None:
        strict.check_head(head)
        self._receive(head)
        event = self._next_event()
        if isinstance(event, h11.Response):
            self._response = event
            self.framing = _framing(self._method, event)
            self._check_announced_length(event)
            self._chunks = ChunkGuard(self._cap) if self.framing == "chunked" else None
            return
        if not isinstance(event, h11.InformationalResponse) or event.status_code == 101:
            raise UpstreamError("malformed", "an interim response that was not asked for")
        self._interim += 1
        if self._interim > MAX_INTERIM:
            raise UpstreamError("malformed", f"more than {MAX_INTERIM} interim responses")

    def _read_body(self) -> None:
        while not self.complete:
            event = self._next_event()
            if isinstance(event, h11.Data):
                self._body += event.data
                if len(self._body) > self._cap:
                    raise UpstreamError("too-large", f"the response body exceeds {self._cap} bytes")
            elif isinstance(event, h11.EndOfMessage):
                self.complete = True
            else:
                return

    def _check_announced_length(self, response: h11.Response) -> None:
        if self.framing == "content-length" and int(dict(response.headers)[b"content-length"]) > self._cap:
            raise UpstreamError("too-large", f"the response body exceeds {self._cap} bytes")

    def _final(self) -> h11.Response:
        if self._response is None:
            raise UpstreamError("truncated", "there is no final response yet")
        return self._response

    def _receive(self, data: bytes) -> None:
        try:
            self._connection.receive_data(data)
        except (h11.RemoteProtocolError, RuntimeError) as exc:
            raise UpstreamError("malformed", "bytes after the end of the stream") from exc

    def _next_event(self) -> object:
        try:
            return self._connection.next_event()
        except h11.RemoteProtocolError as exc:
            raise UpstreamError("malformed", "the response breaks the grammar of HTTP/1.1") from exc


def _framing(method: str, response: h11.Response) -> Framing:
    """Return what delimits the body, in the order of RFC 9112, 6.3."""
    names = {bytes(name) for name, _ in response.headers}
    if method == "HEAD" or response.status_code in (204, 304):
        return "none"
    if b"transfer-encoding" in names:
        return "chunked"
    return "content-length" if b"content-length" in names else "close"


def _serialise(connection: h11.Connection, allowed: Allowed) -> bytes:
    """Return the request as it goes on the wire. Everything in it has passed `policy/`; h11 checks it again."""
    headers = [("Host", allowed.upstream.host), *((header.name, header.value) for header in allowed.headers)]
    given = {header.name.lower() for header in allowed.headers}
    if "accept-encoding" not in given:
        headers.append(("Accept-Encoding", "identity"))
    if "user-agent" not in given:
        headers.append(("User-Agent", USER_AGENT))
    if allowed.body or allowed.method in ("POST", "PUT", "PATCH"):
        headers.append(("Content-Length", str(len(allowed.body))))
    request = h11.Request(method=allowed.method, target=allowed.url.target, headers=headers)
    data = connection.send(request) or b""
    if allowed.body:
        data += connection.send(h11.Data(data=allowed.body)) or b""
    return data + (connection.send(h11.EndOfMessage()) or b"")
