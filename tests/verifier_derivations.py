"""Calls and answers for tests of derivations, made by hand from DERIVATIONS.md, one operation each.

`outcome` runs one derivation: it returns its values, or its code as a text.
"""

import hashlib
import json
from dataclasses import replace
from typing import Any

import verifier_kit as kit
import verifier_queries as queries

from tytle_verifier.derive.operations import OPERATIONS
from tytle_verifier.derive.trace import Call, Trace, Unanswered
from tytle_verifier.statement import Digest, SentRequest

Pairs = tuple[tuple[str, str | None], ...]


def call(
    method: str, url: str, headers: Pairs, sent: bytes, answer: bytes | str, status: int = 200, *got: tuple[str, str]
) -> Call:
    """One call; a header of None is withheld."""
    request = SentRequest(
        method=method,
        url=url,
        headers=tuple((name, None if value is None else value.encode()) for name, value in headers),
        body=Digest(sha256=hashlib.sha256(sent).digest(), length=len(sent)),
    )
    received = tuple((name, value.encode("latin-1")) for name, value in got)
    return Call(request=request, status=status, headers=received, body=_bytes(answer))


def _bytes(text: bytes | str) -> bytes:
    return text.encode() if isinstance(text, str) else text


def answered(made: Call, answer: bytes | str, status: int = 200) -> Call:
    """The same call with another answer."""
    return replace(made, body=_bytes(answer), status=status)


def trace_of(operation: str, *calls: Call, claimed: dict[str, Any] | None = None) -> tuple[Any, Trace]:
    trace = Trace(calls=calls, claimed=claimed)
    try:
        return dict(OPERATIONS[operation].run(trace)), trace
    except Unanswered as error:
        return error.code, trace


def outcome(operation: str, *calls: Call, claimed: dict[str, Any] | None = None) -> Any:
    return trace_of(operation, *calls, claimed=claimed)[0]


def exchange(made: Call) -> dict[str, Any]:
    """A call as a statement has it."""
    sent = made.request
    return {
        "request": {
            "method": sent.method,
            "url": sent.url,
            "headers": [list(pair) for pair in sent.headers],
            "body": {"sha256": sent.body.sha256, "length": sent.body.length},
        },
        "response": {
            "status": made.status,
            "headers": [list(pair) for pair in made.headers],
            "body": kit.digest(made.body),
            "framing": "content-length",
        },
        "upstream": {"tls": "TLSv1.3", "cipher": "TLS_AES_256_GCM_SHA384", "certificate": b"c" * 32, "spki": b"s" * 32},
        "attempts": 1,
    }


def reply(
    operation: str, calls: list[Call], values: dict[str, Any], schema: str, elements: bytes, **texts: str
) -> bytes:
    """A reply whose statement has these calls and these values."""

    def state(made: dict[str, Any]) -> None:
        made["exchanges"] = [exchange(each) for each in calls]
        made["result"]["operation"] = operation

    given: dict[str, Any] = {"schema": schema, "values": values, "elements": elements, "texts": texts}
    return queries.reply(on_statement=state, **given)


def unanswered(operation: str, calls: list[Call], code: str, schema: str = "VIES") -> bytes:
    """A reply whose statement has these calls, and no result."""

    def state(made: dict[str, Any]) -> None:
        made["exchanges"] = [exchange(each) for each in calls]
        made["result"] = {"operation": operation, "schema": schema, "error": code}

    def show(whole: dict[str, Any]) -> None:
        whole.update(error=f"{code}: words", code=code)

    return queries.unanswered(on_statement=state, on_reply=show)


# --- VIES and HMRC ---------------------------------------------------------------------------------------------------

TYPES = "urn:ec.europa.eu:taxud:vies:services:checkVat:types"
ENVELOPE = "http://schemas.xmlsoap.org/soap/envelope/"
FIELDS = (
    "<countryCode>PT</countryCode><vatNumber>507172230</vatNumber><requestDate>2025-01-01+01:00</requestDate>"
    "<valid>true</valid><name>TYTLE LDA</name><address>RUA 123</address>"
)
REST = {"countryCode": "PT", "vatNumber": "507172230", "valid": True, "name": "TYTLE LDA", "address": "RUA 123"}


def soap(fields: str = FIELDS, *, header: str = "", content: str | None = None) -> str:
    inner = f'<checkVatResponse xmlns="{TYPES}">{fields}</checkVatResponse>' if content is None else content
    return f'<e:Envelope xmlns:e="{ENVELOPE}">{header}<e:Body>{inner}</e:Body></e:Envelope>'


def fault(text: str) -> str:
    return soap(content=f"<e:Fault><faultcode>e:Server</faultcode><faultstring>{text}</faultstring></e:Fault>")


def vies(answer: bytes | str, status: int = 200, country: str = "PT", number: str = "507172230") -> Call:
    sent = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Envelope xmlns="{ENVELOPE}"><Body><checkVat xmlns="{TYPES}">'
        f"<countryCode>{country}</countryCode><vatNumber>{number}</vatNumber></checkVat></Body></Envelope>"
    )
    url = "https://ec.europa.eu/taxation_customs/vies/services/checkVatService"
    headers = (("Content-Type", "text/xml;charset=UTF-8"), ("SOAPAction", '""'))
    return call("POST", url, headers, sent.encode(), answer, status)


def vies_rest(answer: bytes | str, status: int = 200) -> Call:
    url = "https://ec.europa.eu/taxation_customs/vies/rest-api/check-vat-number"
    headers = (("Content-Type", "application/json"), ("Accept", "application/json"))
    return call("POST", url, headers, b'{"countryCode":"PT","vatNumber":"507172230"}', answer, status)


def hmrc(answer: bytes | str, status: int = 200, number: str = "553557881") -> Call:
    url = f"https://api.service.hmrc.gov.uk/organisations/vat/check-vat-number/lookup/{number}"
    headers = (("Accept", "application/vnd.hmrc.2.0+json"), ("Authorization", None))
    return call("GET", url, headers, b"", answer, status)


# --- SICAE -----------------------------------------------------------------------------------------------------------

NIPC = "513032525"
SEARCH = "http://www.sicae.pt/Consulta.aspx"
STATE = '<input id="__VIEWSTATE" value="dDw="/><input name="__EVENTVALIDATION" value="dDw9">'
FIELD_A = '<input name="ctl00$MainContent$ipNipc">'
FIELD_B = '<input id="ctl00_MainContent_consultaSimplesNIPCNIPC">'
POSTED_A = (
    "__VIEWSTATE=dDw%3D&__EVENTVALIDATION=dDw9&ctl00%24MainContent%24ipNipc=513032525"
    "&ctl00%24MainContent%24btnPesquisa=Pesquisar"
)
POSTED_B = (
    "__VIEWSTATE=dDw%3D&__EVENTVALIDATION=dDw9&ctl00%24MainContent%24consultaSimplesNIPCNIPC=513032525"
    "&ctl00%24MainContent%24consultaSimplesSubmit=Pesquisar"
)
HEADING = "<tr><td>NIPC</td><td>Denominação</td><td>CAE Principal</td><td>CAEs Sec.</td></tr>"
NO_DATA = "Não existem dados para o critério de pesquisa indicado."
INVALID = "<span class='x ClassErro'>O campo 'NIPC' não é válido</span>"


def grid(rows: str, heading: str = HEADING) -> str:
    return f'<table id="x_ConsultaDataGrid">{heading}{rows}</table>'


def row(nipc: str = NIPC, name: str = "ACME", primary: str = '<b title="Obras">71120</b>', secondary: str = "") -> str:
    return f"<tr><td>{nipc}</td><td>{name}</td><td>{primary}</td><td>{secondary}</td></tr>"


def form(page: bytes | str = STATE + FIELD_A, status: int = 200, *got: tuple[str, str]) -> Call:
    headers = (("User-Agent", "x"), ("Accept", "y"), ("Accept-Language", "z"))
    return call("GET", SEARCH, headers, b"", page, status, *got)


def search(page: bytes | str, *got: tuple[str, str], session: bool = False, posted: str = POSTED_A) -> Call:
    headers: Pairs = (
        *(("User-Agent", "x"), ("Accept", "y"), ("Content-Type", "application/x-www-form-urlencoded")),
        *(("Referer", SEARCH), ("Origin", "http://www.sicae.pt")),
    )
    return call("POST", SEARCH, (*headers, ("Cookie", None)) if session else headers, posted.encode(), page, 200, *got)


# --- Stripe and Monerium ---------------------------------------------------------------------------------------------


def stripe(path: str, answer: bytes | str, status: int = 200, account: str | None = None) -> Call:
    headers: Pairs = (("Authorization", None), ("Stripe-Version", "2025-12-15.clover"))
    named = (*headers, ("Stripe-Account", account)) if account else headers
    return call("GET", f"https://api.stripe.com/v1/{path}", named, b"", answer, status)


def charges(*ids: str, **members: Any) -> str:
    data = [{"id": each, "object": "charge"} for each in ids]
    return json.dumps({"object": "list", "url": "/v1/charges", "data": data, "has_more": False, **members})


ADDRESS = "0x1234567890ABCDEF1234567890abcdef12345678"
ORDER = {
    "id": "order-1",
    "kind": "issue",
    "state": "processed",
    "amount": "100.00",
    "currency": "eur",
    "chain": "gnosis",
    "address": ADDRESS,
}
BLOCK = {"number": "0x2a", "hash": "0x" + "ab" * 32, "timestamp": "0x6774"}
BALANCE = "0x" + "0" * 62 + "ff"


def order(answer: bytes | str, status: int = 200) -> Call:
    headers = (("Authorization", None), ("Accept", "application/vnd.monerium.api-v2+json"))
    return call("GET", "https://api.monerium.app/orders/order-1", headers, b"", answer, status)


def rpc(sent: bytes, number: int, result: object, status: int = 200, **members: Any) -> Call:
    headers = (("Content-Type", "application/json"), ("Accept", "application/json"))
    answer = json.dumps({"jsonrpc": "2.0", "id": number, "result": result, **members})
    return call("POST", "https://rpc.gnosischain.com/", headers, sent, answer, status)


def block(result: object = BLOCK, **more: Any) -> Call:
    return rpc(b'{"jsonrpc":"2.0","method":"eth_getBlockByNumber","params":["latest",false],"id":2}', 2, result, **more)


def balance(result: object = BALANCE, **more: Any) -> Call:
    data = f"0x70a08231{'0' * 24}{ADDRESS[2:].lower()}"
    sent = (
        '{"jsonrpc":"2.0","method":"eth_call","params":[{"to":"0xcb444e90d8198415266c6a2724b7900fb12fc56e",'
        f'"data":"{data}"}},"0x2a"],"id":1}}'
    )
    return rpc(sent.encode(), 1, result, **more)
