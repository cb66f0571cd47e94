"""SICAE, the Portuguese register of economic activities: who has this NIPC, and with which CAEs.

`sicae.lookup` asks www.sicae.pt as its own form does: GET the form, POST it with the number. The site knows no TLS:
whoever carries the bytes can write them, and the statement says so (`tls` null).

A number that the register does not have, and one that is no NIPC, are results, since the page says so in words of its
own; a page that says neither is an error. NOT checked: the check digit of the number. The site checks it, and its
answer is worth more than ours.
"""

import re
from typing import Final

from enclave_worker.handlers import params as given
from enclave_worker.handlers import percent
from enclave_worker.handlers.errors import OperationFailed
from enclave_worker.handlers.markup import MAX_PAGE_CHARACTERS, Token, malformed, tokens_of
from enclave_worker.handlers.operation import Ask, Fetch, Got, Operation, Params, Value, Values
from enclave_worker.handlers.sicae_page import (
    MAX_SECONDARY,
    Activity,
    Company,
    Form,
    NotFound,
    Variant,
    read_answer,
    read_form,
)

URL: Final = "http://www.sicae.pt/Consulta.aspx"
SESSION: Final = "ASP.NET_SessionId"

# What a browser sends. ASP.NET writes other tags for programs that it does not know by their User-Agent.
_BROWSER: Final = (
    (
        "User-Agent",
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/120.0.0.0 Safari/537.36",
    ),
    ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
)
_NIF: Final = re.compile(r"[0-9]{9}")
_HTML_TYPE: Final = re.compile(r'text/html(?:[ \t]*;[ \t]*charset=(?:utf-8|"utf-8"))?', re.IGNORECASE)
_COOKIE: Final = re.compile(re.escape(SESSION) + r"=([^;]*)")
_COOKIE_VALUE: Final = re.compile(r"[!#-+\--:<-\[\]-~]{1,256}")  # RFC 6265, 4.1.1: cookie-octet
_MAX_BYTES: Final = 4 * MAX_PAGE_CHARACTERS  # of UTF-8; decoding more would only cost memory


def lookup(params: Params, fetch: Fetch) -> Values:
    """Ask for `nif`, nine digits as text. A second way to name the fields is tried where the first gets no answer.

    Raises:
        ParamsRefused: `nif` is anything else. OperationFailed: the pages give no answer.
    """
    nif = given.text(params, "nif", _NIF, "a text of nine digits")
    form, cookie = _get(fetch)
    for number, variant in enumerate(form.variants):
        if number:
            form, cookie = _get(fetch)  # the fields of a form are good for one search
        answer = read_answer(_page(fetch(_search(form, variant, cookie, nif))), nif)
        if answer is not None:
            return _values(nif, answer)
    raise malformed("the page that answers has neither a result nor an error in it")


def record(values: Values) -> Values:
    """Return the predecessor's record: the first secondary CAE only; a number without a company has no more fields."""
    return {
        "nif": values["nif"],
        "name": values["name"],
        "cae1Code": values["cae1Code"],
        "cae1Desc": values["cae1Desc"],
        "cae2Code": values["cae2Code1"],
        "cae2Desc": values["cae2Desc1"],
    }


def _get(fetch: Fetch) -> tuple[Form, str | None]:
    got = fetch(Ask(method="GET", url=URL, headers=(*_BROWSER, ("Accept-Language", "pt-PT,pt;q=0.9"))))
    return read_form(_page(got)), _session(got)


def _search(form: Form, variant: Variant, cookie: str | None, nif: str) -> Ask:
    fields = (
        ("__VIEWSTATE", form.view_state),
        ("__EVENTVALIDATION", form.event_validation),
        (variant.field, nif),
        (variant.button, "Pesquisar"),
    )
    headers = (
        *_BROWSER,
        ("Content-Type", "application/x-www-form-urlencoded"),
        ("Referer", URL),
        ("Origin", "http://www.sicae.pt"),
        *([("Cookie", f"{SESSION}={cookie}")] if cookie else []),
    )
    return Ask(method="POST", url=URL, headers=headers, body=percent.form(fields).encode("ascii"))


def _session(got: Got) -> str | None:
    """The session's id: the last that the response sets, as in a browser; None where it sets none, or an empty one."""
    set_cookies = [value for name, value in got.headers if name == "set-cookie"]
    found = [match[1].strip(" \t") for match in map(_COOKIE.match, set_cookies) if match]
    if not found or not found[-1]:
        return None
    if not _COOKIE_VALUE.fullmatch(found[-1]):
        raise malformed("the session's id has characters that no cookie has")
    return found[-1]


def _page(got: Got) -> tuple[Token, ...]:
    if got.status == 429 or got.status >= 500:
        raise OperationFailed("upstream-unavailable", f"the site answered with status {got.status}")
    if got.status != 200:
        raise OperationFailed("upstream-fault", f"the site answered with status {got.status}")
    if not all(_HTML_TYPE.fullmatch(value) for name, value in got.headers if name == "content-type"):
        raise malformed("the answer is no HTML in UTF-8")
    if len(got.body) > _MAX_BYTES:
        raise malformed("the page is too long")
    try:
        return tokens_of(got.body.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise malformed("the page is not UTF-8") from error


def _values(nif: str, answer: Company | NotFound) -> Values:
    company = answer if isinstance(answer, Company) else None
    secondary = company.secondary if company else ()
    values: dict[str, Value] = {
        "nif": nif,
        "found": company is not None,
        "answer": "found" if isinstance(answer, Company) else answer,
        "name": company.name if company else None,
        **_activity("cae1Code", "cae1Desc", company.primary if company else None),
        "cae2Count": len(secondary) if company else None,
        "cae2Complete": len(secondary) < MAX_SECONDARY if company else None,
    }
    for number in range(MAX_SECONDARY):
        activity = secondary[number] if number < len(secondary) else None
        values |= _activity(f"cae2Code{number + 1}", f"cae2Desc{number + 1}", activity)
    return values


def _activity(code: str, description: str, activity: Activity | None) -> Values:
    return {
        code: activity.code if activity else None,
        description: activity.description if activity else None,
    }


OPERATIONS: Final = (Operation(name="sicae.lookup", parameters=frozenset({"nif"}), run=lookup, record=record),)
