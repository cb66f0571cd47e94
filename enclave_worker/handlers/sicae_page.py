"""What the pages of www.sicae.pt/Consulta.aspx say: the search form, and the answer to a search by NIPC.

The page of an answer is the form again, with what was asked in it, and one of three things: a grid with one company, a
grid whose one row says that there is none, or a label that says that the number is no NIPC. Whatever else a page says
is no answer. Positions and headings decide what a text is; a number of five digits in a name is part of the name.
"""

import re
from dataclasses import dataclass
from typing import Final, Literal

from enclave_worker.handlers.errors import OperationFailed
from enclave_worker.handlers.grid import BLANKS, Cell, Piece, Row, rows_of, text_of
from enclave_worker.handlers.markup import End, Start, Text, Token, malformed

GRID: Final = "ConsultaDataGrid"  # how the id of the grid ends
LABEL: Final = "ClassErro"  # the class of the label for errors
HEADINGS: Final = ("NIPC", "Denom", "CAE", "Sec")  # each in the heading of its column, in this order
NO_DATA: Final = "Não existem dados para o critério de pesquisa indicado."
NO_NIPC: Final = "O campo 'NIPC' não é válido"

QUOTATION_MARKS: Final = "\"'"

MAX_SECONDARY: Final = 3  # the grid has three places; the page Detalhe.aspx has them all
MAX_TOKEN_CHARACTERS: Final = 16 * 1024  # ours: recorded ones have 600 to 1,500
MAX_TEXT_CHARACTERS: Final = 1024  # ours: the form takes names of 160

_STATE: Final = re.compile(r"[A-Za-z0-9+/=]+")  # ASP.NET writes base64
_NIPC: Final = re.compile(r"[0-9]{9}")
_CODE: Final = re.compile(r"[0-9]{5}")
_WORD: Final = re.compile(f"[^{BLANKS}]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One way in which the site has named the field for the NIPC and the button, in its form and so in the request."""

    field: str
    button: str


VARIANTS: Final = (
    Variant(field="ctl00$MainContent$ipNipc", button="ctl00$MainContent$btnPesquisa"),
    Variant(field="ctl00$MainContent$consultaSimplesNIPCNIPC", button="ctl00$MainContent$consultaSimplesSubmit"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """The search form: what ASP.NET wants back once, and the variants, those whose field is there first."""

    view_state: str
    event_validation: str
    variants: tuple[Variant, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """A CAE: five digits, and its description where the page has one."""

    code: str
    description: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Company:
    """One company of the register, as the grid shows it."""

    name: str
    primary: Activity
    secondary: tuple[Activity, ...]


NotFound = Literal["no-data", "invalid-nipc"]


def read_form(tokens: tuple[Token, ...]) -> Form:
    """Read the page that a search begins with.

    Raises:
        OperationFailed: `upstream-malformed`: a field is not there, there twice, or not what ASP.NET writes.
    """
    return Form(
        view_state=_state(tokens, "__VIEWSTATE"),
        event_validation=_state(tokens, "__EVENTVALIDATION"),
        variants=tuple(sorted(VARIANTS, key=lambda variant: not _inputs(tokens, variant.field))),
    )


def read_answer(tokens: tuple[Token, ...], nipc: str) -> Company | NotFound | None:
    """Read the page that answers the search for `nipc`; None where it has neither grid nor label: it is the form.

    Raises:
        OperationFailed: `upstream-mismatch`: it answers the search for another number; `upstream-fault`: the label says
            something else; `upstream-malformed`: any other shape.
    """
    _check_echo(tokens, nipc)
    label, rows = _label(tokens), _grid(tokens)
    if label and rows is not None:
        raise malformed("the page has a label for errors and a grid")
    if label == NO_NIPC:
        return "invalid-nipc"
    if label:
        raise OperationFailed("upstream-fault", "the page has an error message")
    return None if rows is None else _read_rows(rows, nipc)


def _inputs(tokens: tuple[Token, ...], name: str) -> list[Start]:
    """The inputs of this name, or with the id that ASP.NET makes of it."""
    names = {("name", name), ("id", name.replace("$", "_"))}
    return [tag for tag in tokens if isinstance(tag, Start) and tag.name == "input" and names & set(tag.attributes)]


def _state(tokens: tuple[Token, ...], name: str) -> str:
    found = _inputs(tokens, name)
    if len(found) != 1:
        raise malformed(f"the form has {len(found)} fields {name}, expected one")
    value = found[0].get("value") or ""
    if len(value) > MAX_TOKEN_CHARACTERS or not _STATE.fullmatch(value):
        raise malformed(f"{name} is not base64, or is too long")
    return value


def _check_echo(tokens: tuple[Token, ...], nipc: str) -> None:
    for variant in VARIANTS:
        for tag in _inputs(tokens, variant.field):
            shown = (tag.get("value") or "").strip(BLANKS)
            if shown and shown != nipc:
                raise OperationFailed("upstream-mismatch", "the form on the page has another NIPC in it")


def _label(tokens: tuple[Token, ...]) -> str:
    """The text of the label for errors; empty where there is none."""
    found = [
        (number, tag)
        for number, tag in enumerate(tokens)
        if isinstance(tag, Start) and LABEL in _WORD.findall(tag.get("class") or "")
    ]
    if len(found) > 1:
        raise malformed("the page has two labels for errors")
    return _inner_text(found[0][1], tokens[found[0][0] + 1 :]).strip(BLANKS) if found else ""


def _inner_text(tag: Start, tokens: tuple[Token, ...]) -> str:
    """The text of the element that begins with `tag` and goes on with `tokens`; there is no other element in it."""
    texts: list[str] = []
    for token in tokens:
        if isinstance(token, Text):
            texts.append(token.text)
        elif token == End(name=tag.name):
            return "".join(texts)
        else:
            break
    raise malformed("the label for errors holds elements, or is not closed")


def _grid(tokens: tuple[Token, ...]) -> tuple[Row, ...] | None:
    found = [
        number
        for number, tag in enumerate(tokens)
        if isinstance(tag, Start) and tag.name == "table" and (tag.get("id") or "").endswith(GRID)
    ]
    if len(found) > 1:
        raise malformed("the page has two grids")
    return rows_of(tokens[found[0] :]) if found else None


def _read_rows(rows: tuple[Row, ...], nipc: str) -> Company | NotFound:
    if len(rows) != 2:
        raise malformed(f"the grid has {len(rows)} rows, expected a heading and one company")
    heading, row = rows
    _check_heading(heading)
    if len(row) != len(heading):
        raise malformed(f"the company has {len(row)} cells under {len(heading)} headings")
    number, name, primary, secondary = text_of(row[0]), _name(row[1]), _activities(row[2]), _activities(row[3])
    if not number and name == NO_DATA and not primary and not secondary:
        return "no-data"
    if not _NIPC.fullmatch(number):
        raise malformed("the company has no NIPC")
    if number != nipc:
        raise OperationFailed("upstream-mismatch", "the grid has another NIPC")
    if not name or len(primary) != 1 or len(secondary) > MAX_SECONDARY:
        raise malformed("the company has no name, not one primary CAE, or too many secondary ones")
    return Company(name=name, primary=primary[0], secondary=secondary)


def _check_heading(heading: Row) -> None:
    texts = [text_of(cell) for cell in heading]
    if len(texts) < len(HEADINGS) or any(word not in text for word, text in zip(HEADINGS, texts, strict=False)):
        raise malformed("the grid has other headings")


def _name(cell: Cell) -> str:
    """The title of the cell's one element, which is the whole name; the text where the title is not sound."""
    pieces = [piece for piece in cell if piece.text or piece.title]
    if len(pieces) > 1:
        raise malformed("a cell has two names")
    return _bounded(_title(pieces[0]) or pieces[0].text) if pieces else ""


def _title(piece: Piece) -> str:
    """The title, unless a quotation mark of the name's own ended it: the text has that mark then, and the title not."""
    cut = any(mark in piece.text and mark not in piece.title for mark in QUOTATION_MARKS)
    return piece.title if piece.sound and not cut else ""


def _activities(cell: Cell) -> tuple[Activity, ...]:
    """The cell's CAEs: one in each titled element, a comma behind it, or several without description in plain text."""
    own, *titled = cell
    found = [_activity(piece) for piece in titled if piece.text or piece.title]
    plain = [Activity(code=_code(text), description=None) for text in _WORD.findall(own.text.replace(",", " "))]
    if found and plain:
        raise malformed("a cell has CAEs with and without a description")
    kept: dict[str, Activity] = {}
    for activity in (*found, *plain):
        kept.setdefault(activity.code, activity)  # a page may repeat a code: its first mention counts
    return tuple(kept.values())


def _activity(piece: Piece) -> Activity:
    if not piece.sound:
        raise malformed("the description of a CAE has a quotation mark in it")
    code = _code(piece.text.removesuffix(",").rstrip(BLANKS))
    return Activity(code=code, description=_bounded(piece.title) or None)


def _code(text: str) -> str:
    if not _CODE.fullmatch(text):
        raise malformed("a CAE is not five digits")
    return text


def _bounded(text: str) -> str:
    if len(text) > MAX_TEXT_CHARACTERS:
        raise malformed(f"a name or description has more than {MAX_TEXT_CHARACTERS} characters")
    return text
