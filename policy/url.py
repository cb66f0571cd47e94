"""The one URL grammar: a subset of RFC 3986 that every reader understands alike.

    url   = ("https" / "http") "://" host [":" default-port] path ["?" query]
    host  = lower-case LDH labels (RFC 1123 2.1), the last one not numeric, so that no spelling of an address fits
    path  = 1*("/" segment)      no "." or ".." raw or encoded, no empty segment but the last, no encoded
                                 slash, backslash or control character
    query = 1*( pchar / "/" / "?" )

Refused, not repaired: whatever URL parsers disagree on (userinfo, backslashes, fragments, upper case, "%" in the
host, ...) has no reading here at all. Percent-encoding is checked for its form and never decoded: `%2541` and
`%252e` are data. NOT checked here: whether the host exists or may be contacted (`rules.py`).
"""

import re
import string
from dataclasses import dataclass

from policy.errors import UrlRefused

MAX_URL_BYTES = 8192  # RFC 9110 4.1 asks for at least 8000 octets
MAX_HOST_BYTES = 253  # RFC 1035 2.3.4: 255 octets on the wire, 253 as text
MAX_LABEL_BYTES = 63  # RFC 1035 2.3.4
DEFAULT_PORTS = {"https": "443", "http": "80"}  # RFC 9110 4.2.1, 4.2.2

UNRESERVED = frozenset(string.ascii_letters + string.digits + "-._~")  # RFC 3986 2.3
_GENERAL_DELIMITERS = frozenset(":/?[]@")  # RFC 3986 2.2, without "#"
_URL_CHARACTERS = UNRESERVED | _GENERAL_DELIMITERS | frozenset("!$&'()*+,;=%")
_HOST_CHARACTERS = frozenset(string.ascii_letters + string.digits + "-.")
_KIND_OF_CHARACTER = {"\\": "url.backslash", " ": "url.space", "#": "url.fragment", "\x7f": "url.control"}

_ALIEN = re.compile(f"[^{re.escape(''.join(sorted(_URL_CHARACTERS)))}]")
_AUTHORITY_END = re.compile("[/?]")
_BROKEN_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_FORBIDDEN_ESCAPE = re.compile(r"%(?:[01][0-9A-Fa-f]|7[Ff]|2[Ff]|5[Cc])")  # C0, DEL, "/", "\"
_ESCAPED_DOT = re.compile("%2[Ee]")
_ESCAPED_SEMICOLON = re.compile("%3[Bb]")
_SUSPECT_SEGMENT = re.compile("//|/\\.|%2[Ee]|%3[Bb]|;")  # without one of these, no segment needs a look
_HEXADECIMAL_LABEL = re.compile("0x[0-9a-f]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Url:
    """A URL that `parse` has read; `parse(url.text) == url`. Not checked again when built by hand."""

    scheme: str
    host: str
    path: str
    query: str | None
    port_given: bool = False  # whether the text names the default port; no other port has a spelling

    @property
    def text(self) -> str:
        """The URL exactly as it was given to `parse`."""
        port = f":{DEFAULT_PORTS[self.scheme]}" if self.port_given else ""
        return f"{self.scheme}://{self.host}{port}{self.target}"

    @property
    def target(self) -> str:
        """The request target in origin form (RFC 9112 3.2.1): path and query."""
        return self.path if self.query is None else f"{self.path}?{self.query}"

    @property
    def endpoint(self) -> str:
        """Host and path, without the query: the predecessor's `apiEndpoint`."""
        return self.host + self.path


def parse(text: object) -> Url:
    """Read a URL; `.text` of the result is `text`, character for character.

    Raises:
        UrlRefused: anything else than a text of the grammar above, of at most `MAX_URL_BYTES`.
    """
    checked = _check_characters(text)
    scheme, rest = _split_scheme(checked)
    authority = _AUTHORITY_END.split(rest, maxsplit=1)[0]
    host, port_given = _read_authority(authority, scheme)
    path, query = _read_target(rest[len(authority) :])
    return Url(scheme=scheme, host=host, path=path, query=query, port_given=port_given)


def check_host(host: str) -> str:
    """Return `host` if it is a lower-case LDH name that cannot be read as an address.

    NOT checked: that the name exists, or that a label beginning with xn-- decodes.

    Raises:
        UrlRefused: anything else, with the reason.
    """
    if not host:
        raise UrlRefused("url.host-empty", "the URL names no host")
    if not _HOST_CHARACTERS.issuperset(host):
        raise UrlRefused("url.host-character", "the host has a character outside a-z, 0-9, '-' and '.'")
    if host != host.lower():
        raise UrlRefused("url.host-upper", "the host has upper-case letters")
    if host.endswith("."):
        raise UrlRefused("url.host-trailing-dot", "the host ends with a dot")
    if len(host) > MAX_HOST_BYTES:
        raise UrlRefused("url.host-length", f"the host has {len(host)} characters, more than {MAX_HOST_BYTES}")
    _check_labels(host.split("."))
    return host


def _check_labels(labels: list[str]) -> None:
    for label in labels:
        if not 1 <= len(label) <= MAX_LABEL_BYTES or label[0] == "-" or label[-1] == "-":
            raise UrlRefused(
                "url.host-label", f"a part of the host is empty, begins or ends with '-', or exceeds {MAX_LABEL_BYTES}"
            )
    # inet_aton and the WHATWG host parser read "1.2.3.4", "0177.1", "0x7f000001" and "2130706433" as addresses.
    # All have a numeric last part, which no top-level domain has (RFC 3696 2).
    if labels[-1].isdigit() or _HEXADECIMAL_LABEL.fullmatch(labels[-1]):
        raise UrlRefused("url.ip-literal", "the host is a spelling of an IPv4 address")


def _check_characters(text: object) -> str:
    if not isinstance(text, str):
        raise UrlRefused("url.type", f"the URL is of type {type(text).__name__}, expected a text")
    if len(text) > MAX_URL_BYTES:
        raise UrlRefused("url.too-long", f"the URL has {len(text)} characters, more than {MAX_URL_BYTES}")
    if found := _ALIEN.search(text):
        code = f"U+{ord(found[0]):04X}"
        raise UrlRefused(
            _reason_against(found[0]), f"character {found.start()} of the URL is {code}, which is not allowed"
        )
    return text


def _reason_against(character: str) -> str:
    if not character.isascii():
        return "url.non-ascii"
    if character < " ":
        return "url.control"
    return _KIND_OF_CHARACTER.get(character, "url.character")


def _split_scheme(text: str) -> tuple[str, str]:
    for scheme in DEFAULT_PORTS:
        prefix = f"{scheme}://"
        if text.startswith(prefix):
            return scheme, text.removeprefix(prefix)
    raise UrlRefused("url.scheme", "the URL does not begin with https:// or http://, in lower case")


def _read_authority(authority: str, scheme: str) -> tuple[str, bool]:
    if "@" in authority:
        raise UrlRefused("url.userinfo", "the URL has a user or password part before an @")
    if "[" in authority or "]" in authority:
        raise UrlRefused("url.ip-literal", "the host is an IPv6 address in brackets")
    if "%" in authority:
        raise UrlRefused("url.host-percent", "the host has a '%' in it")
    host, colon, port = authority.partition(":")
    check_host(host)
    if colon and port != DEFAULT_PORTS[scheme]:
        raise UrlRefused(
            "url.port", f"the URL names another port than {DEFAULT_PORTS[scheme]}, the default of {scheme}"
        )
    return host, bool(colon)


def _read_target(target: str) -> tuple[str, str | None]:
    if not target.startswith("/"):
        raise UrlRefused("url.path-missing", "no path follows the host")
    if "[" in target or "]" in target:
        raise UrlRefused("url.character", "a bracket in the path or query is not percent-encoded")
    if _BROKEN_PERCENT.search(target):
        raise UrlRefused("url.percent", "a '%' in the path or query is not followed by two hexadecimal digits")
    path, mark, query = target.partition("?")
    if mark and not query:
        raise UrlRefused("url.query-empty", "a '?' is followed by no query")
    _check_path(path)
    return path, query if mark else None


def _check_path(path: str) -> None:
    if _FORBIDDEN_ESCAPE.search(path):
        raise UrlRefused("url.path-escape", "the path has an encoded slash, backslash or control character")
    if not _SUSPECT_SEGMENT.search(path):
        return
    *inner, last = path[1:].split("/")
    for segment in inner:
        _check_segment(segment)
    if last:  # "/a/" ends with an empty segment, which is a path of its own and not an alternative spelling
        _check_segment(last)


def _check_segment(segment: str) -> None:
    # Servers that know path parameters drop ";..." before they resolve dots, so "..;x" climbs there.
    name = _ESCAPED_SEMICOLON.sub(";", _ESCAPED_DOT.sub(".", segment)).partition(";")[0]
    if name in {".", ".."}:
        raise UrlRefused("url.dot-segment", "the path has a '.' or '..' segment, raw or encoded")
    if not name:
        raise UrlRefused("url.empty-segment", "the path has an empty segment, which servers merge or keep at will")
