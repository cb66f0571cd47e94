"""monerium.order_with_balance (DERIVATIONS.md, P1 and P3): an order, and its address's balance in one block."""

from __future__ import annotations

import hashlib
import re
from typing import Final

from tytle_verifier.derive import jsonbody
from tytle_verifier.derive.members import MAX_WHOLE, matching, whole
from tytle_verifier.derive.trace import Call, Header, Trace, Unanswered, Values, check_status, malformed

ORDERS: Final = "https://api.monerium.app/orders/"
NODE: Final = "https://rpc.gnosischain.com/"
ORDER_HEADERS: Final = {
    "authorization": Header(secret=True),
    "accept": Header(value="application/vnd.monerium.api-v2+json"),
}
NODE_HEADERS: Final = {"content-type": Header(value="application/json"), "accept": Header(value="application/json")}
CONTRACT: Final = "0xcb444e90d8198415266c6a2724b7900fb12fc56e"  # EURe on Gnosis Chain, 18 decimals
BALANCE_OF: Final = "0x70a08231"
TOO_MANY: Final = -32005
LATEST: Final = b'{"jsonrpc":"2.0","method":"eth_getBlockByNumber","params":["latest",false],"id":2}'
_ID = re.compile("[A-Za-z0-9_-]{1,64}")
_WORD = re.compile("[a-z][a-z0-9_-]{0,30}")
_AMOUNT = re.compile(r"(?:0|[1-9][0-9]{0,11})(?:\.[0-9]{1,18})?")
_ADDRESS = re.compile("0x[0-9a-fA-F]{40}")
_QUANTITY = re.compile("0x(?:0|[1-9a-f][0-9a-f]{0,63})")
_DATA32 = re.compile("0x[0-9a-f]{64}")
_DATA32_CHARACTERS = 66
_ORDER: Final = (
    ("kind", re.compile("issue|redeem")),
    ("state", re.compile("placed|pending|processed|rejected")),
    ("amount", _AMOUNT),
    ("address", _ADDRESS),
)
_BLOCK: Final = ("blockNumber", "blockHash", "blockTime")


def order_with_balance(trace: Trace) -> Values:
    """Derive the values. Raises: Unanswered, CallsEnded, DerivationError."""
    first = trace.next("GET", _is_order, ORDER_HEADERS, body=b"")
    order_id = first.request.url.removeprefix(ORDERS)
    trace.compared.append("URL of call 1: one that this operation asks; the order's id is taken from it")
    if first.status == 404:
        return _missing(first, order_id)
    order = _order(first, order_id)
    second = trace.next("POST", NODE, NODE_HEADERS, body=LATEST)
    number, block_hash, time = _block(second)
    third = trace.next("POST", NODE, NODE_HEADERS, body=_balance_question(str(order["address"]), number))
    balance = _balance(third)
    trace.compared.append("request bodies of calls 2 and 3: the questions for this address in this block")
    return {
        "orderId": order_id,
        "found": True,
        **order,
        "contract": CONTRACT,
        "blockNumber": int(number, 16),
        "blockHash": block_hash,
        "blockTime": time,
        "balance": balance,
        "dataHash": hashlib.sha256(first.body + b"\n" + third.body).hexdigest(),
    }


def record(values: Values) -> Values:
    """Return the predecessor's record."""
    return {
        "orderId": values["orderId"],
        "state": values["state"] if values["found"] else "not_found",
        "orderAmount": values["amount"],
        "currency": values["currency"],
        "balance": values["balance"] if values["found"] else 0,
        "dataHash": values["dataHash"],
    }


def _is_order(url: str) -> bool:
    return url.startswith(ORDERS) and _ID.fullmatch(url.removeprefix(ORDERS)) is not None


def _missing(call: Call, order_id: str) -> Values:
    members = jsonbody.read_object(call.body)
    code = members.get("code")
    numbered = type(code) is int and code == 404
    if not numbered and ("code" in members or members.get("error") != "not_found"):
        raise Unanswered("upstream-fault", "a 404 that is not Monerium's")
    names = ("kind", "state", "amount", "currency", "chain", "address", "contract", *_BLOCK, "balance")
    digest = hashlib.sha256(call.body).hexdigest()
    return {"orderId": order_id, "found": False, **dict.fromkeys(names), "dataHash": digest}


def _order(call: Call, order_id: str) -> dict[str, str]:
    check_status(call.status, other="upstream-malformed")
    members = jsonbody.read_object(call.body)
    for name, pattern, wanted in (("id", _ID, order_id), ("chain", _WORD, "gnosis"), ("currency", _WORD, "eur")):
        if matching(pattern)(members, name) != wanted:
            raise Unanswered("upstream-mismatch", f"another {name}")
    texts = {name: matching(pattern)(members, name) for name, pattern in _ORDER}
    return {**texts, "currency": "eur", "chain": "gnosis", "address": texts["address"].lower()}


def _answered(call: Call, question: int) -> dict[str, object]:
    """Return the members of a JSON-RPC answer that is no error."""
    check_status(call.status, other="upstream-malformed")
    members = jsonbody.read_object(call.body)
    if members.get("error") is not None:
        code = jsonbody.object_of(members, "error").get("code")
        busy = type(code) is int and code == TOO_MANY
        raise Unanswered("upstream-unavailable" if busy else "upstream-fault", "a JSON-RPC error")
    if members.get("jsonrpc") != "2.0":
        raise malformed("not JSON-RPC 2.0")
    if whole(members, "id") != question:
        raise Unanswered("upstream-mismatch", "an answer to another question")
    return members


def _block(call: Call) -> tuple[str, str, int]:
    """Return number (a quantity, as written), hash and time of a block."""
    block = jsonbody.object_of(_answered(call, 2), "result")
    number = _small(block, "number")
    block_hash = matching(_DATA32)(block, "hash")
    return number, block_hash, int(_small(block, "timestamp"), 16)


def _small(members: dict[str, object], name: str) -> str:
    text = matching(_QUANTITY)(members, name)
    if int(text, 16) > MAX_WHOLE:
        raise malformed(f"{name} is too large")
    return text


def _balance_question(address: str, number: str) -> bytes:
    data = f"{BALANCE_OF}{'0' * 24}{address.removeprefix('0x')}"
    call = f'{{"to":"{CONTRACT}","data":"{data}"}}'
    return f'{{"jsonrpc":"2.0","method":"eth_call","params":[{call},"{number}"],"id":1}}'.encode("ascii")


def _balance(call: Call) -> int:
    members = _answered(call, 1)
    text = members.get("result")
    pattern = _DATA32 if isinstance(text, str) and len(text) == _DATA32_CHARACTERS else _QUANTITY
    return int(matching(pattern)(members, "result"), 16)
