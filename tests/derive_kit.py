"""Handlers and derivations before one script of answers: what both need, and answers made by hand.

What a derivation gets of each call is what a statement has: credentials withheld, parameters nowhere.
"""

import hashlib
import json
from typing import Any

from enclave_worker.handlers import HANDLERS
from enclave_worker.handlers.errors import OperationFailed, ParamsRefused
from enclave_worker.handlers.operation import Ask, Got
from tytle_verifier.derive.operations import OPERATIONS
from tytle_verifier.derive.trace import Call, CallsEnded, Trace, Unanswered
from tytle_verifier.statement import Digest, SentRequest

THEIRS = {operation.name: operation for row in HANDLERS.values() for operation in row}
SECRET = {"authorization", "cookie"}
Script = list[Got]
Case = tuple[str, dict[str, Any], Script]
Outcome = tuple[str, Any]


class NoAnswer(Exception):
    """The script is over: a fetch that fails."""


def got(body: str | bytes, status: int = 200, *headers: tuple[str, str]) -> Got:
    return Got(status=status, headers=headers, body=body.encode() if isinstance(body, str) else body)


def run_handler(name: str, params: dict[str, Any], script: Script) -> tuple[Outcome, tuple[Call, ...]]:
    """Return what the enclave's handler makes of the script, and the calls as a statement has them."""
    calls: list[Call] = []

    def fetch(ask: Ask) -> Got:
        if len(calls) == len(script):
            raise NoAnswer
        calls.append(stated(ask, script[len(calls)]))
        return script[len(calls) - 1]

    try:
        return ("values", dict(THEIRS[name].run(params, fetch))), tuple(calls)
    except OperationFailed as error:
        return ("code", error.code), tuple(calls)
    except NoAnswer:
        return ("no answer", ""), tuple(calls)
    except ParamsRefused:
        return ("refused", ""), ()


def stated(ask: Ask, answer: Got) -> Call:
    body = ask.body or b""
    headers = tuple((name, None if name.lower() in SECRET else value.encode()) for name, value in ask.headers)
    request = SentRequest(
        method=ask.method,
        url=ask.url,
        headers=headers,
        body=Digest(sha256=hashlib.sha256(body).digest(), length=len(body)),
    )
    received = tuple((name, value.encode("latin-1")) for name, value in answer.headers)
    return Call(request=request, status=answer.status, headers=received, body=answer.body)


def run_derivation(name: str, calls: tuple[Call, ...], claimed: dict[str, Any] | None) -> Outcome:
    """Return what the derivation makes of the same calls; all of them must be needed."""
    trace = Trace(calls=calls, claimed=claimed)
    try:
        outcome: Outcome = "values", dict(OPERATIONS[name].run(trace))
    except Unanswered as error:
        outcome = "code", error.code
    except CallsEnded:
        outcome = "no answer", ""
    assert trace.taken == len(calls)
    return outcome


def agree(name: str, params: dict[str, Any], script: Script) -> Outcome:
    """Demand one outcome of both sides, and return it."""
    theirs, calls = run_handler(name, params, script)
    if theirs[0] == "refused":
        return theirs
    ours = run_derivation(name, calls, theirs[1] if theirs[0] == "values" else None)
    assert ours == theirs
    if theirs[0] == "values":
        assert {key: type(value) for key, value in ours[1].items()} == {k: type(v) for k, v in theirs[1].items()}
        record = THEIRS[name].record
        assert record is not None
        assert OPERATIONS[name].record(ours[1]) == record(theirs[1])
    return ours


BLOCK = json.dumps(
    {
        "jsonrpc": "2.0",
        "id": 2,
        "result": {"number": "0x2a", "hash": "0x" + "ab" * 32, "timestamp": "0x6774", "extra": [1, {"a": None}]},
    }
)
PT = {"countryCode": "PT", "vatNumber": "507172230"}
T = "urn:ec.europa.eu:taxud:vies:services:checkVat:types"
SOAP = (
    '<?xml version="1.0" encoding="UTF-8"?><env:Envelope xmlns:env="http://schemas.xmlsoap.org/soap/envelope/" '
    'xmlns:i="http://www.w3.org/2001/XMLSchema-instance"><env:Header/><env:Body>'
    f'<n:checkVatResponse xmlns:n="{T}"><n:countryCode>PT</n:countryCode><n:vatNumber>507172230</n:vatNumber>'
    "<n:requestDate>2025-01-01+01:00</n:requestDate><n:valid>true</n:valid><n:name>A &amp; B<!-- c --> Lda</n:name>"
    '<n:address i:nil="true"/></n:checkVatResponse></env:Body></env:Envelope>'
)
FAULT = (
    '<env:Envelope xmlns:env="http://schemas.xmlsoap.org/soap/envelope/"><env:Body><env:Fault>'
    "<faultcode>env:Server</faultcode><faultstring>MS_UNAVAILABLE</faultstring></env:Fault></env:Body></env:Envelope>"
)
REST = json.dumps(
    {**PT, "valid": True, "name": "---", "address": "RUA 1\nPORTO", "requestDate": "2025-01-01T10:00:00Z"}
)
BUSY = '{"actionSucceed": false, "errorWrappers": [{"error": "MS_UNAVAILABLE"}]}'
HMRC = json.dumps(
    {
        "target": {
            "name": "ACME LTD",
            "vatNumber": "553557881",
            "address": {
                "line1": "131B Barton Hamlet",
                "line2": None,
                "line5": "",
                "postcode": "SW97",
                "countryCode": "GB",
            },
        },
        "processingDate": "2019-01-29T16:34:20+00:00",
    }
)
ACCOUNT = json.dumps(
    {"id": "acct_1", "object": "account", "country": "PT", "default_currency": "eur", "charges_enabled": True}
)
INTENT = json.dumps(
    {
        "id": "pi_1",
        "object": "payment_intent",
        "amount": 1099,
        "amount_received": 0,
        "currency": "eur",
        "livemode": False,
    }
)
CHARGES = json.dumps(
    {
        "object": "list",
        "url": "/v1/charges",
        "has_more": True,
        "data": [
            {"id": "ch_1", "object": "charge", "livemode": True},
            {"id": "ch_2", "object": "charge", "livemode": True},
        ],
    }
)
KEY = {"apiKey": "sk_test_123"}
PAGED = {**KEY, "stripeAccount": "acct_1", "queryParams": {"limit": 2, "starting_after": "ch_0", "created[gte]": 5}}
FOUND = '{"error": {"type": "invalid_request_error", "code": "resource_missing", "message": "No such charge"}}'
ORDER_ID = "a1b2c3d4-e5f6-7890-abcd-ef1234567890"
ORDER = json.dumps(
    {
        "id": ORDER_ID,
        "address": "0x1234567890ABCDEF1234567890abcdef12345678",
        "kind": "issue",
        "chain": "gnosis",
        "amount": "100.00",
        "currency": "eur",
        "state": "processed",
    }
)
BALANCE = json.dumps({"jsonrpc": "2.0", "id": 1, "result": "0x" + "0" * 62 + "ff"})
MONERIUM = {"accessToken": "token", "orderId": ORDER_ID}
FORM = (
    '<form><input name="__VIEWSTATE" value="dDw="><input id="__EVENTVALIDATION" value="dDw9">'
    '<input name="ctl00$MainContent$ipNipc"></form>'
)
COMPANY = (
    '<table id="ConsultaDataGrid"><tr><th>NIPC</th><th>Denom</th><th>CAE</th><th>Sec</th></tr><tr><td>513032525</td>'
    '<td><div title="A &amp; B">A...</div></td><td><i title="Obras">71120</i></td><td>62010, 62020</td></tr></table>'
)
INVALID = "<b class=ClassErro>O campo 'NIPC' não é válido</b>"
MADE: list[Case] = [
    ("vies.check_vat", PT, [got(SOAP)]),
    ("vies.check_vat", PT, [got(FAULT, 500)]),
    ("vies.check_vat_rest", PT, [got(REST)]),
    ("vies.check_vat_rest", PT, [got(BUSY)]),
    ("hmrc.lookup", {"vatNumber": "553557881", "accessToken": "token"}, [got(HMRC)]),
    ("hmrc.lookup", {"vatNumber": "553557881", "accessToken": "token"}, [got('{"code": "NOT_FOUND"}', 404)]),
    ("stripe.list_charges", PAGED, [got(CHARGES)]),
    ("stripe.list_customers", KEY, [got('{"object": "list", "data": [], "has_more": false}')]),
    ("stripe.list_invoices", KEY, [got('{"object": "list", "data": [], "has_more": false}')]),
    ("stripe.get_account", {**KEY, "resourceId": "acct_1"}, [got(ACCOUNT)]),
    ("stripe.get_payment_intent", {**KEY, "resourceId": "pi_1"}, [got(INTENT)]),
    ("stripe.get_charge", {**KEY, "resourceId": "ch_1"}, [got(FOUND, 404)]),
    ("sicae.lookup", {"nif": "513032525"}, [got(FORM), got(COMPANY)]),
    (
        "sicae.lookup",
        {"nif": "513032525"},
        [got(FORM), got("?"), got(FORM), got("<b class=ClassErro>" + INVALID + "</b>")],
    ),
    ("monerium.order_with_balance", MONERIUM, [got(ORDER), got(BLOCK), got(BALANCE)]),
    ("monerium.order_with_balance", MONERIUM, [got('{"code": 404}', 404)]),
]


FRAGMENTS = [
    *(b'"', b"'", b"<", b">", b"/", b"&", b"=", b"{", b"}", b"[", b"]", b",", b":", b" ", b"\n", b"\x00", b"\xff"),
    *(b"null", b"true", b"1", b"-1", b"1.0", b"1e2", b'""', b"\\ud800", b"\\u0041", b"9" * 20, b"0x0", b'"id":1,'),
    *(
        b"<!-- x -->",
        b"<![CDATA[x]]>",
        b"<!DOCTYPE x>",
        b"<?pi?>",
        b"&amp;",
        b"&#65;",
        b"&#x0;",
        b"&eacute;",
        b"&bomb;",
    ),
    *(b"<td>", b"</td>", b"<tr>", b"</tr>", b"<table>", b"</table>", b"<br/>", b"<script>", b"</script>", b"<div>"),
    *(
        b'<span title="x">',
        b"</span>",
        b"</div>",
        b" title=x ",
        b' class="a ClassErro"',
        b"12345",
        b", 54321",
        b"\xc2\xa0",
    ),
    *(
        b"<tbody>",
        b"<th colspan=2>",
        b"<title>",
        b"\xef\xbb\xbf",
        b"\r\n",
        b"\r",
        b"---",
        b"NOT_FOUND",
        b"MS_UNAVAILABLE",
    ),
    *(
        b'<x xmlns:z="a b"/>',
        b"<![",
        b"<title/>",
        b"</title\n x>",
        b"</script x>",
        b"<textarea>",
        b"<template>",
        b"<p title>",
    ),
    *(b"</br>", b"&nbsp;", b"&NewLine;", b"&#160;", b"&#128;", b"&quot", b"&lt;td>", b"<title><script/></title>"),
    *(b' i:nil="1"', b"<n:valid>1</n:valid>", b'<input name="__VIEWSTATE" value="x">', b"513032525", b"\xe2\x80\x83"),
]


def edited(body: bytes, edits: list[tuple[float, int, bytes]]) -> bytes:
    for where, length, fragment in edits:
        at = round(where * len(body))
        body = body[:at] + fragment + body[at + length :]
    return body
