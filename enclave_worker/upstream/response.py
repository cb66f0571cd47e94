"""The response to one request (RFC 9112), without I/O: bytes in, a complete message or an error.

Rules: the final response counts only when its framing says that it is whole; interim (1xx) responses are read and
dropped, at most `MAX_INTERIM` of them; 101 and trailers are refused, since neither was asked for; a body that ends with
the connection counts only when that end was authenticated. A reader serves one exchange.
"""

from enclave_worker.upstream import head
from enclave_worker.upstream.bodies import ChunkedBody, OpenBody, SizedBody, check_size
from enclave_worker.upstream.exchange import Framing, UpstreamError
from enclave_worker.upstream.head import HEAD_END, Head

MAX_INTERIM = 8  # honest servers send one 100 or 103; the limit only has to be finite
NO_BODY_STATUS = (204, 304)


class ResponseReader:
    """Reads what follows a request of `method` on a connection; the body has at most `cap` bytes.

    `begun` turns True with the first byte, `complete` when the message is whole; the rest is known then.
    """

    def __init__(self, method: str, *, cap: int) -> None:
        self._method = method
        self._cap = cap
        self._partial = bytearray()  # of a head
        self._interim = 0
        self._final: Head | None = None
        self._body: SizedBody | ChunkedBody | OpenBody = SizedBody(0)
        self._excess = False
        self.framing: Framing = "none"
        self.begun = False

    @property
    def complete(self) -> bool:
        """Whether the final response is here, with all of its body."""
        return self._final is not None and self._body.complete

    @property
    def status(self) -> int:
        """Status code of the final response."""
        return self._head.status

    @property
    def headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """Fields in their order and spelling."""
        return self._head.fields

    @property
    def body(self) -> bytes:
        """Bytes of the body, chunking removed, nothing else touched."""
        return bytes(self._body.content)

    @property
    def reusable(self) -> bool:
        """Whether the connection may carry another request: both sides agree, and no unasked byte came or may come.

        An answer without a body may announce one (to HEAD, or as a 304, it means something else: RFC 9110, 8.6). A
        server that sends it all the same would have it read as the next answer.
        """
        ended = self.complete and self._head.persistent and self.framing != "close" and not self._excess
        return ended and not (self.framing == "none" and (self._head.chunked or bool(self._head.length)))

    def feed(self, data: bytes) -> None:
        """Take at least one byte, in any portions.

        Raises:
            UpstreamError: they cannot be part of an acceptable response.
        """
        self.begun = True
        if self._final is None:
            data = self._read_heads(data)
        if data and self._body.feed(data):
            self._excess = True

    def end(self, *, authenticated: bool) -> None:
        """Take the end of the stream. `authenticated` is True for a TLS close_notify only.

        Raises:
            UpstreamError: the message was not complete.
        """
        if not self.begun:
            raise UpstreamError("truncated", "the connection ended before the response")
        if self._final is None:
            raise UpstreamError("truncated", "the connection ended in the response head")
        if not isinstance(self._body, OpenBody):
            raise UpstreamError("truncated", "the connection ended in the response body")
        if not authenticated:
            raise UpstreamError("truncated", "the body ends with the connection, and that end is not authenticated")
        self._body.end()

    def _read_heads(self, data: bytes) -> bytes:
        """Take heads up to the final one; return the bytes behind it."""
        while self._final is None and data:
            start = len(self._partial)
            self._partial += data
            end = self._partial.find(HEAD_END, max(0, start - len(HEAD_END) + 1))
            if end < 0:
                head.check_partial(self._partial, start)
                return b""
            end += len(HEAD_END)
            whole, data = bytes(self._partial[:end]), bytes(self._partial[end:])
            self._partial.clear()
            self._take(head.parse(whole))
        return data

    def _take(self, read: Head) -> None:
        if read.status >= 200:
            self._final = read
            self.framing, self._body = self._delimited(read)
            return
        if read.status == 101:
            raise UpstreamError("malformed", "an interim response that was not asked for")
        self._interim += 1
        if self._interim > MAX_INTERIM:
            raise UpstreamError("malformed", f"more than {MAX_INTERIM} interim responses")

    def _delimited(self, read: Head) -> tuple[Framing, SizedBody | ChunkedBody | OpenBody]:
        """Return what delimits the body, in the order of RFC 9112, 6.3."""
        if self._method == "HEAD" or read.status in NO_BODY_STATUS:
            return "none", SizedBody(0)
        if read.chunked:
            return "chunked", ChunkedBody(self._cap)
        if read.length is None:
            return "close", OpenBody(self._cap)
        check_size(read.length, self._cap)
        return "content-length", SizedBody(read.length)

    @property
    def _head(self) -> Head:
        if self._final is None:
            raise UpstreamError("truncated", "there is no final response yet")
        return self._final
