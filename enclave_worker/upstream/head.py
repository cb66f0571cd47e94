"""One response head, from the status line to the empty line (RFC 9112, 2.1, 4 and 5), read into values.

Rule: a head has one reading or none. Lenient readers take bare LF line ends (2.2), folded fields (5.2), control
characters in values, Content-Length twice or as a list, and Content-Length beside Transfer-Encoding (6.3, 11.2). Each
is a way for two readers to see two messages; an attested answer must have one. A status is one of 100 to 599 (RFC 9110,
15), as every verifier of a statement demands. One thing is forgiven: a status line without the blank before its missing
reason phrase.
"""

import re
from dataclasses import dataclass

from enclave_worker.upstream.exchange import UpstreamError

MAX_HEAD_BYTES = 64 * 1024  # nginx and Apache send at most 8 KiB per line; 64 KiB is beyond any honest head
MAX_FIELDS = 200
HEAD_END = b"\r\n\r\n"

_TEXT = rb"[\t\x20-\x7e\x80-\xff]*"  # RFC 9110 5.5 and RFC 9112 4: HTAB, SP, VCHAR and obs-text
_STATUS_LINE = rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: " + _TEXT + rb")?\r\n"
_FIELD_LINE = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:" + _TEXT + rb"\r\n"  # a token, RFC 9110 5.6.2
_HEAD = re.compile(_STATUS_LINE + rb"(?:" + _FIELD_LINE + rb")*\r\n")  # no byte can go two ways: linear in time

# Why a head does not match, in this order.
_BARE_LINE_END = re.compile(rb"(?<!\r)\n|\r(?=[^\n])")
_FAULTS = (
    (re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"), "a control character in the response head"),
    (re.compile(rb"\AHTTP/1\.[01] [06-9][0-9]{2}(?![0-9])"), "a status that is not 100 to 599"),
    (re.compile(rb"\A(?!" + _STATUS_LINE + rb")"), "the status line is not that of HTTP/1.0 or HTTP/1.1"),
    (re.compile(rb"\n[ \t]"), "a folded header field"),
)
_DIGITS = re.compile(rb"[0-9]+")
_MAX_LENGTH_DIGITS = 15  # a petabyte: far beyond any cap, and safely an int for everybody


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """`fields` in their order and spelling. `length` is the Content-Length in bytes, None where there is none.

    `chunked` says that the body is, `persistent` that the server keeps the connection (RFC 9112, 9.3).
    """

    status: int
    fields: tuple[tuple[bytes, bytes], ...]
    length: int | None
    chunked: bool
    persistent: bool


def check_partial(head: bytearray, start: int) -> None:
    """Refuse an unfinished head as soon as it cannot become a good one. `start` is where new bytes begin.

    Raises:
        UpstreamError: too large, or a CR or LF that is not part of a CRLF.
    """
    if len(head) > MAX_HEAD_BYTES:
        raise UpstreamError("too-large", f"the response head exceeds {MAX_HEAD_BYTES} bytes")
    if _BARE_LINE_END.search(head, max(0, start - 1)):
        raise UpstreamError("malformed", "a CR or LF of the response head stands alone")


def parse(head: bytes) -> Head:
    """Read a whole head, its CRLFCRLF included.

    Raises:
        UpstreamError: "malformed", or "too-large" for a head or a length that no acceptable response has.
    """
    if len(head) > MAX_HEAD_BYTES:
        raise UpstreamError("too-large", f"the response head exceeds {MAX_HEAD_BYTES} bytes")
    _, *lines = head[: -len(HEAD_END)].split(b"\r\n")
    if len(lines) > MAX_FIELDS:
        raise UpstreamError("too-large", f"the response has more than {MAX_FIELDS} header fields")
    matched = _HEAD.fullmatch(head)
    if matched is None:
        raise _fault(head)
    pairs = [line.split(b":", 1) for line in lines]
    fields = tuple([(name, value.strip(b" \t")) for name, value in pairs])
    framing: dict[bytes, list[bytes]] = {b"content-length": [], b"transfer-encoding": [], b"connection": []}
    for name, value in fields:
        if (key := name.lower()) in framing:
            framing[key].append(value)
    modern = matched[1] == b"1"
    codings = framing[b"transfer-encoding"]
    return Head(
        status=int(matched[2]),
        fields=fields,
        length=_length(framing[b"content-length"], codings),
        chunked=_is_chunked(codings, modern=modern),
        persistent=modern and not _says_close(framing[b"connection"]),
    )


def _length(lengths: list[bytes], codings: list[bytes]) -> int | None:
    if not lengths:
        return None
    if codings:
        raise UpstreamError("malformed", "Content-Length beside Transfer-Encoding")
    if len(lengths) > 1 or not _DIGITS.fullmatch(lengths[0]):
        raise UpstreamError("malformed", "Content-Length is not one plain number")
    if len(lengths[0]) > _MAX_LENGTH_DIGITS:
        raise UpstreamError("too-large", f"Content-Length has more than {_MAX_LENGTH_DIGITS} digits")
    return int(lengths[0])


def _is_chunked(codings: list[bytes], *, modern: bool) -> bool:
    if not codings:
        return False
    if [coding.lower() for coding in codings] != [b"chunked"]:
        raise UpstreamError("malformed", "Transfer-Encoding is not exactly chunked")
    if not modern:
        raise UpstreamError("malformed", "Transfer-Encoding in an HTTP/1.0 response")
    return True


def _says_close(options: list[bytes]) -> bool:
    return any(option.strip(b" \t").lower() == b"close" for value in options for option in value.split(b","))


def _fault(head: bytes) -> UpstreamError:
    if _BARE_LINE_END.search(head):
        return UpstreamError("malformed", "a CR or LF of the response head stands alone")
    for pattern, problem in _FAULTS:
        if pattern.search(head):
            return UpstreamError("malformed", problem)
    return UpstreamError("malformed", "the response breaks the grammar of HTTP/1.1")
