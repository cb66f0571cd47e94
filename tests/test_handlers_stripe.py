"""stripe.*: what a page or an object must look like to be a result, and what comes of everything else."""

import json
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclave_worker.fields.versioned import encode
from enclave_worker.handlers.errors import OperationFailed, ParamsRefused
from enclave_worker.handlers.operation import Got, Values
from enclave_worker.handlers.stripe import LISTS, OBJECTS, OPERATIONS
from policy.errors import Refused
from tests.pay_kit import MANIFESTS, Script, fields_of, got, operation, run

KEY = "sk_test_hunter2SECRET"
CHARGE_ID = "ch_3Ln3fO2eZvKYlo2C1kqP3AMr"
CHARGE = {
    "id": CHARGE_ID,
    "object": "charge",
    "amount": 5000,
    "amount_captured": 5000,
    "amount_refunded": 100,
    "currency": "eur",
    "status": "succeeded",
    "livemode": False,
}
IDS = {"get_charge": CHARGE_ID, "get_account": "acct_1032D82eZvKYlo2C", "get_payment_intent": "pi_3MtwBwLkdIwHu7ix28a3"}
NAMES = [each.name.removeprefix("stripe.") for each in OPERATIONS]


def page(*ids: str, more: Any = False, **changed: Any) -> dict[str, Any]:
    data = [{"id": each, "object": "charge", "livemode": False} for each in ids]
    return {"object": "list", "url": "/v1/charges", "data": data, "has_more": more, **changed}


def listed(body: Any, status: int = 200, **params: Any) -> Values:
    return run("stripe.list_charges", {"apiKey": KEY, **params}, got(body, status))[0]


def charge(body: Any, status: int = 200, **params: Any) -> Values:
    return run("stripe.get_charge", {"apiKey": KEY, "resourceId": CHARGE_ID, **params}, got(body, status))[0]


def failure(call: Any, *given: Any, **params: Any) -> str:
    with pytest.raises(OperationFailed) as caught:
        call(*given, **params)
    return caught.value.code


def test_a_page_says_how_many_it_has_which_and_whether_more_follow() -> None:
    body = json.dumps(page("ch_3", "ch_2", "ch_1", more=True), indent=2).encode()
    values, [ask] = run(
        "stripe.list_charges",
        {"apiKey": KEY, "stripeAccount": "acct_xyz", "queryParams": {"limit": 3, "starting_after": "ch_4"}},
        got(body),
    )
    assert values == {
        "stripeAccount": "acct_xyz",
        "query": "limit=3&starting_after=ch_4",
        "limit": 3,
        "startingAfter": "ch_4",
        "endingBefore": None,
        "count": 3,
        "hasMore": True,
        "firstId": "ch_3",
        "lastId": "ch_1",
        "livemode": False,
        "dataHash": sha256(body).hexdigest(),
    }
    assert (ask.method, ask.url, ask.body) == ("GET", f"https://api.stripe.com/v1/charges?{values['query']}", None)
    assert ask.headers == (
        ("Authorization", f"Bearer {KEY}"),
        ("Stripe-Version", "2025-12-15.clover"),
        ("Stripe-Account", "acct_xyz"),
    )


def test_an_empty_page_has_no_first_id_and_no_mode() -> None:
    values = listed(page())
    assert (values["count"], values["hasMore"]) == (0, False)
    assert [values[key] for key in ("query", "limit", "firstId", "lastId", "livemode")] == [None] * 5


@pytest.mark.parametrize(
    "body",
    [
        page("ch_1", object="search_result"),
        page("ch_1", data="abc"),
        page("ch_1", data={"0": {}}),
        page("ch_1", data=["ch_1"]),
        page("ch_1", data=[None]),
        page("ch_1", data=[{"id": "ch_1"}]),
        page("ch_1", data=[{"id": "cus_1", "object": "customer"}]),
        page("ch_1", data=[{"object": "charge"}]),
        page("ch_1", data=[{"id": 1, "object": "charge"}]),
        page("ch_1", data=[{"id": "", "object": "charge"}]),
        page("ch_1", data=[{"id": "ch 1", "object": "charge"}]),
        page("ch_1", data=[{"id": "ch_1", "object": "charge", "livemode": "yes"}]),
        page("ch_1", "ch_1"),
        page("ch_1", data=[{"id": "a", "object": "charge", "livemode": each} for each in (True, False)]),
        page("ch_1", data=[{"id": f"{each}", "object": "charge", "livemode": each} for each in (True, False)]),
        page("ch_1", data=[{"id": "a", "object": "charge", "livemode": True}, {"id": "b", "object": "charge"}]),
        page("ch_1", more="no"),
        page("ch_1", more=None),
        page("ch_1", more=1),
        page(more=True),
        page("ch_1", url=7),
        {"object": "list", "data": [], "url": "/v1/charges"},
        {"object": "list", "has_more": False},
        [page("ch_1")],
        b"null",
        b"not json",
        b'{"object":"list","data":[],"has_more":true,"has_more":false}',
        b'{"object":"list","data":[],"has_more":NaN}',
        b"\xff",
        b"",
    ],
)
def test_what_is_no_page_of_charges_is_malformed(body: Any) -> None:
    assert failure(listed, body) == "upstream-malformed"


@pytest.mark.parametrize(
    ("body", "params"),
    [
        (page("ch_1", url="/v1/customers"), {}),
        (page("ch_2", "ch_1"), {"limit": 1}),
        (page("ch_2", "ch_1"), {"limit": "1"}),
        (page("ch_2", "ch_1"), {"starting_after": "ch_2"}),
        (page("ch_2", "ch_1"), {"ending_before": "ch_1"}),
        (page(*(f"ch_{number}" for number in range(101))), {}),
    ],
)
def test_a_page_that_cannot_be_the_one_asked_for_is_a_mismatch(body: Any, params: dict[str, Any]) -> None:
    assert failure(listed, body, queryParams=params) == "upstream-mismatch"


def test_an_object_is_the_one_asked_for_and_its_amounts_are_exact() -> None:
    body = json.dumps(CHARGE).encode()
    values, [ask] = run("stripe.get_charge", {"apiKey": KEY, "resourceId": CHARGE_ID}, got(body))
    assert values == {
        "stripeAccount": None,
        "query": None,
        "id": CHARGE_ID,
        "found": True,
        "amount": 5000,
        "amountCaptured": 5000,
        "amountRefunded": 100,
        "currency": "eur",
        "status": "succeeded",
        "livemode": False,
        "dataHash": sha256(body).hexdigest(),
    }
    assert ask.url == f"https://api.stripe.com/v1/charges/{CHARGE_ID}"


def test_what_an_object_does_not_say_is_absent_and_not_zero() -> None:
    values = charge({"id": CHARGE_ID, "object": "charge", "amount": 0, "currency": None})
    assert [values[key] for key in ("amount", "amountRefunded", "currency", "livemode")] == [0, None, None, None]


@pytest.mark.parametrize(
    "changed",
    [
        {"object": "refund"},
        {"object": None},
        {"id": None},
        {"id": 7},
        {"amount": 5000.0},
        {"amount": 1e3},
        {"amount": "5000"},
        {"amount": -1},
        {"amount": True},
        {"amount": 2**63},
        {"currency": "EUR"},
        {"currency": "euro"},
        {"status": "Succeeded"},
        {"status": "s" * 32},
        {"status": "\ud800"},
        {"livemode": 0},
        {"livemode": "false"},
    ],
)
def test_a_field_of_another_type_is_malformed(changed: dict[str, Any]) -> None:
    assert failure(charge, {**CHARGE, **changed}) == "upstream-malformed"


def test_another_object_than_the_one_asked_for_is_a_mismatch() -> None:
    assert failure(charge, {**CHARGE, "id": "ch_other"}) == "upstream-mismatch"


MISSING = {"type": "invalid_request_error", "code": "resource_missing", "message": "No such charge: 'ch_x'"}


def test_that_an_object_does_not_exist_is_a_result() -> None:
    values = charge({"error": MISSING}, 404)
    assert (values["id"], values["found"], values["amount"]) == (CHARGE_ID, False, None)
    assert charge({"error": {"type": "invalid_request_error"}}, 404)["found"] is False
    assert charge({"error": {**MISSING, "code": None}}, 404)["found"] is False


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"error": {**MISSING, "type": "api_error"}}, "upstream-fault"),
        ({"error": {**MISSING, "code": "account_invalid"}}, "upstream-fault"),
        (
            {"error": {"type": "invalid_request_error", "message": "Unrecognized request URL (GET: /v1)"}},
            "upstream-fault",
        ),
        ({"error": {"code": "resource_missing"}}, "upstream-malformed"),
        ({"error": {**MISSING, "message": 7}}, "upstream-malformed"),
        ({"error": "not_found"}, "upstream-malformed"),
        ({}, "upstream-malformed"),
        (CHARGE, "upstream-malformed"),
        (b"<html>404 Not Found</html>", "upstream-malformed"),
        (b"", "upstream-malformed"),
    ],
)
def test_a_404_of_another_kind_says_nothing_about_the_object(body: Any, code: str) -> None:
    assert failure(charge, body, 404) == code


@pytest.mark.parametrize("call", [listed, charge])
@pytest.mark.parametrize(
    ("status", "code"),
    [
        (201, "upstream-malformed"),
        (204, "upstream-malformed"),
        (302, "upstream-malformed"),
        (400, "upstream-fault"),
        (401, "upstream-unauthorised"),
        (402, "upstream-fault"),
        (403, "upstream-unauthorised"),
        (409, "upstream-fault"),
        (418, "upstream-fault"),
        (429, "upstream-unavailable"),
        (500, "upstream-unavailable"),
        (503, "upstream-unavailable"),
        (599, "upstream-unavailable"),
    ],
)
def test_no_other_status_than_200_has_a_result_whatever_its_body(call: Any, status: int, code: str) -> None:
    assert failure(call, page("ch_1") if call is listed else CHARGE, status) == code


def test_a_404_of_a_list_is_no_result() -> None:
    assert failure(listed, {"error": MISSING}, 404) == "upstream-fault"


@pytest.mark.parametrize(
    ("name", "params", "field"),
    [
        ("list_charges", {}, "apiKey"),
        *(
            ("list_charges", {"apiKey": key}, "apiKey")
            for key in (
                None, 7, "", "hunter2", "pk_test_hunter2", "sk_test_", "sk_test_a\r\nX: 1", "sk_test_a b", " " + KEY,
            )
        ),
        *(
            ("list_charges", {"apiKey": KEY, "stripeAccount": account}, "stripeAccount")
            for account in ("", 7, {}, ["acct_1"], "hunter2", "acct_1\n", "acct_" + "a" * 27)
        ),
        *(
            ("list_charges", {"apiKey": KEY, "queryParams": query}, "queryParams")
            for query in (
                "limit=hunter2", "", [], 7, {"": "1"}, {"a=b": "1"}, {"created[gte": "1"}, {"limit": "0"},
                {"limit": 101}, {"limit": " 1"}, {"limit": 1.0}, {"limit": True}, {"limit": None}, {"limit": []},
                {"limit": -1}, {"customer": ""}, {"customer": True}, {"customer": "a\nb"}, {"customer": "\ud800"},
                {"customer": "a" * 501}, {"created": 2**63}, {"starting_after": "ch_1", "ending_before": "ch_2"},
                {f"p{'x' * n}": "1" for n in range(33)},
            )
        ),
        *(
            ("get_charge", {"apiKey": KEY, "resourceId": resource}, "resourceId")
            for resource in (
                None, "", 7, "..", "ch_a/b%c", "ch_", "hunter2", "CH_1", "ch_1?a", "ch_é", "ch_" + "a" * 62,
            )
        ),
        ("get_charge", {"apiKey": KEY}, "resourceId"),
        ("get_account", {"apiKey": KEY}, "resourceId"),
        ("get_payment_intent", {"apiKey": KEY}, "resourceId"),
    ],
)  # fmt: skip
def test_params_of_another_shape_are_refused_before_a_fetch_and_not_repeated(
    name: str, params: Any, field: str
) -> None:
    script = Script("stripe-payment")
    with pytest.raises(ParamsRefused) as caught:
        operation(f"stripe.{name}").run(params, script)
    assert (caught.value.field, script.asks) == (field, [])
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("key", ["sk_test_123", "sk_live_51AbC", "rk_live_9", "rk_test_x_y", "sk_org_live_123"])
def test_secret_and_restricted_keys_are_accepted(key: str) -> None:
    assert run("stripe.list_charges", {"apiKey": key}, got(page()))[0]["count"] == 0


def test_a_filter_that_the_manifest_does_not_list_is_refused_by_the_policy() -> None:
    script = Script("stripe-payment")
    with pytest.raises(Refused, match="not in the list"):
        operation("stripe.list_charges").run({"apiKey": KEY, "queryParams": {"q": "hunter2"}}, script)
    assert script.asks == []


def test_a_filter_is_escaped_and_keeps_the_caller_s_order() -> None:
    query = {"created[gte]": 1700000000, "transfer_group": "a b+c&d=é*~", "limit": "10"}
    values, [ask] = run("stripe.list_charges", {"apiKey": KEY, "queryParams": query}, got(page()))
    assert values["query"] == "created%5Bgte%5D=1700000000&transfer_group=a%20b%2Bc%26d%3D%C3%A9%2A~&limit=10"
    assert ask.url == f"https://api.stripe.com/v1/charges?{values['query']}"


@pytest.mark.parametrize("name", NAMES)
def test_the_values_are_the_fields_of_the_schema_and_hold_no_key(name: str) -> None:
    params: dict[str, Any] = {"apiKey": KEY}
    if name in LISTS:
        kind = LISTS[name]
        body: Any = {
            "object": "list",
            "data": [{"id": "x_1", "object": kind.object}],
            "has_more": True,
            "url": kind.path,
        }
    else:
        params["resourceId"] = IDS[name]
        body = {"id": IDS[name], "object": OBJECTS[name].object}
    values, [ask] = run(f"stripe.{name}", params, got(body))
    assert list(values) == fields_of(f"stripe.{name}")
    assert ask.url.startswith("https://api.stripe.com" + (LISTS | OBJECTS)[name].path)
    assert KEY not in str(values)
    schema = next(each.schema for each in MANIFESTS["stripe-payment"].operations if each.name == f"stripe.{name}")
    assert len(encode(schema, values, time_ms=1)) % 32 == 0


def test_every_operation_is_declared_and_every_declared_one_is_there() -> None:
    assert {each.name for each in MANIFESTS["stripe-payment"].operations} == {each.name for each in OPERATIONS}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted({*CHARGE, *page()})), inner),
    max_leaves=12,
)
ANSWERS = st.binary(max_size=60) | st.builds(
    lambda base, changed: json.dumps({**base, **changed}).encode(),
    st.sampled_from([CHARGE, page("ch_1", "ch_2"), {"error": MISSING}]),
    st.dictionaries(st.sampled_from(sorted({*CHARGE, *page(), "error"})), JSON, max_size=2),
)


@given(name=st.sampled_from(NAMES), status=st.sampled_from([200, 200, 200, 404]) | st.integers(100, 999), body=ANSWERS)
def test_any_answer_gives_encodable_values_or_a_failure_and_nothing_else(name: str, status: int, body: bytes) -> None:
    params = {"apiKey": KEY} if name in LISTS else {"apiKey": KEY, "resourceId": IDS[name]}
    try:
        values, _ = run(f"stripe.{name}", params, Got(status=status, headers=(), body=body))
    except OperationFailed:
        return
    schema = next(each.schema for each in MANIFESTS["stripe-payment"].operations if each.name == f"stripe.{name}")
    assert len(encode(schema, values, time_ms=0)) >= 64


PARAM = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text(), max_size=2)


@given(
    name=st.sampled_from(NAMES),
    params=st.dictionaries(
        st.sampled_from(["apiKey", "stripeAccount", "queryParams", "resourceId"]),
        PARAM | st.sampled_from([KEY, "acct_1", "ch_1"]) | st.dictionaries(st.text(), PARAM, max_size=3),
    ),
)
def test_any_params_are_refused_or_make_a_call_that_the_policy_judges(name: str, params: dict[str, Any]) -> None:
    with pytest.raises((ParamsRefused, Refused, OperationFailed)):
        run(f"stripe.{name}", params, got(b""))


@pytest.mark.parametrize("body", [b"[" * 1_000_000, b'{"a":' * 200_000, b'{"object":' + b"9" * 1_000_000 + b"}"])
def test_a_bomb_is_malformed(body: bytes) -> None:
    assert failure(listed, body) == "upstream-malformed"
