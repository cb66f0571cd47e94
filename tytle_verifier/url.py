"""The URL of an attested request, taken apart once: the grammar that the enclave enforces, checked again here.

`http` or `https`, a lower-case ASCII host name, the scheme's own port or none, a path that starts with a slash, perhaps
a query; no address, user information, fragment, dot segment, `//`, segment that begins with `;` or `%3b`, escaped slash
or control character, nothing outside printable ASCII. Refused, not repaired.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tytle_verifier.errors import StatementError

MAX_URL_CHARACTERS = 8192  # ours, as in the enclave
MAX_HOST_CHARACTERS = 253  # RFC 1035 2.3.4: 255 octets on the wire
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_URL = re.compile(
    rf"(?P<scheme>https?)://(?P<host>{_LABEL}(?:\.{_LABEL})*)(?::(?P<port>[0-9]+))?"
    r"(?P<path>/(?:[!$&-;=@-Z_a-z~]|%[0-9A-Fa-f]{2})*)(?:\?(?:[!$&-;=?@-Z_a-z~]|%[0-9A-Fa-f]{2})+)?"
)
_DEFAULT_PORTS = {"https": (None, "443"), "http": (None, "80")}
_DOT_SEGMENT = re.compile(r"/(?:\.|%2e){1,2}(?:/|;|%3b|$)", re.IGNORECASE)  # servers that know parameters drop ";..."
_MISREAD = re.compile(
    r"%(?:[01][0-9a-f]|7f|2f|5c)|/(?=[/;])|/%3b", re.IGNORECASE
)  # escaped controls and slashes, no name
_ADDRESS = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")  # a last label that inet_aton reads as a number


@dataclass(frozen=True, slots=True, kw_only=True)
class Url:
    """The parts that verification uses; `endpoint` is host + path, without scheme, port and query."""

    scheme: str
    host: str
    endpoint: str


def parse(text: str) -> Url:
    """Take `text` apart. Raises: StatementError."""
    match = _URL.fullmatch(text) if len(text) <= MAX_URL_CHARACTERS else None
    if match is None or match["port"] not in _DEFAULT_PORTS[match["scheme"]] or _ADDRESS.fullmatch(match["host"]):
        raise StatementError("URL outside the grammar", got=text)
    if len(match["host"]) > MAX_HOST_CHARACTERS or _DOT_SEGMENT.search(match["path"]) or _MISREAD.search(match["path"]):
        raise StatementError("URL outside the grammar", got=text)
    return Url(scheme=match["scheme"], host=match["host"], endpoint=match["host"] + match["path"])
