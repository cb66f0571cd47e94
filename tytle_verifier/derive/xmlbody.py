"""XML of an upstream: well-formed XML 1.0 with namespaces in UTF-8, without DTD and processing instructions, bounded.

Read by the standard library's expat. Without a document type there are no entities but the five predefined ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from xml.parsers import expat

from tytle_verifier.derive.trace import malformed

MAX_BYTES: Final = 16_384  # expat repeats a namespace's name for every prefixed attribute: memory of its square
MAX_ELEMENTS: Final = 256
MAX_LEVELS: Final = 16
BLANKS: Final = " \t\r\n"
_PIECE_BYTES = 1024  # an exception of a handler ends the parse only at the end of what was fed
_SEPARATOR = "\x01"  # no XML 1.0 document can hold it, not even as a reference, so no namespace does
_MARK = b"\xef\xbb\xbf"


@dataclass(slots=True, kw_only=True)
class Element:
    """An element: `name` is (namespace or "", local name); `pieces` are its own texts, without its children's."""

    name: tuple[str, str]
    attributes: Mapping[tuple[str, str], str]
    children: list[Element] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """Its own text."""
        return "".join(self.pieces)

    @property
    def blank(self) -> bool:
        """Whether its own text is blanks or nothing."""
        return not self.text.strip(BLANKS)


class _Refused(Exception):
    """Ends a parse from within expat's callbacks."""


class _Builder:
    def __init__(self) -> None:
        self.top = Element(name=("", ""), attributes={})
        self.unclosed = [self.top]
        self.count = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self.count += 1
        if self.count > MAX_ELEMENTS or len(self.unclosed) > MAX_LEVELS:
            raise _Refused("too many elements or levels")
        made = Element(name=_name(name), attributes={_name(key): value for key, value in attributes.items()})
        self.unclosed[-1].children.append(made)
        self.unclosed.append(made)

    def end(self, _: str) -> None:
        self.unclosed.pop()

    def text(self, data: str) -> None:
        self.unclosed[-1].pieces.append(data)

    def declaration(self, version: str, encoding: str | None, _: int) -> None:
        if version != "1.0" or (encoding is not None and encoding.lower() != "utf-8"):
            raise _Refused("XML declaration")

    def namespace(self, _: str | None, name: str | None) -> None:
        if " " in (name or ""):
            raise _Refused("a namespace's name with a space in it")

    def forbidden(self, *_: object) -> None:
        raise _Refused("document type or processing instruction")


def read(body: bytes) -> Element:
    """Return the root element. Raises: Unanswered, whatever the bytes."""
    if len(body) > MAX_BYTES or b"\x00" in body:
        raise malformed("XML: size, or a NUL")
    data = body.removeprefix(_MARK)
    try:
        data.decode()
    except UnicodeDecodeError as error:
        raise malformed("XML: not UTF-8") from error
    if data.startswith(_MARK):
        raise malformed("XML: two byte order marks")
    try:
        return _parse(data)
    except (expat.ExpatError, _Refused) as error:
        raise malformed(f"XML: {error}") from error


def _parse(data: bytes) -> Element:
    builder = _Builder()
    parser = expat.ParserCreate("utf-8", _SEPARATOR)
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.text
    parser.StartNamespaceDeclHandler = builder.namespace
    parser.XmlDeclHandler = builder.declaration
    parser.StartDoctypeDeclHandler = builder.forbidden
    parser.ProcessingInstructionHandler = builder.forbidden
    for start in range(0, len(data), _PIECE_BYTES):
        parser.Parse(data[start : start + _PIECE_BYTES], False)
    parser.Parse(b"", True)
    return builder.top.children[0]


def _name(name: str) -> tuple[str, str]:
    space, _, local = name.rpartition(_SEPARATOR)
    return space, local
