"""The SICAE stand-in for tests: as a `Fetch` without a network, and pages that answer a search with given markup."""

from collections.abc import Callable

from devstack.sicae import HOST, PATH, Sicae
from devstack.sicae_pages import Fields, search
from devstack.upstream import Request, Response
from enclave_worker.handlers.operation import Ask, Fetch, Got

NIPC = "513032525"
HEADING = "<tr><td>NIPC</td><td>Denominação Social/Firma</td><td>CAE Principal</td><td>CAEs Secundários</td></tr>"
NAMES = Fields(
    nipc="ctl00$MainContent$ipNipc",
    button="ctl00$MainContent$btnPesquisa",
    view_state="dmlldw==",
    event_validation="dmFs",
)


def through(site: Callable[[Request], Response], asked: list[Ask] | None = None) -> Fetch:
    """Return a `Fetch` that hands each call to the stand-in, and keeps it in `asked`."""

    def fetch(ask: Ask) -> Got:
        if asked is not None:
            asked.append(ask)
        headers = {name.lower(): value for name, value in ask.headers}
        answer = site(Request(method=ask.method, host=HOST, path=PATH, headers=headers, body=ask.body or b""))
        names = tuple((name.lower(), value) for name, value in answer.headers)
        return Got(status=answer.status, headers=names, body=answer.body)

    return fetch


def answering(
    page: str | bytes, *, form: str | bytes | None = None, headers: tuple[tuple[str, str], ...] = ()
) -> Fetch:
    """Return a `Fetch` that answers a GET with the form and a POST with this page."""

    def fetch(ask: Ask) -> Got:
        chosen = page if ask.method == "POST" else (search(NAMES) if form is None else form)
        body = chosen.encode() if isinstance(chosen, str) else chosen
        return Got(status=200, headers=headers, body=body)

    return fetch


def grid(rows: str, *, heading: str = HEADING) -> str:
    """Return a page with a grid of these rows."""
    table = f'<table class="gridMain" id="ctl00_MainContent_ConsultaDataGrid">{heading}{rows}</table>'
    return search(NAMES, grid=table)


def row(
    nipc: str = NIPC,
    name: str = '<div title="ACME LDA">ACME LDA</div>',
    primary: str = '<div title="Engenharia">71120</div>',
    secondary: str = "",
) -> str:
    """Return the row of a company; each cell is markup."""
    return f"<tr><td>{nipc}</td><td>{name}</td><td>{primary}</td><td>{secondary}</td></tr>"


def stand_in() -> Fetch:
    """Return a `Fetch` to a fresh stand-in."""
    return through(Sicae())
