"""What h11 forgives and we refuse, checked on the raw bytes of a response head before h11 sees them.

h11 0.16 accepts bare LF line ends, folded fields, control characters in values, Content-Length written twice or as a
list, and Content-Length beside Transfer-Encoding. Each is a way for two readers to see two messages (RFC 9112, 2.2,
5.2, 6.3 and 11.2); an attested answer must have one reading only.
"""

import re

from enclave_worker.upstream.exchange import UpstreamError

MAX_HEAD_BYTES = 64 * 1024  # nginx and Apache send at most 8 KiB per line; 64 KiB is beyond any honest head
MAX_FIELDS = 200
HEAD_END = b"\r\n\r\n"

_BARE_LINE_END = re.compile(rb"(?<!\r)\n|\r(?=[^\n])")
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] [1-9][0-9]{2}(?: [\t\x20-\x7e\x80-\xff]*)?")
_DIGITS = re.compile(rb"[0-9]+")
_MAX_LENGTH_DIGITS = 15  # a petabyte: far beyond any cap, and safely an int for everybody


def check_partial(head: bytes | bytearray, start: int) -> None:
    """Refuse an unfinished head as soon as it cannot become a good one. `start` is where new bytes begin.

    Raises:
        UpstreamError: too large, or a CR or LF that is not part of a CRLF.
    """
    if len(head) > MAX_HEAD_BYTES:
        raise UpstreamError("too-large", f"the response head exceeds {MAX_HEAD_BYTES} bytes")
    if _BARE_LINE_END.search(head, max(0, start - 1)):
        raise UpstreamError("malformed", "a CR or LF of the response head stands alone")


def check_head(head: bytes) -> None:
    """Refuse a whole head, CRLFCRLF included, that h11 would take but that has more than one reading.

    Raises:
        UpstreamError: see this module.
    """
    check_partial(head, 0)
    if _CONTROL.search(head):
        raise UpstreamError("malformed", "a control character in the response head")
    status_line, *lines = head[: -len(HEAD_END)].split(b"\r\n")
    if not _STATUS_LINE.fullmatch(status_line):
        raise UpstreamError("malformed", "the status line is not that of HTTP/1.0 or HTTP/1.1")
    if len(lines) > MAX_FIELDS:
        raise UpstreamError("too-large", f"the response has more than {MAX_FIELDS} header fields")
    if any(line[:1] in (b" ", b"\t") for line in lines):
        raise UpstreamError("malformed", "a folded header field")
    _check_framing(status_line, lines)


def _check_framing(status_line: bytes, lines: list[bytes]) -> None:
    lengths = _values(lines, b"content-length")
    codings = _values(lines, b"transfer-encoding")
    if lengths and codings:
        raise UpstreamError("malformed", "Content-Length beside Transfer-Encoding")
    if len(lengths) > 1 or any(not _DIGITS.fullmatch(value) for value in lengths):
        raise UpstreamError("malformed", "Content-Length is not one plain number")
    if any(len(value) > _MAX_LENGTH_DIGITS for value in lengths):
        raise UpstreamError("too-large", f"Content-Length has more than {_MAX_LENGTH_DIGITS} digits")
    if [value.lower() for value in codings] not in ([], [b"chunked"]):
        raise UpstreamError("malformed", "Transfer-Encoding is not exactly chunked")
    if codings and status_line.startswith(b"HTTP/1.0"):
        raise UpstreamError("malformed", "Transfer-Encoding in an HTTP/1.0 response")


def _values(lines: list[bytes], name: bytes) -> list[bytes]:
    pairs = (line.partition(b":") for line in lines)
    return [value.strip(b" \t") for field, _, value in pairs if field.strip(b" \t").lower() == name]
