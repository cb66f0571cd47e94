"""Derivations of Stripe and Monerium: every rule of DERIVATIONS.md's P1 to P3, each with what breaks it."""

import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest
import verifier_derivations as made
from hypothesis import given
from hypothesis import strategies as st
from verifier_derivations import BLOCK, ORDER, answered, balance, block, charges, order, outcome, stripe

from tytle_verifier import DerivationError
from tytle_verifier.derive import monerium
from tytle_verifier.derive import stripe as derived_stripe

MALFORMED, MISMATCH, FAULT = "upstream-malformed", "upstream-mismatch", "upstream-fault"
UNAVAILABLE, UNAUTHORISED = "upstream-unavailable", "upstream-unauthorised"
STATUSES = [
    (429, UNAVAILABLE),
    (503, UNAVAILABLE),
    (401, UNAUTHORISED),
    (403, UNAUTHORISED),
    (402, FAULT),
    (302, MALFORMED),
]


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


# --- Stripe, lists ---------------------------------------------------------------------------------------------------

PAGE: dict[str, Any] = {
    **dict.fromkeys(("stripeAccount", "query", "limit", "startingAfter", "endingBefore", "livemode")),
    "count": 2,
    "hasMore": False,
    "firstId": "ch_1",
    "lastId": "ch_2",
    "dataHash": digest(charges("ch_1", "ch_2")),
}


def listed(answer: str, query: str = "", **more: Any) -> Any:
    return outcome("stripe.list_charges", stripe(f"charges{query}", answer, **more))


def test_a_page_gives_its_values() -> None:
    assert listed(charges("ch_1", "ch_2")) == PAGE
    query = "limit=2&starting_after=ch_0&created%5Bgte%5D=5&email=a%20b%40x"
    asked = {"stripeAccount": "acct_1", "query": query, "limit": 2, "startingAfter": "ch_0"}
    assert listed(charges("ch_1", "ch_2"), f"?{query}", account="acct_1") == {**PAGE, **asked}


def test_an_empty_page_and_one_of_live_objects_give_their_values() -> None:
    empty = {"count": 0, "firstId": None, "lastId": None, "dataHash": digest(charges())}
    assert listed(charges()) == {**PAGE, **empty}
    live = charges(data=[{"id": "ch_1", "object": "charge", "livemode": True}])
    assert listed(live) == {**PAGE, "count": 1, "lastId": "ch_1", "livemode": True, "dataHash": digest(live)}


MIXED = [{"id": "ch_1", "object": "charge", "livemode": True}, {"id": "ch_2", "object": "charge"}]


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ("[]", MALFORMED),
        (charges(object="charge"), MALFORMED),
        (charges(url=1), MALFORMED),
        (charges(url="/v1/customers"), MISMATCH),
        (charges(url="/v1/customers", data=1), MISMATCH),
        (charges(data="abc"), MALFORMED),
        (charges(data=[1]), MALFORMED),
        (charges(data=[{"id": "cus_1", "object": "customer"}]), MALFORMED),
        (charges(data=[{"object": "charge"}]), MALFORMED),
        (charges("é"), MALFORMED),
        (charges("x" * 256), MALFORMED),
        (charges(data=[{"id": "ch_1", "object": "charge", "livemode": 1}]), MALFORMED),
        (charges(data=MIXED), MALFORMED),
        (charges("ch_1", "ch_1"), MALFORMED),
        (charges("ch_1", has_more="no"), MALFORMED),
        (charges("ch_1", has_more=None), MALFORMED),
        (charges(has_more=True), MALFORMED),
        (charges(*(f"ch_{n}" for n in range(101))), MISMATCH),
        (charges("ch_1", "ch_1", has_more=0), MALFORMED),
    ],
)
def test_another_page_has_its_code(answer: str, code: str) -> None:
    assert listed(answer) == code


def test_a_page_fits_what_was_asked() -> None:
    for query in ("?limit=1", "?starting_after=ch_2", "?ending_before=ch_1"):
        assert listed(charges("ch_1", "ch_2"), query) == MISMATCH


@pytest.mark.parametrize(("status", "code"), [*STATUSES, (404, FAULT)])
def test_a_list_with_another_status_has_its_code(status: int, code: str) -> None:
    assert listed(charges(), status=status) == code


@pytest.mark.parametrize(
    "query",
    [
        *(
            "?",
            "?limit=0",
            "?limit=01",
            "?limit=101",
            "?limit",
            "?a=",
            "?a=1&a=2",
            "?A=1",
            "?a=%61",
            "?a=%C3",
            "?a=%0a",
        ),
        *("?a=%2", "?starting_after=a&ending_before=b", "?" + "&".join(f"a{'_' * n}=1" for n in range(33)), "?a=b=c"),
    ],
)
def test_a_query_that_no_operation_writes_is_a_contradiction(query: str) -> None:
    with pytest.raises(DerivationError, match="URL of call 1"):
        listed(charges(), query)


def test_another_path_account_or_version_is_a_contradiction() -> None:
    with pytest.raises(DerivationError, match="URL of call 1"):
        outcome("stripe.list_charges", stripe("customers", charges()))
    with pytest.raises(DerivationError, match="Stripe-Account"):
        listed(charges(), account="other")
    call = stripe("charges", charges())
    other = (call.request.headers[0], ("Stripe-Version", b"2020-08-27"))
    with pytest.raises(DerivationError, match="Stripe-Version"):
        outcome("stripe.list_charges", replace(call, request=replace(call.request, headers=other)))


# --- Stripe, objects -------------------------------------------------------------------------------------------------

CHARGE = {
    "id": "ch_1",
    "object": "charge",
    "amount": 1099,
    "amount_captured": 0,
    "currency": "eur",
    "status": "paid",
}
CHARGE_VALUES = {
    "stripeAccount": None,
    "query": None,
    "id": "ch_1",
    "found": True,
    "amount": 1099,
    "amountCaptured": 0,
    "amountRefunded": None,
    "currency": "eur",
    "status": "paid",
    "livemode": None,
}


def got(answer: dict[str, Any], status: int = 200) -> Any:
    values = outcome("stripe.get_charge", stripe("charges/ch_1", json.dumps(answer), status))
    if isinstance(values, dict):
        assert values.pop("dataHash") == digest(json.dumps(answer))
    return values


def test_an_object_gives_its_values() -> None:
    assert got(CHARGE) == CHARGE_VALUES
    account = json.dumps({"id": "acct_1", "object": "account", "country": "PT", "payouts_enabled": False})
    values = outcome("stripe.get_account", stripe("accounts/acct_1?expand%5B%5D=x", account))
    assert values == {
        "stripeAccount": None,
        "query": "expand%5B%5D=x",
        "id": "acct_1",
        "found": True,
        "country": "PT",
        "defaultCurrency": None,
        "chargesEnabled": None,
        "payoutsEnabled": False,
        "detailsSubmitted": None,
        "dataHash": digest(account),
    }
    intent = json.dumps({"id": "pi_1", "object": "payment_intent", "amount_received": 2**63 - 1})
    assert outcome("stripe.get_payment_intent", stripe("payment_intents/pi_1", intent))["amountReceived"] == 2**63 - 1


@pytest.mark.parametrize(
    ("differs", "code"),
    [
        ({"object": "refund"}, MALFORMED),
        ({"id": None}, MALFORMED),
        ({"id": "ch_2"}, MISMATCH),
        ({"amount": "1099"}, MALFORMED),
        ({"amount": 1.0}, MALFORMED),
        ({"amount": True}, MALFORMED),
        ({"amount": -1}, MALFORMED),
        ({"amount": 2**63}, MALFORMED),
        ({"currency": "EUR"}, MALFORMED),
        ({"status": "x" * 32}, MALFORMED),
        ({"livemode": "true"}, MALFORMED),
    ],
)
def test_another_object_has_its_code(differs: dict[str, Any], code: str) -> None:
    assert got({**CHARGE, **differs}) == code


@pytest.mark.parametrize(("status", "code"), STATUSES)
def test_an_object_with_another_status_has_its_code(status: int, code: str) -> None:
    assert got(CHARGE, status) == code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ({"type": "invalid_request_error"}, None),
        ({"type": "invalid_request_error", "code": "resource_missing", "message": "No such charge"}, None),
        ({"type": "invalid_request_error", "code": "other"}, FAULT),
        ({"type": "invalid_request_error", "message": "Unrecognized request URL (GET: /x)"}, FAULT),
        ({"type": "invalid_request_error", "code": 1}, MALFORMED),
        ({"type": "invalid_request_error", "message": 1}, MALFORMED),
        ({"type": "api_error", "code": 1}, FAULT),
        ({}, MALFORMED),
        (None, MALFORMED),
    ],
)
def test_a_404_counts_with_stripes_own_error_only(error: Any, code: str | None) -> None:
    missing = {**dict.fromkeys(CHARGE_VALUES), "id": "ch_1", "found": False}
    assert got({"error": error}, 404) == (code or missing)


def test_the_predecessors_records_of_stripe() -> None:
    record = derived_stripe.record
    page = {"operation": "list_charges", "accountId": None, "objectType": "list", "dataHash": PAGE["dataHash"]}
    assert record("stripe.list_charges", {**PAGE, "hasMore": True}) == {**page, "totalCount": 2, "hasMore": 1}
    charge = {"operation": "get_charge", "accountId": None, "objectType": "charge", "dataHash": "x"}
    one = {**CHARGE_VALUES, "dataHash": "x"}
    assert record("stripe.get_charge", one) == {**charge, "totalCount": 0, "hasMore": 0}
    missing = record("stripe.get_charge", {**one, "found": False})
    assert missing == {**charge, "objectType": "not_found", "totalCount": 0, "hasMore": 0}


# --- Monerium --------------------------------------------------------------------------------------------------------

NAME = "monerium.order_with_balance"
FIRST = json.dumps(ORDER)
THIRD = balance().body
ORDER_VALUES = {
    "orderId": "order-1",
    "found": True,
    "kind": "issue",
    "state": "processed",
    "amount": "100.00",
    "currency": "eur",
    "chain": "gnosis",
    "address": made.ADDRESS.lower(),
    "contract": monerium.CONTRACT,
    "blockNumber": 42,
    "blockHash": "0x" + "ab" * 32,
    "blockTime": 0x6774,
    "balance": 255,
    "dataHash": hashlib.sha256(FIRST.encode() + b"\n" + THIRD).hexdigest(),
}
ABSENT = {**dict.fromkeys(ORDER_VALUES), "orderId": "order-1", "found": False}


def test_an_order_gives_its_values_and_the_balance_in_one_block() -> None:
    assert outcome(NAME, order(FIRST), block(), balance()) == ORDER_VALUES
    largest = outcome(NAME, order(FIRST), block(), balance("0x" + "f" * 64))
    assert largest["balance"] == 2**256 - 1
    assert outcome(NAME, order(FIRST), block(), balance("0x0"))["balance"] == 0


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ('{"code":404}', None),
        ('{"error":"not_found"}', None),
        ('{"code":"404"}', FAULT),
        ('{"code":404.0}', FAULT),
        ('{"code":null,"error":"not_found"}', FAULT),
        ("{}", FAULT),
        ("<html>", MALFORMED),
    ],
)
def test_an_order_that_does_not_exist_needs_moneriums_own_error(body: str, code: str | None) -> None:
    assert outcome(NAME, order(body, 404)) == (code or {**ABSENT, "dataHash": digest(body)})


@pytest.mark.parametrize(
    ("differs", "code"),
    [
        ({"id": "order-2"}, MISMATCH),
        ({"id": "order 1"}, MALFORMED),
        ({"chain": "ethereum"}, MISMATCH),
        ({"chain": None}, MALFORMED),
        ({"currency": "gbp"}, MISMATCH),
        ({"currency": "EUR"}, MALFORMED),
        ({"kind": "mint"}, MALFORMED),
        ({"state": "done"}, MALFORMED),
        ({"amount": 100}, MALFORMED),
        ({"amount": "0100"}, MALFORMED),
        ({"address": "0x12"}, MALFORMED),
        ({"chain": "ethereum", "kind": "mint"}, MISMATCH),
    ],
)
def test_another_order_has_its_code(differs: dict[str, Any], code: str) -> None:
    assert outcome(NAME, order(json.dumps({**ORDER, **differs}))) == code


@pytest.mark.parametrize(("status", "code"), STATUSES)
def test_each_call_with_another_status_has_its_code(status: int, code: str) -> None:
    assert outcome(NAME, order(FIRST, status)) == code
    assert outcome(NAME, order(FIRST), block(status=status)) == code
    assert outcome(NAME, order(FIRST), block(), balance(status=status)) == code


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({"error": {"code": -32005}}, UNAVAILABLE),
        ({"error": {"code": -32005.0}}, FAULT),
        ({"error": {}}, FAULT),
        ({"error": "x"}, MALFORMED),
        ({"jsonrpc": "1.0"}, MALFORMED),
        ({"id": 3}, MISMATCH),
        ({"id": "2"}, MALFORMED),
        ({"result": {**BLOCK, "number": "0x02a"}}, MALFORMED),
        ({"result": {**BLOCK, "number": hex(2**63)}}, MALFORMED),
        ({"result": {**BLOCK, "hash": "0xAB"}}, MALFORMED),
        ({"result": {**BLOCK, "timestamp": 5}}, MALFORMED),
        ({"result": None}, MALFORMED),
    ],
)
def test_another_block_has_its_code(members: dict[str, Any], code: str) -> None:
    answer = json.dumps({"jsonrpc": "2.0", "id": 2, "result": BLOCK, **members})
    assert outcome(NAME, order(FIRST), answered(block(), answer)) == code


@pytest.mark.parametrize("result", ["0x", "255", "0x00ff", "0x" + "F" * 64, "0x" + "0" * 65, 255, None])
def test_another_balance_is_malformed(result: object) -> None:
    assert outcome(NAME, order(FIRST), block(), balance(result)) == MALFORMED


def test_a_question_about_another_address_or_block_is_a_contradiction() -> None:
    other = json.dumps({**ORDER, "address": "0x" + "1" * 40})
    with pytest.raises(DerivationError, match="request body of call 3"):
        outcome(NAME, order(other), block(), balance())
    with pytest.raises(DerivationError, match="request body of call 3"):
        outcome(NAME, order(FIRST), block({**BLOCK, "number": "0x2b"}), balance())


def test_another_id_in_the_url_is_a_contradiction() -> None:
    for call, operation in (
        (stripe("charges/..", "{}"), "stripe.get_charge"),
        (stripe("charges/ch_1?a", "{}"), "stripe.get_charge"),
        (stripe("accounts/acct_1", "{}"), "stripe.get_charge"),
        (
            replace(order(FIRST), request=replace(order(FIRST).request, url="https://api.monerium.app/orders/a%20b")),
            NAME,
        ),
    ):
        with pytest.raises(DerivationError, match="URL of call 1"):
            outcome(operation, call)


def test_the_predecessors_record_of_monerium() -> None:
    record = {"orderId": "order-1", "state": "processed", "orderAmount": "100.00", "currency": "eur", "balance": 255}
    assert monerium.record(ORDER_VALUES) == {**record, "dataHash": ORDER_VALUES["dataHash"]}
    missing = monerium.record({**ABSENT, "dataHash": "x"})
    assert missing == {
        **dict.fromkeys(record),
        "orderId": "order-1",
        "state": "not_found",
        "balance": 0,
        "dataHash": "x",
    }


@given(st.binary(max_size=80) | st.text(max_size=40).map(str.encode), st.sampled_from([200, 404, 500]))
def test_any_answer_gives_values_or_a_code(answer: bytes, status: int) -> None:
    for operation, path in (("stripe.list_charges", "charges"), ("stripe.get_charge", "charges/ch_1")):
        assert isinstance(outcome(operation, stripe(path, answer, status)), str | dict)
    for calls in ([answered(order(""), answer, status)], [order(FIRST), answered(block(), answer, status)]):
        assert isinstance(outcome(NAME, *calls), str | dict)
    assert isinstance(outcome(NAME, order(FIRST), block(), answered(balance(), answer, status)), str | dict)
