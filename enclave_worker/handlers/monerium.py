"""Monerium: one order, and what its address holds of the token on Gnosis Chain in one named block.

Three calls, one after another: the order (docs.monerium.com/api, version 2), the newest block, and `balanceOf` in that
block. Rules: the order is the one asked for, on Gnosis Chain, in euro, because it is the euro token whose balance is
read; amounts are exact; the balance is asked for by the number of the block whose hash and time stand beside it. A 404
with Monerium's error object is a result of its own (`found` is false). Values come from the answers and from what was
asked, never from the token: nothing says whose it is, and `found` false is what Monerium tells its owner. NOT checked:
that the node is honest about the chain and did not replace the block between the two calls, nor the checksum in the
capitals of an address.
"""

import re
from hashlib import sha256
from typing import Final

from enclave_worker.handlers import jsonrpc, percent
from enclave_worker.handlers import params as given
from enclave_worker.handlers.answers import Answer, check_status, read_object
from enclave_worker.handlers.errors import OperationFailed
from enclave_worker.handlers.operation import Ask, Fetch, Got, Operation, Params, Value, Values

API: Final = "https://api.monerium.app"
ACCEPT: Final = "application/vnd.monerium.api-v2+json"
RPC: Final = "https://rpc.gnosischain.com/"
CHAIN: Final = "gnosis"
CURRENCY: Final = "eur"
CONTRACT: Final = "0xcb444e90d8198415266c6a2724b7900fb12fc56e"  # EURe on Gnosis Chain, 18 decimals
BALANCE_OF: Final = "0x70a08231"  # the selector of balanceOf(address), ERC-20
CALL_ID: Final = 1  # the predecessor's
BLOCK_ID: Final = 2

_ORDER_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")  # a UUID in practice
_AMOUNT = re.compile(r"(?:0|[1-9][0-9]{0,11})(?:\.[0-9]{1,18})?")  # euro; at most 31 characters: one field element
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
_STATE = re.compile(r"placed|pending|processed|rejected")
_KIND = re.compile(r"issue|redeem")
_WORD = re.compile(r"[a-z][a-z0-9_-]{0,30}")

_ABSENT: Final = (
    "kind", "state", "amount", "currency", "chain", "address", "contract", "blockNumber", "blockHash", "blockTime",
    "balance",
)  # fmt: skip


def order_with_balance(params: Params, fetch: Fetch) -> Values:
    """Return the order and the balance of its address, or say that Monerium does not have the order.

    Raises: ParamsRefused, OperationFailed.
    """
    ask, order_id = _read_params(params)
    got = fetch(ask)
    if got.status == 404:
        _check_not_found(got)
        return _values(order_id, dict.fromkeys(_ABSENT), found=False, data=got.body)
    check_status(got)
    order = _read_order(order_id, read_object(got.body))
    block, number = _read_block(fetch)
    balance, body = _read_balance(fetch, str(order["address"]), number)
    known: Values = {**order, "contract": CONTRACT, **block, "balance": balance}
    return _values(order_id, known, found=True, data=got.body + b"\n" + body)


def record(values: Values) -> Values:
    """Return the predecessor's MONERIUM_PAYMENT record of a result."""
    return {
        "orderId": values["orderId"],
        "state": values["state"] if values["found"] else "not_found",
        "orderAmount": values["amount"],
        "currency": values["currency"],
        "balance": values["balance"] if values["found"] else 0,
        "dataHash": values["dataHash"],
    }


def _read_params(params: Params) -> tuple[Ask, str]:
    token = given.bearer_token(params, "accessToken")
    order_id = given.text(params, "orderId", _ORDER_ID, "an order id: letters, digits, - and _")
    headers = (("Authorization", f"Bearer {token}"), ("Accept", ACCEPT))
    return Ask(method="GET", url=f"{API}/orders/{percent.encode(order_id)}", headers=headers), order_id


def _check_not_found(got: Got) -> None:
    """Return if the 404 is Monerium's own: its error object, or the one of the predecessor's recordings."""
    error = read_object(got.body).entries
    code = error.get("code")
    own = isinstance(code, int) and code == 404
    if not own and ("code" in error or error.get("error") != "not_found"):
        raise OperationFailed("upstream-fault", "a 404 that is not Monerium's own")


def _read_order(order_id: str, order: Answer) -> dict[str, Value]:
    if order.text("id", _ORDER_ID) != order_id:
        raise OperationFailed("upstream-mismatch", "the answer is another order than the one asked for")
    for key, expected in (("chain", CHAIN), ("currency", CURRENCY)):
        if order.text(key, _WORD) != expected:
            raise OperationFailed("upstream-mismatch", f"the order's {key} is not {expected}")
    return {
        "kind": order.text("kind", _KIND),
        "state": order.text("state", _STATE),
        "amount": order.text("amount", _AMOUNT),
        "currency": CURRENCY,
        "chain": CHAIN,
        "address": order.text("address", _ADDRESS).lower(),
    }


def _read_block(fetch: Fetch) -> tuple[dict[str, Value], str]:
    """Return the newest block, and its number as it names itself."""
    answer, _ = jsonrpc.call(fetch, RPC, call_id=BLOCK_ID, method="eth_getBlockByNumber", params=["latest", False])
    block = answer.child("result")
    number = jsonrpc.quantity(block, "number")
    known: dict[str, Value] = {
        "blockNumber": number,
        "blockHash": jsonrpc.word(block, "hash"),
        "blockTime": jsonrpc.quantity(block, "timestamp"),
    }
    return known, hex(number)


def _read_balance(fetch: Fetch, address: str, number: str) -> tuple[int, bytes]:
    data = BALANCE_OF + address.removeprefix("0x").rjust(64, "0")
    params: list[object] = [{"to": CONTRACT, "data": data}, number]
    answer, got = jsonrpc.call(fetch, RPC, call_id=CALL_ID, method="eth_call", params=params)
    return jsonrpc.uint256(answer, "result"), got.body


def _values(order_id: str, known: dict[str, Value], *, found: bool, data: bytes) -> Values:
    """`dataHash` is the predecessor's: of the order's body, then a line feed and the balance's body if there is one."""
    return {"orderId": order_id, "found": found, **known, "dataHash": sha256(data).hexdigest()}


OPERATIONS: Final = (
    Operation(
        name="monerium.order_with_balance",
        parameters=frozenset({"accessToken", "orderId"}),
        run=order_with_balance,
        record=record,
    ),
)
