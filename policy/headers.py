"""Method and header grammar: RFC 9110 sections 5.1, 5.5, 8.3 and 9.1, without what was left in for old software.

What passes here can be written on an HTTP/1.1 request line or header line and be read back as exactly one of
those. Names keep the caller's case, because they are attested as given; they are compared without case.
"""

import re
import string
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice

from policy.errors import HeaderRefused, MethodRefused

MAX_METHOD_BYTES = 32  # the longest registered method, UPDATEREDIRECTREF, has 17 (IANA HTTP Method Registry)
MAX_HEADERS = 64  # common servers allow 100 (Apache httpd LimitRequestFields); the enclave adds a few of its own
MAX_HEADER_BYTES = 16 * 1024  # names, values and their ": " CRLF together; Node.js refuses more than 16 KiB

TOKEN_CHARACTERS = frozenset(string.ascii_letters + string.digits + "!#$%&'*+-.^_`|~")  # RFC 9110 5.6.2
_METHOD_CHARACTERS = TOKEN_CHARACTERS - frozenset(string.ascii_lowercase)
_ALIEN_IN_VALUE = re.compile(r"[^\t\x20-\x7e]")  # RFC 9110 5.5, without obs-text
_MEDIA_TYPE = re.compile(
    r"""([!#$%&'*+.^_`|~0-9A-Za-z-]+/[!#$%&'*+.^_`|~0-9A-Za-z-]+)(?:[ \t]*;[ \t]*charset=(?:utf-8|"utf-8"))?""",
    re.ASCII | re.IGNORECASE,
)

# CONNECT and TRACE: a tunnel, and an echo of the secret headers. PRI begins HTTP/2 (RFC 9113 11.6).
FORBIDDEN_METHODS = frozenset({"CONNECT", "TRACE", "PRI"})

# Routing and framing belong to the enclave (RFC 9110 7.2, 7.6.1, 8.6, 10.1.1; RFC 9112 6.1; RFC 7540 3.2.1).
# Proxy-* is refused by its prefix: it is meant for the next hop, which here is never the upstream.
FORBIDDEN_HEADERS = frozenset(
    {
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "te",
        "trailer",
        "upgrade",
        "expect",
        "keep-alive",
        "http2-settings",
    }
)
FORBIDDEN_PREFIX = "proxy-"

# Values that are credentials: withheld from statements and from the request hash. A manifest can add names with
# `secret_headers`; it cannot take these away.
SECRET_HEADERS = frozenset(
    {
        "authorization",
        "cookie",
        "api-key",
        "apikey",
        "x-api-key",
        "x-auth-token",
        "x-access-token",
        "x-amz-security-token",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """One request header as the caller wrote it."""

    name: str
    value: str = field(repr=False)

    @property
    def key(self) -> str:
        """The name in lower case: what names are compared by."""
        return self.name.lower()


def check_method(text: object) -> str:
    """Return `text` if it is an upper-case RFC 9110 token of at most `MAX_METHOD_BYTES`. Methods are case-sensitive.

    Raises:
        MethodRefused: anything else, and the methods of `FORBIDDEN_METHODS`.
    """
    if not isinstance(text, str):
        raise MethodRefused("method.type", f"the method is of type {type(text).__name__}, expected a text")
    if not 1 <= len(text) <= MAX_METHOD_BYTES or not _METHOD_CHARACTERS.issuperset(text):
        raise MethodRefused(
            "method.grammar", f"the method is not an upper-case token of 1 to {MAX_METHOD_BYTES} characters"
        )
    if text in FORBIDDEN_METHODS:
        raise MethodRefused("method.forbidden", f"the method {text} is never sent")
    return text


def check_headers(pairs: object) -> tuple[Header, ...]:
    """Return the headers, in order and in the caller's case, if every one of them is well formed and occurs once.

    Args:
        pairs: an iterable of (name, value), each a tuple or list of two texts. A mapping is refused: hand over its
            items. At most `MAX_HEADERS` + 1 pairs are read from it.

    Raises:
        HeaderRefused: anything else; the message names a header only when its name is a token.
    """
    read = [_read_pair(index, pair) for index, pair in enumerate(_read_pairs(pairs))]
    _check_size(read)  # before the characters, so that an oversized value costs nothing to refuse
    headers = tuple(Header(name=check_name(name), value=_check_value(name, value)) for name, value in read)
    _check_unique(headers)
    return headers


def check_name(name: str) -> str:
    """Return `name` if it is a token and not a header that only the enclave may write.

    Raises:
        HeaderRefused: anything else.
    """
    if not name or not TOKEN_CHARACTERS.issuperset(name):
        raise HeaderRefused("header.name", "a header name is empty or not a token")
    key = name.lower()
    if key in FORBIDDEN_HEADERS or key.startswith(FORBIDDEN_PREFIX):
        raise HeaderRefused("header.forbidden", f"the header {_shown(name)} may not be set by a caller")
    return name


def is_secret(name: str, extra: frozenset[str] = frozenset()) -> bool:
    """Whether the header's value is a credential. `extra`: lower-case names from the manifest."""
    key = name.lower()
    return key in SECRET_HEADERS or key in extra


def media_type(value: str) -> str:
    """Return `type/subtype` in lower case from a Content-Type value.

    Only `charset=utf-8` is accepted as a parameter: any other changes what the body means, and a rule says nothing
    about it. NOT checked: that the body is UTF-8.

    Raises:
        HeaderRefused: another parameter, or no media type at all.
    """
    found = _MEDIA_TYPE.fullmatch(value)
    if found is None:
        raise HeaderRefused(
            "media-type.malformed", "Content-Type is not type/subtype with charset=utf-8 or no parameter"
        )
    return found[1].lower()


def _read_pairs(pairs: object) -> tuple[object, ...]:
    if not isinstance(pairs, Iterable) or isinstance(pairs, str | bytes | bytearray | Mapping):
        raise HeaderRefused("header.type", f"headers are of type {type(pairs).__name__}, expected pairs of texts")
    read = tuple(islice(pairs, MAX_HEADERS + 1))
    if len(read) > MAX_HEADERS:
        raise HeaderRefused("header.too-many", f"more than {MAX_HEADERS} headers")
    return read


def _read_pair(index: int, pair: object) -> tuple[str, str]:
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise HeaderRefused("header.type", f"header {index} is not a pair of texts")
    name, value = pair
    if not isinstance(name, str) or not isinstance(value, str):
        types = f"({type(name).__name__}, {type(value).__name__})"
        raise HeaderRefused("header.type", f"header {index} is of type {types}, expected a pair of texts")
    return name, value


def _check_size(pairs: list[tuple[str, str]]) -> None:
    size = sum(len(name) + len(value) + len(": \r\n") for name, value in pairs)
    if size > MAX_HEADER_BYTES:
        raise HeaderRefused("header.too-large", f"the headers take {size} bytes, more than {MAX_HEADER_BYTES}")


def _check_value(name: str, value: str) -> str:
    if found := _ALIEN_IN_VALUE.search(value):
        raise HeaderRefused("header.value", f"the value of {_shown(name)} has U+{ord(found[0]):04X} in it")
    if value != value.strip(" \t"):
        raise HeaderRefused("header.value", f"the value of {_shown(name)} begins or ends with a blank")
    return value


def _check_unique(headers: tuple[Header, ...]) -> None:
    seen: set[str] = set()
    for header in headers:
        if header.key in seen:
            raise HeaderRefused("header.duplicate", f"the header {_shown(header.name)} occurs twice")
        seen.add(header.key)


def _shown(name: str) -> str:
    return name if len(name) <= 64 else f"{name[:64]}..."
