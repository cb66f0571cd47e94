"""sicae.lookup (DERIVATIONS.md, "SICAE"): up to two searches, each a form and its answer.

The number asked for is nowhere in the answer "there is none". What binds it is the digest of the form that was posted:
made again from the form's page and the number, it must be the attested one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from tytle_verifier.derive import grid, htmlbody
from tytle_verifier.derive.grid import Cell
from tytle_verifier.derive.htmlbody import BLANKS, END, START, TEXT, Token
from tytle_verifier.derive.trace import Call, Header, Trace, Unanswered, Values, check_status, malformed

URL: Final = "http://www.sicae.pt/Consulta.aspx"
GET_HEADERS: Final = {name: Header() for name in ("user-agent", "accept", "accept-language")}
POST_HEADERS: Final = {
    **{name: Header() for name in ("user-agent", "accept", "referer", "origin")},
    "content-type": Header(value="application/x-www-form-urlencoded"),
}
VARIANTS: Final = (
    ("ctl00$MainContent$ipNipc", "ctl00$MainContent$btnPesquisa"),
    ("ctl00$MainContent$consultaSimplesNIPCNIPC", "ctl00$MainContent$consultaSimplesSubmit"),
)
HEADINGS: Final = ("NIPC", "Denom", "CAE", "Sec")
NO_DATA: Final = "Não existem dados para o critério de pesquisa indicado."
INVALID_NIPC: Final = "O campo 'NIPC' não é válido"
MAX_SECONDARY: Final = 3
_SESSION = "ASP.NET_SessionId="
_NIF = re.compile("[0-9]{9}")
_STATE = re.compile("[A-Za-z0-9+/=]{1,16384}")
_COOKIE = re.compile(r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]{1,256}")
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
Variant = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """The hidden fields of a search page, the session that came with it, and which variants' fields it has."""

    view_state: str
    validation: str
    session: bool
    variants: tuple[Variant, ...]

    def posted(self, variant: Variant, nif: str) -> bytes:
        """Return the body of the search for `nif`."""
        pairs = [("__VIEWSTATE", self.view_state), ("__EVENTVALIDATION", self.validation)]
        pairs += [(variant[0], nif), (variant[1], "Pesquisar")]
        return "&".join(f"{_encoded(key)}={_encoded(value)}" for key, value in pairs).encode("ascii")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A company as the grid has it: activities are (code, description or None)."""

    name: str
    primary: tuple[str, str | None]
    secondary: list[tuple[str, str | None]] = field(default_factory=list)


def lookup(trace: Trace) -> Values:
    """Derive the values of a lookup. Raises: Unanswered, CallsEnded, DerivationError."""
    claimed = (trace.claimed or {}).get("nif")
    nif = claimed if isinstance(claimed, str) and _NIF.fullmatch(claimed) else None
    order: tuple[Variant, ...] = ()
    for attempt in (0, 1):
        form = _form(trace.next("GET", URL, GET_HEADERS, body=b""))
        order = order or (*form.variants, *(each for each in VARIANTS if each not in form.variants))
        headers = {**POST_HEADERS, "cookie": Header(secret=True)} if form.session else POST_HEADERS
        call = trace.next("POST", URL, headers)
        asked = _Asked(trace, call, form, order[attempt], nif)
        answer, nif = _answer(_tokens(call), asked), asked.nif
        if answer is not None:
            return _values(nif, *answer)
    raise malformed("neither search says anything")


def record(values: Values) -> Values:
    """Return the predecessor's record."""
    same = {name: values[name] for name in ("nif", "name", "cae1Code", "cae1Desc")}
    return {**same, "cae2Code": values["cae2Code1"], "cae2Desc": values["cae2Desc1"]}


class _Asked:
    """The number of one search: known from the values, or recognised in an answer by the posted form's digest."""

    def __init__(self, trace: Trace, call: Call, form: Form, variant: Variant, nif: str | None) -> None:
        self.nif = nif
        self._made: Callable[[str], bytes] = lambda number: form.posted(variant, number)
        self._trace, self._call = trace, call
        if nif is not None:
            trace.check_body(call, self._made(nif))
            trace.compared.append(f"request body of call {trace.taken}: the search for this number")
        else:
            trace.not_compared.append(f"which number call {trace.taken} asked for: the request has only a digest")

    def is_for(self, text: str) -> bool:
        if self.nif is None and _NIF.fullmatch(text) and self._call.sent(self._made(text)):
            self.nif = text
            self._trace.not_compared.pop()
            self._trace.compared.append(f"request body of call {self._trace.taken}: the search for the answer's number")
        return text == self.nif


def _tokens(call: Call) -> tuple[Token, ...]:
    check_status(call.status, unauthorised="upstream-fault")
    return htmlbody.read(call.body, call.response_headers("content-type"))


def _form(call: Call) -> Form:
    tokens = _tokens(call)
    variants = tuple(each for each in VARIANTS if any(token.is_input(each[0]) for token in tokens))
    return Form(
        view_state=_hidden(tokens, "__VIEWSTATE"),
        validation=_hidden(tokens, "__EVENTVALIDATION"),
        session=_has_session(call),
        variants=variants,
    )


def _hidden(tokens: Sequence[Token], name: str) -> str:
    values = [token.get("value") for token in tokens if token.is_input(name)]
    if len(values) != 1 or not _STATE.fullmatch(values[0]):
        raise malformed(f"{name} is not there once, or has another form")
    return values[0]


def _has_session(call: Call) -> bool:
    headers = call.response_headers("set-cookie")
    sessions = [text.removeprefix(_SESSION).partition(";")[0] for text in headers if text.startswith(_SESSION)]
    last = sessions[-1].strip(" \t") if sessions else ""
    if last and not _COOKIE.fullmatch(last):
        raise malformed("the session's cookie")
    return bool(last)


def _encoded(text: str) -> str:
    return "".join(chr(byte) if byte in _UNRESERVED else f"%{byte:02X}" for byte in text.encode())


def _answer(tokens: tuple[Token, ...], asked: _Asked) -> tuple[str, Found | None] | None:
    """Return the answer's word, with the company where there is one; None where the page says nothing."""
    for token in tokens:
        echo = token.get("value").strip(BLANKS) if any(token.is_input(name) for name, _ in VARIANTS) else ""
        if echo and not asked.is_for(echo):
            raise Unanswered("upstream-mismatch", "the page is about another number")
    label = _label(tokens)
    starts = [at for at, token in enumerate(tokens) if _is_grid(token)]
    if len(starts) > 1:
        raise malformed("two grids")
    rows = [grid.rows(tokens[at + 1 :]) for at in starts]
    if label and rows:
        raise malformed("an error and a grid")
    if label == INVALID_NIPC:
        return "invalid-nipc", None
    if label:
        raise Unanswered("upstream-fault", "the page says an error")
    return _company(rows[0], asked) if rows else None


def _is_grid(token: Token) -> bool:
    return token.kind == START and token.name == "table" and token.get("id").endswith("ConsultaDataGrid")


def _label(tokens: tuple[Token, ...]) -> str:
    words = [token.get("class").translate(dict.fromkeys(map(ord, BLANKS), " ")).split(" ") for token in tokens]
    labels = [at for at, found in enumerate(words) if "ClassErro" in found]
    if len(labels) > 1:
        raise malformed("two labels for errors")
    text = ""
    for at in labels:
        end = next((there for there in range(at + 1, len(tokens)) if tokens[there].kind != TEXT), None)
        if end is None or (tokens[end].kind, tokens[end].name) != (END, tokens[at].name):
            raise malformed("a label that holds more than a text")
        text = "".join(token.name for token in tokens[at + 1 : end])
    return text.strip(BLANKS)


def _company(rows: list[list[Cell]], asked: _Asked) -> tuple[str, Found | None]:
    if len(rows) != 2 or len(rows[0]) < len(HEADINGS) or len(rows[1]) != len(rows[0]):
        raise malformed("the grid is not a heading and one company")
    heading, company = rows
    if not all(word in cell.text for word, cell in zip(HEADINGS, heading, strict=False)):
        raise malformed("the grid has other headings")
    number, name = company[0].text, company[1].name
    primary, secondary = company[2].activities, company[3].activities
    if not number and name == NO_DATA and not primary and not secondary:
        return "no-data", None
    if not _NIF.fullmatch(number):
        raise malformed("the company's number")
    if not asked.is_for(number):
        raise Unanswered("upstream-mismatch", "the company is another one")
    if not name or len(primary) != 1 or len(secondary) > MAX_SECONDARY:
        raise malformed("the company has no name, or another count of activities")
    return "found", Found(name=name, primary=primary[0], secondary=secondary)


def _values(nif: str | None, answer: str, found: Found | None) -> Values:
    secondary = [] if found is None else found.secondary
    padded = [*secondary, *[(None, None)] * (MAX_SECONDARY - len(secondary))]
    code, description = (None, None) if found is None else found.primary
    return {
        "nif": nif,
        "found": found is not None,
        "answer": answer,
        "name": None if found is None else found.name,
        "cae1Code": code,
        "cae1Desc": description,
        "cae2Count": None if found is None else len(secondary),
        "cae2Complete": None if found is None else len(secondary) < MAX_SECONDARY,
        **{f"cae2Code{at}": pair[0] for at, pair in enumerate(padded, 1)},
        **{f"cae2Desc{at}": pair[1] for at, pair in enumerate(padded, 1)},
    }
