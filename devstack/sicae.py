"""SICAE stand-in: www.sicae.pt/Consulta.aspx as recorded from the live site, over plain HTTP.

Stricter than the live site, which gives everybody the same hidden fields and takes them again: here they belong to the
session that got them and are good for one search, as ASP.NET can be set up. Besides the session there is a second
cookie, so that a client that reads one Set-Cookie header loses it. `FAULTS` are ways in which such a site is wrong.
"""

from __future__ import annotations

import base64
import os
import re
import threading
from collections.abc import Mapping
from urllib.parse import parse_qs

from devstack import sicae_pages
from devstack.sicae_pages import Company, Fields
from devstack.upstream import Request, Response

HOST = "www.sicae.pt"
PATH = "/Consulta.aspx"
VARIANTS = (
    ("ctl00$MainContent$ipNipc", "ctl00$MainContent$btnPesquisa"),
    ("ctl00$MainContent$consultaSimplesNIPCNIPC", "ctl00$MainContent$consultaSimplesSubmit"),
)
FAULTS = ("error", "maintenance", "redirect", "another", "label", "form")
MAX_SESSIONS = 1024

COMPANIES = {
    "513032525": Company(
        name="GREEN OPPORTUNITY LDA",
        activities=(
            ("71120", "Atividades de engenharia e técnicas afins"),
            ("47126", "Comércio a retalho não especializado, por outros métodos"),
            ("68110", "Compra e venda de bens imobiliários"),
            ("68310", "Atividades de serviços de intermediação de atividades imobiliárias"),
        ),
    ),
    "599900016": Company(
        name="EMPRESA 35151 & FILHOS, S.A.",
        activities=(
            ("35151", "Comércio de eletricidade, exceto para mobilidade elétrica"),
            ("35230", "Comércio de gás por condutas"),
        ),
    ),
    "501442600": Company(name='ASSOCIAÇÃO "OS AMIGOS"', activities=(("94991", "Associações culturais e recreativas"),)),
}


class Sicae:
    """The stand-in as a handler: `Sicae()(request)`; put it under `HOST` of an UpstreamServer without TLS.

    `companies` by NIPC, `faults`: one of `FAULTS` by NIPC, for its search; `variant`: which of `VARIANTS` the form has;
    `form_status`: of the answer to a GET. `searches` are the numbers asked for, for tests.
    """

    def __init__(
        self,
        companies: Mapping[str, Company] = COMPANIES,
        *,
        faults: Mapping[str, str] | None = None,
        variant: int = 0,
        form_status: int = 200,
    ) -> None:
        self._companies = companies
        self._faults = dict(faults or {})
        if unknown := sorted(set(self._faults.values()) - set(FAULTS)):
            raise ValueError(f"there is no fault {unknown[0]!r}")
        self._names = VARIANTS[variant]
        self._form_status = form_status
        self._sessions: dict[str, set[tuple[str, str]]] = {}  # by id, the hidden fields that are still good
        self._lock = threading.Lock()
        self.searches: list[str] = []

    def __call__(self, request: Request) -> Response:
        """Answers one request; 404 for another path."""
        if request.path != PATH or request.method not in ("GET", "POST"):
            return _html(404, sicae_pages.server_error())
        if request.method == "GET":
            return self._form(request)
        return self._search(request)

    def _form(self, request: Request) -> Response:
        session = _session(request)
        with self._lock:
            new = session not in self._sessions
            if new:
                session = os.urandom(12).hex()
                while len(self._sessions) >= MAX_SESSIONS:
                    self._sessions.pop(next(iter(self._sessions)))
                self._sessions[session] = set()
            page = sicae_pages.search(self._fields(session))
        cookies = (f"ASP.NET_SessionId={session}; path=/; HttpOnly", "lang=pt; path=/") if new else ()
        return _html(self._form_status, page, *cookies)

    def _search(self, request: Request) -> Response:
        form = {name: values[-1] for name, values in parse_qs(request.body.decode("latin-1")).items()}
        hidden = form.get("__VIEWSTATE", ""), form.get("__EVENTVALIDATION", "")
        session = _session(request)
        with self._lock:
            if hidden not in self._sessions.get(session, ()):
                return _html(500, sicae_pages.server_error())  # validation of viewstate MAC failed
            self._sessions[session].remove(hidden)
            fields = self._fields(session)
        if form.get(self._names[1]) != "Pesquisar":
            return _html(200, sicae_pages.search(fields))
        nipc = form.get(self._names[0], "")
        self.searches.append(nipc)
        return self._faulty(self._faults[nipc], fields, nipc) if nipc in self._faults else self._answer(fields, nipc)

    def _answer(self, fields: Fields, nipc: str) -> Response:
        if not has_check_digit(nipc):
            return _html(200, sicae_pages.search(fields, nipc=nipc, label=sicae_pages.NO_NIPC))
        company = self._companies.get(nipc)
        grid = sicae_pages.result(nipc, company) if company else sicae_pages.nothing()
        return _html(200, sicae_pages.search(fields, nipc=nipc, grid=grid))

    def _faulty(self, fault: str, fields: Fields, nipc: str) -> Response:
        match fault:
            case "error":
                return _html(500, sicae_pages.server_error())
            case "maintenance":
                return _html(200, sicae_pages.maintenance())
            case "redirect":
                return Response(status=302, headers=(("Location", "/Erro.aspx"),))
            case "another":
                other, company = next(item for item in self._companies.items() if item[0] != nipc)
                return _html(200, sicae_pages.search(fields, grid=sicae_pages.result(other, company)))
            case "label":
                return _html(200, sicae_pages.search(fields, nipc=nipc, label="Ocorreu um erro na pesquisa"))
            case _:
                return _html(200, sicae_pages.search(fields, nipc=nipc))

    def _fields(self, session: str) -> Fields:
        """New hidden fields for this session. Call it with the lock."""
        view_state, event_validation = (base64.b64encode(os.urandom(size)).decode() for size in (400, 70))
        self._sessions[session].add((view_state, event_validation))
        return Fields(
            nipc=self._names[0],
            button=self._names[1],
            view_state=view_state,
            event_validation=event_validation,
        )


def has_check_digit(nipc: str) -> bool:
    """Whether these are nine digits of which the last one fits the others: weights 9 to 2, modulo 11."""
    if not re.fullmatch(r"[0-9]{9}", nipc):
        return False
    rest = sum(int(digit) * weight for digit, weight in zip(nipc[:8], range(9, 1, -1), strict=True)) % 11
    return int(nipc[8]) == (0 if rest < 2 else 11 - rest)


def _session(request: Request) -> str:
    found = re.search(r"(?:^|; *)ASP\.NET_SessionId=([^;]*)", request.headers.get("cookie", ""))
    return found[1] if found else ""


def _html(status: int, page: str, *cookies: str) -> Response:
    headers = (("Content-Type", "text/html; charset=utf-8"), *(("Set-Cookie", cookie) for cookie in cookies))
    return Response(status=status, headers=headers, body=page.encode("utf-8"))
