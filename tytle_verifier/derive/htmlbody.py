"""HTML of an upstream -> a bounded row of tokens (DERIVATIONS.md, S3 and S4).

Python's `html.parser` finds the tags; references are decoded here, once, so that its own notions of them play no part.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html.entities import html5
from html.parser import HTMLParser
from typing import Final

from tytle_verifier.derive.trace import malformed

BLANKS: Final = "\t\n\f\r \u00a0"
MAX_BYTES: Final = 524_288
MAX_CHARACTERS: Final = 131_072
MAX_TOKENS: Final = 8_192
START, END, TEXT = "start", "end", "text"
_RAW = frozenset(
    {
        "iframe",
        "noembed",
        "noframes",
        "noscript",
        "plaintext",
        "script",
        "style",
        "template",
        "textarea",
        "title",
        "xmp",
    }
)
_LAST = "end-of-page"
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f]")
_MEDIA_TYPE = re.compile(r'text/html(?:[ \t]*;[ \t]*charset=(?:utf-8|"utf-8"))?', re.IGNORECASE | re.ASCII)
_REFERENCE = re.compile(r"&(?:#([0-9]{1,7})|#[xX]([0-9a-fA-F]{1,6})|([A-Za-z][A-Za-z0-9]{1,31}));")
_ATTRIBUTE = re.compile(r"[a-z][a-z0-9:_-]*")
_CONTROLS = (0x09, 0x0A, 0x0C, 0x0D)


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A start tag or an end tag of a `name`, or a text, which is then the `name`. `sound`: its attributes are clean."""

    kind: str
    name: str
    pairs: tuple[tuple[str, str], ...] = ()
    sound: bool = True

    def get(self, attribute: str) -> str:
        """Return an attribute's value, the first one's where it stands twice; "" where it is absent or has none."""
        return next((value for name, value in self.pairs if name == attribute), "")

    def has(self, *attributes: str) -> bool:
        """Say whether one of these attributes is there, with or without a value."""
        return any(name in attributes for name, _ in self.pairs)

    def is_input(self, name: str) -> bool:
        """Say whether this is the start tag of the form's field `name`."""
        named = {("name", name), ("id", name.replace("$", "_"))}
        return self.kind == START and self.name == "input" and not named.isdisjoint(self.pairs)


def read(body: bytes, media_types: Sequence[str]) -> tuple[Token, ...]:
    """Return the tokens of a page with these content-type headers. Raises: Unanswered, whatever the bytes."""
    if not all(_MEDIA_TYPE.fullmatch(text) for text in media_types):
        raise malformed("the answer is no HTML in UTF-8")
    if len(body) > MAX_BYTES:
        raise malformed("a page of too many bytes")
    try:
        page = body.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise malformed("the page is not UTF-8") from error
    if len(page) > MAX_CHARACTERS or _FORBIDDEN.search(page) or f"<{_LAST}" in page.lower():
        raise malformed("a page of too many characters, or of characters that no page has")
    reader = _Reader()
    try:
        reader.feed(f"{page.replace('&', '&amp;')}<{_LAST}>")
    except AssertionError as error:  # what html.parser raises for a marked section of no known kind
        raise malformed("a marked section") from error
    if not reader.tokens or reader.tokens[-1] != Token(kind=START, name=_LAST):
        raise malformed("something is open at the end of the page")
    return tuple(reader.tokens[:-1])


def references_decoded(text: str) -> str:
    """Return `text` with its character references decoded, once."""
    return _REFERENCE.sub(_decoded, text)


def _decoded(match: re.Match[str]) -> str:
    decimal, hexadecimal, name = match.groups()
    if name is not None:
        return html5.get(f"{name};", match[0])
    code = int(decimal) if decimal is not None else int(hexadecimal, 16)
    allowed = (
        0x20 <= code <= 0x7E or 0xA0 <= code <= 0xD7FF or 0xE000 <= code <= 0x10FFFF or code in _CONTROLS  # no C0, C1
    )
    return chr(code) if allowed else match[0]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tokens: list[Token] = []
        self._inside: str | None = None  # the element whose content is no token

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._inside is not None:
            return
        pairs = tuple((name, references_decoded(value or "")) for name, value in attrs)
        names = {name for name, _ in pairs}
        sound = len(names) == len(pairs) and all(map(_ATTRIBUTE.fullmatch, names))
        self._add(Token(kind=START, name=tag, pairs=pairs, sound=sound))
        self._inside = tag if tag in _RAW else None

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._inside is None and tag in _RAW:
            raise malformed(f"<{tag}/>")
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if self._inside in (None, tag):
            self._inside = None
            self._add(Token(kind=END, name=tag))

    def handle_data(self, data: str) -> None:
        if self._inside is None:
            self._add(Token(kind=TEXT, name=references_decoded(data)))

    def parse_html_declaration(self, i: int) -> int:
        if self._inside is None and self.rawdata.startswith("<![", i):
            raise malformed("a marked section")
        return super().parse_html_declaration(i)

    def _add(self, token: Token) -> None:
        if len(self.tokens) > MAX_TOKENS or (len(self.tokens) == MAX_TOKENS and token.name != _LAST):
            raise malformed("a page of too many tokens")
        self.tokens.append(token)
