"""monerium.order_with_balance: one order, one named block, one exact balance, or a failure of its own."""

import json
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devstack.monerium import ADDRESS, ORDER_ID, order
from enclave_worker.fields.codec import ORDER, Unencodable
from enclave_worker.fields.versioned import encode
from enclave_worker.handlers.errors import OperationFailed, ParamsRefused
from enclave_worker.handlers.monerium import CONTRACT, OPERATIONS
from enclave_worker.handlers.operation import Ask, Got, Values
from policy.errors import Refused
from tests.pay_kit import MANIFESTS, NoConnection, Script, fields_of, got, operation, run

NAME = "monerium.order_with_balance"
TOKEN = "hunter2.SECRET"
PARAMS = {"accessToken": TOKEN, "orderId": ORDER_ID}
BLOCK_HASH = "0x" + "5f" * 32
BLOCK = {"number": "0x2625a00", "hash": BLOCK_HASH, "timestamp": "0x67748580", "transactions": []}
HUNDRED = f"0x{100 * 10**18:064x}"
SCHEMA = MANIFESTS["monerium-payment"].operations[0].schema


def block(result: Any = BLOCK, **changed: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 2, "result": result, **changed}


def balance(result: Any = HUNDRED, **changed: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "result": result, **changed}


def without(answer: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in answer.items() if key not in keys}


def ask_for(first: Any, second: Any = None, third: Any = None) -> Values:
    answers = [got(block() if second is None else second), got(balance() if third is None else third)]
    return run(NAME, PARAMS, first if isinstance(first, Got) else got(first), *answers)[0]


def failure(first: Any, second: Any = None, third: Any = None) -> str:
    with pytest.raises(OperationFailed) as caught:
        ask_for(first, second, third)
    return caught.value.code


def test_the_balance_is_of_the_block_whose_number_hash_and_time_stand_beside_it() -> None:
    bodies = [
        json.dumps(each).encode() for each in (order(address=ADDRESS.upper().replace("X", "x")), block(), balance())
    ]
    values, asks = run(NAME, PARAMS, *(got(body) for body in bodies))
    assert values == {
        "orderId": ORDER_ID,
        "found": True,
        "kind": "issue",
        "state": "processed",
        "amount": "100.00",
        "currency": "eur",
        "chain": "gnosis",
        "address": ADDRESS,
        "contract": "0xcb444e90d8198415266c6a2724b7900fb12fc56e",
        "blockNumber": 40_000_000,
        "blockHash": BLOCK_HASH,
        "blockTime": 1_735_689_600,
        "balance": 100 * 10**18,
        "dataHash": sha256(bodies[0] + b"\n" + bodies[2]).hexdigest(),
    }
    assert list(values) == fields_of(NAME)
    assert TOKEN not in str(values)
    assert [(ask.method, ask.url) for ask in asks] == [
        ("GET", f"https://api.monerium.app/orders/{ORDER_ID}"),
        ("POST", "https://rpc.gnosischain.com/"),
        ("POST", "https://rpc.gnosischain.com/"),
    ]
    assert asks[0].headers == (
        ("Authorization", f"Bearer {TOKEN}"),
        ("Accept", "application/vnd.monerium.api-v2+json"),
    )
    assert [json.loads(ask.body or b"") for ask in asks[1:]] == [
        {"jsonrpc": "2.0", "method": "eth_getBlockByNumber", "params": ["latest", False], "id": 2},
        {
            "jsonrpc": "2.0",
            "method": "eth_call",
            "params": [{"to": CONTRACT, "data": f"0x70a08231{'0' * 24}{ADDRESS[2:]}"}, "0x2625a00"],
            "id": 1,
        },
    ]
    assert not any("authorization" in dict(ask.headers) or TOKEN in str(ask.body) for ask in asks[1:])


@pytest.mark.parametrize("body", [{"code": 404, "status": "Not Found", "message": "x"}, {"error": "not_found"}])
def test_that_an_order_does_not_exist_is_a_result_and_nothing_else_is_asked(body: Any) -> None:
    values, asks = run(NAME, PARAMS, got(body, 404))
    assert list(values) == fields_of(NAME)
    assert (values["orderId"], values["found"], len(asks)) == (ORDER_ID, False, 1)
    assert {key for key, value in values.items() if value is not None} == {"orderId", "found", "dataHash"}
    assert len(encode(SCHEMA, values, time_ms=1)) % 32 == 0


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"<html>Not Found</html>", "upstream-malformed"),
        (b"", "upstream-malformed"),
        ([], "upstream-malformed"),
        ({}, "upstream-fault"),
        ({"message": "no Route matched with those values"}, "upstream-fault"),
        ({"code": "404"}, "upstream-fault"),
        ({"code": 404.0}, "upstream-fault"),
        ({"code": 500, "error": "not_found"}, "upstream-fault"),
        ({"error": {"code": 404}}, "upstream-fault"),
    ],
)
def test_a_404_of_another_kind_says_nothing_about_the_order(body: Any, code: str) -> None:
    assert failure(got(body, 404)) == code


@pytest.mark.parametrize("field", ["id", "chain", "currency", "kind", "state", "amount", "address"])
@pytest.mark.parametrize("value", [..., None, 7, 100.5, "", True, [], {}, "\ud800", "x" * 100, " "])
def test_an_order_without_a_documented_field_is_malformed(field: str, value: Any) -> None:
    made = without(order(), field) if value is ... else order(**{field: value})
    expected = (
        {"upstream-mismatch", "upstream-malformed"} if (field, value) == ("id", "x" * 100) else {"upstream-malformed"}
    )
    assert failure(made) in expected


@pytest.mark.parametrize(
    "changed",
    [
        {"amount": "1,00"}, {"amount": "01"}, {"amount": "-1"}, {"amount": "+1"}, {"amount": "1."}, {"amount": ".5"},
        {"amount": "1e3"}, {"amount": "0x10"}, {"amount": "\u0661"}, {"amount": "1" * 13}, {"amount": "1." + "0" * 19},
        {"state": "Processed"}, {"state": "paid"}, {"kind": "mint"}, {"address": "not-an-address"},
        {"address": ADDRESS + "0"}, {"address": ADDRESS[2:]}, {"address": "0X" + ADDRESS[2:]},
    ],
)  # fmt: skip
def test_amounts_states_and_addresses_have_one_spelling(changed: dict[str, Any]) -> None:
    assert failure(order(**changed)) == "upstream-malformed"


@pytest.mark.parametrize("amount", ["0", "0.5", "100", "100.00", "999999999999.123456789012345678"])
def test_an_amount_is_kept_as_it_is_written(amount: str) -> None:
    values = ask_for(order(amount=amount))
    assert values["amount"] == amount
    encode(SCHEMA, values, time_ms=1)


@pytest.mark.parametrize(
    "changed",
    [
        {"id": ORDER_ID[:-1] + "1"},
        {"id": ORDER_ID.upper()},
        {"chain": "ethereum"},
        {"chain": "chiado"},
        {"currency": "gbp"},
    ],
)
def test_another_order_chain_or_currency_is_a_mismatch(changed: dict[str, Any]) -> None:
    assert failure(order(**changed)) == "upstream-mismatch"


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (201, "upstream-malformed"),
        (204, "upstream-malformed"),
        (302, "upstream-malformed"),
        (400, "upstream-fault"),
        (401, "upstream-unauthorised"),
        (403, "upstream-unauthorised"),
        (429, "upstream-unavailable"),
        (500, "upstream-unavailable"),
    ],
)
def test_every_call_must_be_answered_with_status_200(status: int, code: str) -> None:
    with pytest.raises(OperationFailed) as caught:
        run(NAME, PARAMS, got(order(), status))
    assert caught.value.code == code
    with pytest.raises(OperationFailed) as caught:
        run(NAME, PARAMS, got(order()), got(block(), status))
    assert caught.value.code == code
    with pytest.raises(OperationFailed) as caught:
        run(NAME, PARAMS, got(order()), got(block()), got(balance(), status))
    assert caught.value.code == code


RPC_ERRORS: list[tuple[dict[str, Any], str]] = [
    ({"error": {"code": -32000, "message": "execution reverted"}}, "upstream-fault"),
    ({"error": {"code": -32005, "message": "limit exceeded"}}, "upstream-unavailable"),
    ({"error": {}}, "upstream-fault"),
    ({"error": "boom"}, "upstream-malformed"),
    ({"jsonrpc": "1.0"}, "upstream-malformed"),
    ({"jsonrpc": 2.0}, "upstream-malformed"),
    ({"jsonrpc": None}, "upstream-malformed"),
    ({"id": 3}, "upstream-mismatch"),
    ({"id": "1"}, "upstream-malformed"),
    ({"id": 1.0}, "upstream-malformed"),
    ({"id": True}, "upstream-malformed"),
    ({"id": None}, "upstream-malformed"),
    ({"result": None}, "upstream-malformed"),
]


@pytest.mark.parametrize(("changed", "code"), RPC_ERRORS)
def test_what_is_no_answer_to_a_question_to_the_node_is_a_failure(changed: dict[str, Any], code: str) -> None:
    assert failure(order(), block(**changed)) == code
    assert failure(order(), block(), balance(**changed)) == code


def test_the_answers_of_two_questions_cannot_be_exchanged() -> None:
    assert failure(order(), balance()) == "upstream-mismatch"
    assert failure(order(), block(), balance(id=2)) == "upstream-mismatch"


def test_an_error_member_that_is_null_is_no_error() -> None:
    assert ask_for(order(), block(error=None), balance(error=None))["balance"] == 100 * 10**18


@pytest.mark.parametrize(
    "changed",
    [
        *({"number": value} for value in (..., None, 40_000_000, "40000000", "0x", "0x01", "0xG", "0X1", "0xA")),
        {"number": f"0x{2**63:x}"},
        *({"hash": value} for value in (..., None, "0x" + "5f" * 31, "0x" + "5F" * 32, "5f" * 32, 7)),
        *({"timestamp": value} for value in (..., None, 1735689600, "0x", f"0x{2**64:x}")),
    ],
)  # fmt: skip
def test_a_block_without_exact_number_hash_and_time_is_malformed_and_no_balance_asked(changed: dict[str, Any]) -> None:
    [(key, value)] = changed.items()
    made = without(BLOCK, key) if value is ... else {**BLOCK, key: value}
    script = Script("monerium-payment", got(order()), got(block(made)))
    with pytest.raises(OperationFailed, match="upstream-malformed"):
        operation(NAME).run(PARAMS, script)
    assert len(script.asks) == 2


@pytest.mark.parametrize("result", ["latest", "0x2625a00", 7, []])
def test_a_block_that_is_no_object_is_malformed(result: Any) -> None:
    assert failure(order(), block(result)) == "upstream-malformed"


@pytest.mark.parametrize(
    ("result", "number"),
    [
        ("0x0", 0),
        ("0x1", 1),
        ("0x56bc75e2d63100000", 10**20),
        (f"0x{0:064x}", 0),
        (HUNDRED, 10**20),
        ("0x" + "f" * 64, 2**256 - 1),
    ],
)
def test_a_balance_is_a_word_or_a_quantity_and_exact(result: str, number: int) -> None:
    assert ask_for(order(), None, balance(result))["balance"] == number


@pytest.mark.parametrize(
    "result",
    [
        "",
        "0x",
        "12345",
        12345,
        1e20,
        "0x00",
        "0x01",
        "0xnothex",
        "0XFF",
        "0xFF",
        "-0x1",
        "0x" + "0" * 63 + "1f",
        "0x" + "f" * 65,
        "0x_1",
        " 0x1",
        ["0x1"],
        {},
    ],
)
def test_another_balance_is_malformed(result: Any) -> None:
    assert failure(order(), None, balance(result)) == "upstream-malformed"


def test_a_balance_beyond_the_field_of_the_elements_is_exact_but_has_no_element() -> None:
    encode(SCHEMA, ask_for(order(), None, balance(hex(ORDER - 1))), time_ms=1)
    with pytest.raises(Unencodable, match="balance: out of the field's range"):
        encode(SCHEMA, ask_for(order(), None, balance(hex(ORDER))), time_ms=1)


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"orderId": ORDER_ID}, "accessToken"),
        ({"accessToken": TOKEN}, "orderId"),
        *(
            ({**PARAMS, "accessToken": value}, "accessToken")
            for value in (None, "", 7, "a b", "hunter2\r\nX: 1", "é", "=", "a" * 4097)
        ),
        *(
            ({**PARAMS, "orderId": value}, "orderId")
            for value in (None, "", 7, "..", "order/with%special", "a?b", "hunter2 ", "a" * 65)
        ),
    ],
)  # fmt: skip
def test_params_of_another_shape_are_refused_before_a_fetch_and_not_repeated(params: Any, field: str) -> None:
    script = Script("monerium-payment")
    with pytest.raises(ParamsRefused) as caught:
        operation(NAME).run(params, script)
    assert (caught.value.field, script.asks) == (field, [])
    assert "hunter2" not in str(caught.value)


def test_a_fetch_that_failed_is_let_through() -> None:
    with pytest.raises(NoConnection):
        run(NAME, PARAMS, got(order()), NoConnection())


def test_every_operation_is_declared_and_every_declared_one_is_there() -> None:
    assert {each.name for each in MANIFESTS["monerium-payment"].operations} == {each.name for each in OPERATIONS}


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=8)
    | st.sampled_from(["0x1", HUNDRED]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted({*BLOCK, *order()})), inner),
    max_leaves=12,
)


def answers_like(good: dict[str, Any]) -> st.SearchStrategy[Got]:
    keys = st.sampled_from(sorted({*good, "error"}))
    changed = st.dictionaries(keys, JSON, max_size=1).map(lambda change: json.dumps({**good, **change}).encode())
    body = st.just(json.dumps(good).encode()) | st.binary(max_size=40) | changed
    status = st.just(200) | st.just(404) | st.integers(100, 999)
    return st.builds(lambda status, body: Got(status=status, headers=(), body=body), status, body)


@given(answers_like(order()), answers_like(block()), answers_like(balance()))
def test_any_answers_give_values_or_a_failure_and_nothing_else(first: Got, second: Got, third: Got) -> None:
    try:
        values, _ = run(NAME, PARAMS, first, second, third)
    except OperationFailed:
        return
    assert list(values) == fields_of(NAME)
    assert {type(value) for value in values.values()} <= {str, int, bool, type(None)}


@given(
    st.dictionaries(st.sampled_from(["accessToken", "orderId"]), st.none() | st.integers() | st.text() | st.just("abc"))
)
def test_any_params_are_refused_or_make_a_call_that_the_policy_judges(params: dict[str, Any]) -> None:
    with pytest.raises((ParamsRefused, Refused, OperationFailed)):
        run(NAME, params, got(b""))


@pytest.mark.parametrize("bomb", [b"[" * 1_000_000, b'{"a":' * 200_000, b'{"id":' + b"9" * 1_000_000 + b"}"])
def test_a_bomb_is_malformed_wherever_it_comes(bomb: bytes) -> None:
    def explode(_: Ask) -> Got:
        return got(bomb)

    for before in ([], [got(order())], [got(order()), got(block())]):
        with pytest.raises(OperationFailed, match="upstream-malformed"):
            run(NAME, PARAMS, *before, explode)
