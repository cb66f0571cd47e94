"""XML of an upstream, read into a small tree: well-formed XML 1.0 with namespaces, in UTF-8, or an OperationFailed.

The parser is the standard library's expat, which every Python has; no other library is in the image for it. Refused
before they cost anything: a document type (so there are no entities but the five of XML itself), processing
instructions (SOAP 1.1, section 3, has neither), other encodings, and more bytes, elements or levels than the limits.
Comments are dropped; CDATA sections are text. An exception in a handler stops expat at that byte.

Not checked: any schema. That is for whoever asked for the tree.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NoReturn
from xml.parsers import expat

from enclave_worker.handlers.errors import OperationFailed

# ours: an answer of checkVat has about 1 KiB. expat writes a namespace's whole name in front of each attribute that has
# its prefix, before any handler is called, so that memory grows with the square of this: 16 KiB take 13 MiB.
MAX_XML_BYTES = 16 * 1024
MAX_ELEMENTS = 256  # ours: an answer of checkVat has 10
MAX_DEPTH = 16  # ours: an answer of checkVat has 4 levels
BLANKS = " \t\r\n"  # XML 1.0, production 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """One element. Names are `namespace local` with one blank between, or `local` where there is no namespace."""

    name: str
    attributes: Mapping[str, str]
    children: tuple["Element", ...]
    text: str  # everything between its tags that is in no child, joined


def parse(data: bytes) -> Element:
    """Return the root element of the document.

    Raises:
        OperationFailed: `upstream-malformed`, for anything else.
    """
    if len(data) > MAX_XML_BYTES:
        refuse(f"the XML has more than {MAX_XML_BYTES} bytes")
    reader = _Reader()
    try:
        if "\0" in data.decode("utf-8"):  # expat itself would also follow the marks and zeros of UTF-16
            refuse("the XML holds a NUL")
        reader.parser.Parse(data, True)
    except UnicodeDecodeError as exc:
        raise OperationFailed("upstream-malformed", f"the XML is not UTF-8 (byte {exc.start})") from exc
    except expat.ExpatError as exc:
        raise OperationFailed("upstream-malformed", f"not well-formed XML: {expat.ErrorString(exc.code)}") from exc
    return reader.top.children[0]


def refuse(problem: str) -> NoReturn:
    """Raise the OperationFailed for an answer of another shape than the documented one."""
    raise OperationFailed("upstream-malformed", problem)


@dataclass(slots=True, kw_only=True)
class _Open:
    """An element whose end has not been read yet."""

    name: str
    attributes: dict[str, str]
    children: list[Element] = field(default_factory=list)
    text: list[str] = field(default_factory=list)


class _Reader:
    """expat's handlers around a stack of open elements. The lowest is the document itself."""

    def __init__(self) -> None:
        self._open = [_Open(name="", attributes={})]
        self._elements = 0
        self.parser = expat.ParserCreate("UTF-8", namespace_separator=" ")
        self.parser.buffer_text = True  # few long texts instead of one call for each line
        self.parser.XmlDeclHandler = _declaration
        self.parser.StartDoctypeDeclHandler = _document_type
        self.parser.ProcessingInstructionHandler = _instruction
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._characters

    @property
    def top(self) -> _Open:
        return self._open[-1]

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._elements += 1
        if self._elements > MAX_ELEMENTS:
            refuse(f"the XML has more than {MAX_ELEMENTS} elements")
        if len(self._open) > MAX_DEPTH:
            refuse(f"the XML has more than {MAX_DEPTH} levels")
        self._open.append(_Open(name=name, attributes=attributes))

    def _end(self, _name: str) -> None:
        done = self._open.pop()
        element = Element(
            name=done.name, attributes=done.attributes, children=tuple(done.children), text="".join(done.text)
        )
        self.top.children.append(element)

    def _characters(self, text: str) -> None:
        self.top.text.append(text)


def _declaration(version: str, encoding: str | None, _standalone: int) -> None:
    if version != "1.0" or (encoding or "utf-8").lower() != "utf-8":
        refuse("the XML declares another version than 1.0 or another encoding than UTF-8")


def _document_type(_name: str, _system: str | None, _public: str | None, _internal: bool) -> None:
    refuse("the XML has a document type")


def _instruction(_target: str, _data: str) -> None:
    refuse("the XML has a processing instruction")
