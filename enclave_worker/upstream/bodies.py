"""The three ways a response body can end (RFC 9112, 6.3): at its length, with its last chunk, with the connection.

Each takes the bytes of the body as they come, in any portions, and gives back those that lie behind its end.
"""

import re

from enclave_worker.upstream.exchange import UpstreamError

MAX_LINE_BYTES = 1024  # a chunk's size and its extensions; honest servers send a few bytes
CRLF = b"\r\n"
# RFC 9112 7.1: 20 digits are beyond 64 bits. Extensions are legal and dropped; a blank before them is not (7.1.1).
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,20})(?:;[\t\x20-\x7e\x80-\xff]*)?")


class SizedBody:
    """A body of exactly `length` bytes; none has length 0."""

    def __init__(self, length: int) -> None:
        self.content = bytearray()
        self._left = length

    @property
    def complete(self) -> bool:
        """Whether the last byte has come."""
        return not self._left

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes; return those behind the end."""
        taken = data[: self._left]
        self.content += taken
        self._left -= len(taken)
        return data[len(taken) :]


class OpenBody:
    """A body that ends with the connection, of at most `cap` bytes; who feeds it says whether that end is believed."""

    def __init__(self, cap: int) -> None:
        self.content = bytearray()
        self.complete = False
        self._cap = cap

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes; there are none behind the end. Raises UpstreamError: "too-large"."""
        self.content += data
        check_size(len(self.content), self._cap)
        return b""

    def end(self) -> None:
        """Take the end of the connection."""
        self.complete = True


class ChunkedBody:
    """A chunked body (RFC 9112, 7.1) of at most `cap` bytes. Trailer fields were not asked for, and are refused."""

    def __init__(self, cap: int) -> None:
        self.content = bytearray()
        self.complete = False
        self._cap = cap
        self._line = b""  # the beginning of a line whose end has not come
        self._left = 0  # bytes of the chunk that are still to come, their CRLF not included
        self._behind_data = False  # the next line is the end of a chunk
        self._last = False  # the next line is the end of the body

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes; return those behind the end.

        Raises:
            UpstreamError: "malformed", or "too-large" for a line, chunk or body above its cap.
        """
        position = 0
        while position < len(data) and not self.complete:
            if self._left:
                taken = data[position : position + self._left]
                self.content += taken
                self._left -= len(taken)
                position += len(taken)
            else:
                position = self._take_line(data, position)
        return data[position:]

    def _take_line(self, data: bytes, start: int) -> int:
        """Take up to the end of a line; return the position behind it."""
        end = data.find(b"\n", start, start + MAX_LINE_BYTES) + 1 or min(len(data), start + MAX_LINE_BYTES + 1)
        line = self._line + data[start:end]
        if len(line) > MAX_LINE_BYTES:
            raise UpstreamError("too-large", f"a chunk's line exceeds {MAX_LINE_BYTES} bytes")
        if not line.endswith(b"\n"):
            self._line = line
            return end
        if not line.endswith(CRLF):
            raise UpstreamError("malformed", "a line of the chunked body ends in a bare LF")
        self._line = b""
        self._judge(line[: -len(CRLF)])
        return end

    def _judge(self, line: bytes) -> None:
        if self._behind_data or self._last:
            if line:
                what = "trailer fields that were not asked for" if self._last else "a chunk is longer than its size"
                raise UpstreamError("malformed", what)
            self._behind_data, self.complete = False, self._last
            return
        found = _SIZE_LINE.fullmatch(line)
        if found is None:
            raise UpstreamError("malformed", "a chunk's size line breaks the grammar")
        self._left = int(found[1], 16)
        check_size(len(self.content) + self._left, self._cap)
        self._behind_data, self._last = self._left > 0, self._left == 0


def check_size(size: int, cap: int) -> None:
    """Check the size of a body, as far as it is known, in bytes. Raises UpstreamError: "too-large"."""
    if size > cap:
        raise UpstreamError("too-large", f"the response body exceeds {cap} bytes")
