"""Percent-encoding for the URLs and forms that handlers make: everything is escaped but what never needs to be."""

from collections.abc import Iterable
from typing import Final

UNRESERVED: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")  # RFC 3986, 2.3


def encode(text: str) -> str:
    """Return `text` for one path segment or one query key or value: UTF-8, `%XX` but for unreserved characters.

    A text that is `.` or `..` stays as it is, which the URL grammar then refuses.

    Raises:
        UnicodeEncodeError: half a surrogate pair; what came through `wire.jsontext.text` has none.
    """
    return "".join(chr(byte) if byte in UNRESERVED else f"%{byte:02X}" for byte in text.encode())


def form(pairs: Iterable[tuple[str, str]]) -> str:
    """Return `key=value&key=value`: a query, or the body of a form. A blank is `%20`, which both read as one."""
    return "&".join(f"{encode(key)}={encode(value)}" for key, value in pairs)
