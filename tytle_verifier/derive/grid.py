"""SICAE's grid of results: tokens -> rows of cells of pieces (DERIVATIONS.md, S6 and S7)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from tytle_verifier.derive.htmlbody import BLANKS, END, TEXT, Token
from tytle_verifier.derive.trace import malformed

MAX_ROWS: Final = 8
MAX_CELLS: Final = 16
MAX_OPEN: Final = 8
MAX_PIECES: Final = 16
MAX_TEXT_CHARACTERS: Final = 1_024
_VOID = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr"}
)
_CELLS, _GROUPS = frozenset({"td", "th"}), frozenset({"thead", "tbody", "tfoot"})
_CODE = re.compile("[0-9]{5}")
_SPACED = {ord(blank): " " for blank in f"{BLANKS},"}


@dataclass(slots=True, kw_only=True)
class Piece:
    """A text and the title of the element around it; `sound` as that element's start tag is."""

    title: str = ""
    sound: bool = True
    raw: str = ""

    @property
    def text(self) -> str:
        """The text, trimmed."""
        return self.raw.strip(BLANKS)


@dataclass(slots=True, kw_only=True)
class Cell:
    """A cell: its own piece first, then one for each element with a title. `unclosed` are open elements."""

    pieces: list[Piece] = field(default_factory=lambda: [Piece()])
    unclosed: list[tuple[str, Piece]] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All that the cell says, titles left out."""
        return " ".join(piece.text for piece in self.pieces if piece.text)

    @property
    def name(self) -> str:
        """The one name in the cell, "" where it says nothing. Raises: Unanswered."""
        pieces = [piece for piece in self.pieces if piece.text or piece.title]
        if len(pieces) > 1:
            raise malformed("two names in one cell")
        return _bounded("".join(map(_whole_name, pieces)))

    @property
    def activities(self) -> list[tuple[str, str | None]]:
        """The codes of activities with their descriptions, each code once. Raises: Unanswered."""
        words = self.pieces[0].text.translate(_SPACED).split(" ")
        plain: list[tuple[str, str | None]] = [(_code(word), None) for word in words if word]
        titled = [_activity(piece) for piece in self.pieces[1:] if piece.text or piece.title]
        if plain and titled:
            raise malformed("activities with and without a title in one cell")
        found: dict[str, str | None] = {}
        for code, description in plain or titled:
            found.setdefault(code, description)
        return list(found.items())


def _whole_name(piece: Piece) -> str:
    """The title, or the text where the title is none, not sound, or lost the quotation marks that the text has."""
    lost = (set(piece.text) - set(piece.title)) & {'"', "'"}
    return piece.text if lost or not piece.sound or not piece.title else piece.title


def _activity(piece: Piece) -> tuple[str, str | None]:
    if not piece.sound:
        raise malformed("an activity's tag is not sound")
    return _code(piece.text.removesuffix(",").rstrip(BLANKS)), _bounded(piece.title) or None


def _code(text: str) -> str:
    if not _CODE.fullmatch(text):
        raise malformed("an activity is five digits")
    return text


def _bounded(text: str) -> str:
    if len(text) > MAX_TEXT_CHARACTERS:
        raise malformed("a text of too many characters")
    return text


def rows(tokens: Sequence[Token]) -> list[list[Cell]]:
    """Return the rows of the table whose start tag is just before `tokens`. Raises: Unanswered."""
    reader = _Rows()
    for token in tokens:
        if token.kind == END and token.name == "table":
            reader.end_cell()
            return reader.rows
        reader.take(token)
    raise malformed("the grid has no end")


class _Rows:
    def __init__(self) -> None:
        self.rows: list[list[Cell]] = []
        self._row: list[Cell] | None = None
        self._cell: Cell | None = None

    def take(self, token: Token) -> None:
        if self._cell is None:
            self._outside(token)
        elif token.kind == TEXT:
            _innermost(self._cell).raw += token.name
        elif token.name in _CELLS | _GROUPS | {"tr"}:
            self.end_cell()
            if token.kind != END or token.name not in _CELLS:
                self._outside(token)
        elif token.kind == END:
            _close(self._cell, token)
        else:
            _open(self._cell, token)

    def end_cell(self) -> None:
        if self._cell is not None and self._cell.unclosed:
            raise malformed("elements are open at a cell's end")
        self._cell = None

    def _outside(self, token: Token) -> None:
        if token.kind == TEXT:
            if token.name.strip(BLANKS):
                raise malformed("a text between cells")
        elif token.name in _GROUPS or (token.kind == END and token.name == "tr"):
            self._row = None
        elif token.kind == END:
            raise malformed(f"</{token.name}> between cells")
        elif token.name == "tr":
            self._begin_row()
        elif token.name in _CELLS:
            self._begin_cell(token)
        else:
            raise malformed(f"<{token.name}> between cells")

    def _begin_row(self) -> list[Cell]:
        if len(self.rows) == MAX_ROWS:
            raise malformed("too many rows")
        self._row = []
        self.rows.append(self._row)
        return self._row

    def _begin_cell(self, token: Token) -> None:
        row = self._begin_row() if self._row is None else self._row
        if len(row) == MAX_CELLS or token.has("colspan", "rowspan"):
            raise malformed("too many cells, or one that spans others")
        self._cell = Cell()
        row.append(self._cell)


def _innermost(cell: Cell) -> Piece:
    return cell.unclosed[-1][1] if cell.unclosed else cell.pieces[0]


def _open(cell: Cell, token: Token) -> None:
    if token.name in _VOID:
        return
    if token.name == "table" or len(cell.unclosed) == MAX_OPEN:
        raise malformed("a table in the grid, or too many open elements")
    piece = _innermost(cell)
    if token.has("title"):
        piece = Piece(title=token.get("title").strip(BLANKS), sound=token.sound)
        if len(cell.pieces) == MAX_PIECES:
            raise malformed("too many pieces in a cell")
        cell.pieces.append(piece)
    cell.unclosed.append((token.name, piece))


def _close(cell: Cell, token: Token) -> None:
    if not cell.unclosed or cell.unclosed[-1][0] != token.name:
        raise malformed(f"</{token.name}> without its beginning")
    cell.unclosed.pop()
