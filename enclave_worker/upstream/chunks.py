"""The lines of a chunked body (RFC 9112, 7.1), watched on the raw bytes beside h11.

h11 0.16 takes a blank behind a chunk size, control characters in chunk extensions, a bare LF for the last empty line,
and sizes that no body can have. This guard refuses them; it yields nothing, the body is h11's. Extensions are legal
and dropped, as the RFC asks; trailer fields were not asked for, so the line behind the last chunk must be empty.
"""

import re

from enclave_worker.upstream.exchange import UpstreamError

MAX_LINE_BYTES = 1024  # a size and its extensions; honest servers send a few bytes
CRLF = b"\r\n"
_LINE = re.compile(rb"([0-9A-Fa-f]+)(?:;[\t\x20-\x7e\x80-\xff]*)?")


class ChunkGuard:
    """Follows a chunked body through its bytes; `cap` is the largest body accepted, in bytes."""

    def __init__(self, cap: int) -> None:
        self._cap = cap
        self._line = bytearray()
        self._skip = 0  # bytes of chunk data still to come, their CRLF not included
        self._expect_crlf = False  # the next line ends chunk data
        self._last = False  # the next line ends the body

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the body.

        Raises:
            UpstreamError: "malformed", or "too-large" for a line or chunk that no acceptable body has.
        """
        position = 0
        while position < len(data):
            if self._skip:
                taken = min(self._skip, len(data) - position)
                self._skip -= taken
                position += taken
                continue
            position = self._take_line(data, position)
            if position < 0:
                return

    def _take_line(self, data: bytes, start: int) -> int:
        """Consume up to the end of a line; return the position behind it, or -1 when nothing more is to be watched."""
        end = data.find(b"\n", start) + 1
        self._line += data[start : end or len(data)]
        if len(self._line) > MAX_LINE_BYTES:
            raise UpstreamError("too-large", f"a chunk's line exceeds {MAX_LINE_BYTES} bytes")
        if not end:
            return len(data)
        line = bytes(self._line)
        self._line.clear()
        if not line.endswith(CRLF):
            raise UpstreamError("malformed", "a line of the chunked body ends in a bare LF")
        return self._judge(line[: -len(CRLF)], end)

    def _judge(self, line: bytes, position: int) -> int:
        if self._last or self._expect_crlf:
            if line:
                what = "trailer fields that were not asked for" if self._last else "a chunk is longer than its size"
                raise UpstreamError("malformed", what)
            self._expect_crlf = False
            return -1 if self._last else position
        found = _LINE.fullmatch(line)
        if found is None:
            raise UpstreamError("malformed", "a chunk's size line breaks the grammar")
        size = int(found[1], 16)
        if size > self._cap:
            raise UpstreamError("too-large", f"the response body exceeds {self._cap} bytes")
        self._skip, self._expect_crlf, self._last = size, size > 0, size == 0
        return position
