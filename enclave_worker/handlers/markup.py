"""A page of HTML that anybody may have written -> a row of tokens, bounded in number; no tree, no repair.

The tokens are those of the standard library's `html.parser`, which follows "Tokenization" of the HTML standard
(13.2.5). Around it, so that two readers of one page cannot differ over it:

- It is fed once and never closed. What is still open at the end of the page (a tag, a quotation mark, a comment, a
  script) makes the page malformed; the parser's own repair at the end would also take time by the square.
- It sees no character references. They are decoded here, and only in the form that every reader knows (`decode`).
- What stands inside the elements of `SILENT` is dropped: parsers differ over whether it is markup.
- Marked sections (`<![`) outside those elements make the page malformed.
"""

import re
from dataclasses import dataclass
from html.entities import html5
from html.parser import HTMLParser
from typing import Final

from enclave_worker.handlers.errors import OperationFailed

MAX_PAGE_CHARACTERS: Final = 128 * 1024  # ours: recorded pages of SICAE have 10,500 to 12,800
MAX_TOKENS: Final = 8192  # ours: those pages have some hundreds

SILENT: Final = frozenset(
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
"""Elements whose content is no content of the page, or is text to some parsers and markup to others."""

_END: Final = "end-of-page"  # a tag behind the page: whatever swallows it was left open
_REFERENCE: Final = re.compile(r"&(?:#([0-9]{1,7})|#[xX]([0-9A-Fa-f]{1,6})|([A-Za-z][A-Za-z0-9]{1,31}));")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f]")
_ATTRIBUTE_NAME: Final = re.compile(r"[a-z][a-z0-9:_-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """A start tag, self-closing or not. Names are in lower case, values decoded, an absent value is "".

    `sound`: every attribute has a plain name and none occurs twice. Where a quotation mark stands inside a quoted
    value, which no parser can repair, the rest of the value becomes names that are not plain.
    """

    name: str
    attributes: tuple[tuple[str, str], ...]
    sound: bool

    def get(self, name: str) -> str | None:
        """Return the value of the first attribute of this name; None where there is none."""
        return next((value for key, value in self.attributes if key == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """An end tag, its name in lower case."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """Text between tags, decoded, with its blanks."""

    text: str


Token = Start | End | Text


def tokens_of(page: str) -> tuple[Token, ...]:
    """Return the page's tokens in order; comments, the doctype and processing instructions are dropped.

    NOT checked: that elements are nested, closed or known.

    Raises:
        OperationFailed: `upstream-malformed`: too long, too many tokens, control characters, something left open.
    """
    if len(page) > MAX_PAGE_CHARACTERS:
        raise malformed(f"the page has more than {MAX_PAGE_CHARACTERS} characters")
    if _CONTROL.search(page):
        raise malformed("the page has a control character")
    if f"<{_END}" in page.lower():
        raise malformed("the page has a tag that no page has")
    parser = _Parser()
    try:
        parser.feed(page.replace("&", "&amp;") + f"<{_END}>")
    except AssertionError as error:  # what html.parser of Python 3.11 raises for "<![" without a known keyword
        raise malformed("the page has a marked section") from error
    return parser.finish()


def decode(text: str) -> str:
    """Return `text` with its character references decoded: `&#N;`, `&#xH;` and `&name;` of the HTML standard's table.

    Only those that end with a semicolon, of at most 7 digits, 6 hexadecimal digits or 32 letters, and only numbers of
    characters that may stand in a page. Everything else stays as it is: a company's name may have a bare "&".
    """
    return _REFERENCE.sub(_decoded, text)


def malformed(problem: str) -> OperationFailed:
    """Return the error for a page without the documented shape."""
    return OperationFailed("upstream-malformed", problem)


def _decoded(reference: re.Match[str]) -> str:
    decimal, hexadecimal, name = reference.groups()
    if name is not None:
        return html5.get(f"{name};", reference[0])
    number = int(decimal) if decimal is not None else int(hexadecimal, 16)
    usable = number < 0xD800 or 0xE000 <= number <= 0x10FFFF
    return chr(number) if usable and not _CONTROL.match(chr(number)) else reference[0]


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._tokens: list[Token] = []
        self._silent: str | None = None
        self._ended = False

    def finish(self) -> tuple[Token, ...]:
        if not self._ended:
            raise malformed("the page ends inside a tag, a comment or a script")
        return tuple(self._tokens)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._silent is None:
            self._start(tag, attrs)
            self._silent = tag if tag in SILENT else None

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._silent is None:
            if tag in SILENT:  # to the standard it is a start tag like any other, to html.parser an empty element
                raise malformed(f"a {tag} element closes itself")
            self._start(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if self._silent in (None, tag):
            self._silent = None
            self._add(End(name=tag))

    def handle_data(self, data: str) -> None:
        if self._silent is None:
            self._add(Text(text=decode(data)))

    def unknown_decl(self, data: str) -> None:  # noqa: ARG002 (name of html.parser)
        if self._silent is None:
            raise malformed("the page has a marked section")

    def _start(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == _END:
            self._ended = True
            return
        names = [name for name, _ in attrs]
        sound = len(names) == len(set(names)) and all(map(_ATTRIBUTE_NAME.fullmatch, names))
        self._add(Start(name=tag, attributes=tuple((name, decode(value or "")) for name, value in attrs), sound=sound))

    def _add(self, token: Token) -> None:
        if len(self._tokens) == MAX_TOKENS:
            raise malformed(f"the page has more than {MAX_TOKENS} tags and texts")
        self._tokens.append(token)
