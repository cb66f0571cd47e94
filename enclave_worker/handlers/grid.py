"""A table of a page -> rows of cells: what stands where, by position, as a browser would show it.

Rows and cells that a page leaves unclosed end where the HTML standard ends them: a row at the next row, a cell at the
next cell, and a cell without a row begins one. Nothing else is repaired: text or elements between the cells, a table
in the table, cells that span others, and elements that are not closed in their cell make the page malformed.
"""

from dataclasses import dataclass, field
from typing import Final

from enclave_worker.handlers.markup import End, Start, Text, Token, malformed

MAX_ROWS: Final = 8  # ours: a heading and one result
MAX_CELLS: Final = 16  # ours, in one row: there are 5
MAX_PIECES: Final = 16  # ours, in one cell: there are 4
MAX_DEPTH: Final = 8  # ours, elements open in one cell: there are 2

BLANKS: Final = " \t\n\r\f\u00a0"  # HTML's white space, and the blank that holds an empty cell open

_SECTIONS: Final = frozenset({"thead", "tbody", "tfoot"})
_CELLS: Final = frozenset({"td", "th"})
_VOID: Final = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr"}
)  # the HTML standard, 13.1.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One element with a title inside a cell, or the cell itself (the first piece, without a title).

    `text` is the text in it and in no titled element inside it; both are without blanks at their ends. `sound` is
    `markup.Start.sound`: without it the title may be a part of what was meant.
    """

    title: str = ""
    sound: bool = True
    text: str = ""


Cell = tuple[Piece, ...]
Row = tuple[Cell, ...]


def rows_of(tokens: tuple[Token, ...]) -> tuple[Row, ...]:
    """Return the rows of the table whose start tag is the first of `tokens`; what follows its end is not read.

    Raises:
        OperationFailed: `upstream-malformed`: see above, too large, or the table is not closed.
    """
    table = _Table()
    for token in tokens[1:]:
        if token == End(name="table"):
            table.end_row()
            return tuple(table.rows)
        table.take(token)
    raise malformed("the table is not closed")


def text_of(cell: Cell) -> str:
    """Return the text of a cell, without blanks at its ends; that of titled elements is put behind it."""
    return " ".join(filter(None, (piece.text for piece in cell)))


@dataclass(slots=True)
class _Open:
    """A cell that is being read. `inside`: the elements open in it, each with the piece that goes on behind it."""

    texts: list[list[str]] = field(default_factory=lambda: [[]])
    titles: list[Piece] = field(default_factory=lambda: [Piece()])
    inside: list[tuple[str, int]] = field(default_factory=list)
    current: int = 0

    def start(self, tag: Start) -> None:
        if tag.name in _VOID:
            return
        if len(self.inside) == MAX_DEPTH:
            raise malformed("a cell has too many elements in one another")
        self.inside.append((tag.name, self.current))
        title = tag.get("title")
        if title is not None:
            self._piece(Piece(title=title.strip(BLANKS), sound=tag.sound))

    def end(self, tag: End) -> None:
        if not self.inside or self.inside[-1][0] != tag.name:
            raise malformed("the elements of a cell are not closed in their order")
        _, self.current = self.inside.pop()

    def finish(self) -> Cell:
        if self.inside:
            raise malformed("an element is not closed in its cell")
        return tuple(
            Piece(title=piece.title, sound=piece.sound, text="".join(texts).strip(BLANKS))
            for piece, texts in zip(self.titles, self.texts, strict=True)
        )

    def _piece(self, piece: Piece) -> None:
        if len(self.titles) == MAX_PIECES:
            raise malformed("a cell has too many titles")
        self.titles.append(piece)
        self.texts.append([])
        self.current = len(self.titles) - 1


@dataclass(slots=True)
class _Table:
    """A table that is being read."""

    rows: list[Row] = field(default_factory=list)
    row: list[Cell] | None = None
    cell: _Open | None = None

    def take(self, token: Token) -> None:
        match token:
            case Start():
                self._start(token)
            case End():
                self._end(token)
            case Text(text=text) if self.cell is not None:
                self.cell.texts[self.cell.current].append(text)
            case Text(text=text) if text.strip(BLANKS):
                raise malformed("a table has text between its cells")

    def end_row(self) -> None:
        self._end_cell()
        if self.row is not None:
            if len(self.rows) == MAX_ROWS:
                raise malformed("a table has too many rows")
            self.rows.append(tuple(self.row))
        self.row = None

    def _start(self, tag: Start) -> None:
        if tag.name == "table":
            raise malformed("a table has a table in it")
        if tag.name == "tr" or tag.name in _SECTIONS:
            self.end_row()
            self.row = [] if tag.name == "tr" else None
        elif tag.name in _CELLS:
            self._begin_cell(tag)
        elif self.cell is None:
            raise malformed("a table has an element between its cells")
        else:
            self.cell.start(tag)

    def _end(self, tag: End) -> None:
        if tag.name == "tr" or tag.name in _SECTIONS:
            self.end_row()
        elif self.cell is None:
            raise malformed("a table has an end tag between its cells")
        elif tag.name in _CELLS:
            self._end_cell()
        else:
            self.cell.end(tag)

    def _begin_cell(self, tag: Start) -> None:
        self._end_cell()
        if tag.get("colspan") is not None or tag.get("rowspan") is not None:
            raise malformed("a cell spans others")
        self.row = self.row if self.row is not None else []
        if len(self.row) == MAX_CELLS:
            raise malformed("a row has too many cells")
        self.cell = _Open()

    def _end_cell(self) -> None:
        if self.cell is not None and self.row is not None:
            self.row.append(self.cell.finish())
        self.cell = None
