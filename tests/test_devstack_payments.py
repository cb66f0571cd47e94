"""The stand-ins for Stripe, Monerium and a Gnosis node: right where the real ones are right, and wrong as they are."""

import json
from typing import Any
from urllib.parse import parse_qsl

import pytest

from devstack import gnosis, monerium, stripe
from devstack.gnosis import Gnosis
from devstack.monerium import Monerium
from devstack.stripe import Stripe
from devstack.upstream import Request, Response

KEY = {"authorization": f"Bearer {stripe.KEY}"}


def body_of(response: Response) -> Any:
    return json.loads(response.body)


def read(target: str, headers: dict[str, str] | None = None, at: Stripe | None = None, method: str = "GET") -> Response:
    path, _, query = target.partition("?")
    pairs = tuple(parse_qsl(query, keep_blank_values=True))
    return (at or Stripe())(
        Request(method=method, host=stripe.HOST, path=path, query=pairs, headers=KEY if headers is None else headers)
    )


def test_a_list_is_newest_first_with_ten_of_a_page_by_default() -> None:
    page = body_of(read("/v1/charges"))
    assert (page["object"], page["url"], page["has_more"], len(page["data"])) == ("list", "/v1/charges", True, 10)
    assert [each["created"] for each in page["data"]] == sorted(
        (each["created"] for each in page["data"]), reverse=True
    )
    assert {(each["object"], each["livemode"]) for each in page["data"]} == {("charge", False)}


def test_cursors_lead_forwards_and_back() -> None:
    first = body_of(read("/v1/invoices?limit=20"))
    last = body_of(read(f"/v1/invoices?limit=20&starting_after={first['data'][-1]['id']}"))
    assert (first["has_more"], last["has_more"], len(last["data"])) == (True, False, 5)
    back = body_of(read(f"/v1/invoices?limit=20&ending_before={last['data'][0]['id']}"))
    assert (back["data"], back["has_more"]) == (first["data"], False)
    assert body_of(read(f"/v1/invoices?limit=2&ending_before={last['data'][0]['id']}"))["has_more"] is True


def test_filters_compare_and_customers_are_expanded() -> None:
    page = body_of(read(f"/v1/charges?created[lt]={stripe.FIRST_CREATED + 7200}&expand[]=data.customer"))
    assert [each["customer"]["object"] for each in page["data"]] == ["customer", "customer"]
    [only] = body_of(read("/v1/charges?customer=cus_Dev00000000000000000003"))["data"]
    assert body_of(read(f"/v1/charges/{only['id']}?expand[0]=customer"))["customer"]["id"] == only["customer"]


@pytest.mark.parametrize(
    ("target", "status", "code"),
    [
        ("/v1/charges/ch_none", 404, "resource_missing"),
        ("/v1/payment_intents/pi_none", 404, "resource_missing"),
        ("/v1/charges?starting_after=ch_none", 400, "resource_missing"),
        ("/v1/charges?limit=0", 400, "parameter_invalid_integer"),
        ("/v1/charges?q=1", 400, "parameter_unknown"),
        ("/v1/charges/ch_1?limit=1", 400, "parameter_unknown"),
        ("/v1/accounts/acct_none", 403, "account_invalid"),
        ("/v1/nothing", 404, None),
        ("/v2/charges", 404, None),
        ("/", 404, None),
    ],
)
def test_an_error_has_stripe_s_shape(target: str, status: int, code: str | None) -> None:
    response = read(target)
    error = body_of(response)["error"]
    assert (response.status, error.get("code"), error["type"]) == (status, code, "invalid_request_error")


def test_a_missing_and_a_wrong_key_are_401_and_the_key_is_masked() -> None:
    for headers in ({}, {"authorization": "Bearer sk_test_hunter2SECRET99"}):
        response = read("/v1/charges", headers)
        assert response.status == 401
        assert b"hunter2" not in response.body
    assert read("/v1/charges", {**KEY, "stripe-account": "acct_none"}).status == 403


def test_it_changes_nothing_and_can_be_made_to_fail_or_to_answer_for_another() -> None:
    assert read("/v1/charges", method="POST").status == 404
    made = Stripe(faults={"/v1/charges": stripe.RATE_LIMITED}, aliases={"ch_a": "ch_3Dev00000000000000000000"})
    assert read("/v1/charges", at=made).status == 429
    assert body_of(read("/v1/charges/ch_a", at=made))["id"] == "ch_3Dev00000000000000000000"


def order(identifier: str, at: Monerium | None = None, **headers: str) -> Response:
    sent = {"authorization": f"Bearer {monerium.TOKEN}", "accept": monerium.ACCEPT, **headers}
    request = Request(method="GET", host=monerium.HOST, path=f"/orders/{identifier}", headers=sent)
    return (at or Monerium())(request)


def test_an_order_is_found_with_version_two_and_the_token_only() -> None:
    assert body_of(order(monerium.ORDER_ID)) == monerium.order()
    assert body_of(order("none")) == {"code": 404, "status": "Not Found", "message": "Order not found"}
    assert order(monerium.ORDER_ID, accept="application/json").status == 404
    assert body_of(order(monerium.ORDER_ID, authorization="Bearer x"))["code"] == 401


def rpc(node: Gnosis, method: str, *params: Any, number: Any = 1) -> Any:
    question = {"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)}
    return body_of(node(Request(method="POST", host=gnosis.HOST, path="/", body=json.dumps(question).encode())))


def balance(node: Gnosis, block: str, to: str = gnosis.EURE) -> Any:
    data = gnosis.BALANCE_OF + gnosis.HOLDER[2:].rjust(64, "0")
    return rpc(node, "eth_call", {"to": to, "data": data}, block)


def test_the_chain_grows_and_a_block_s_balance_stays() -> None:
    node = Gnosis(growth=1)
    first = rpc(node, "eth_getBlockByNumber", "latest", False)["result"]
    assert rpc(node, "eth_blockNumber", number=7) == {
        "jsonrpc": "2.0",
        "id": 7,
        "result": hex(int(first["number"], 16) + 1),
    }
    assert rpc(node, "eth_getBlockByNumber", first["number"], False)["result"] == first
    assert int(balance(node, first["number"])["result"], 16) == gnosis.HUNDRED + 1
    assert int(balance(node, "latest")["result"], 16) == gnosis.HUNDRED + 2
    assert rpc(node, "eth_chainId")["result"] == "0x64"


def test_the_node_s_errors_come_with_status_200_and_an_address_without_code_gives_0x() -> None:
    node = Gnosis()
    assert balance(node, "latest", to=gnosis.HOLDER)["result"] == "0x"
    assert rpc(node, "eth_getBlockByNumber", "0x1", False)["result"] is None
    assert rpc(node, "eth_nothing")["error"]["code"] == -32601
    assert rpc(node, "eth_call", {}, "latest")["error"]["code"] == -32602
    assert balance(Gnosis(latest_only=True), hex(gnosis.FIRST_BLOCK))["error"]["code"] == -32000
    for method, path, body in (("POST", "/", b"?"), ("POST", "/", b"[]"), ("GET", "/", b""), ("POST", "/x", b"")):
        response = node(Request(method=method, host=gnosis.HOST, path=path, body=body))
        assert response.status == 404 or body_of(response)["error"]["code"] == -32700
