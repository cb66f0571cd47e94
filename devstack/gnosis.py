"""A stand-in for a node of Gnosis Chain: JSON-RPC 2.0 over HTTP (jsonrpc.org, ethereum/execution-apis).

Rule: answers have the shapes of the execution API, hexadecimal in lower case. The chain grows by one block with every
question for the newest one, so that two questions never mean the same "latest". A block is one of those so far; a node
that keeps no old states (`latest_only`) answers for the newest with an error once it is named by its number, as nodes
behind a balancer do that lag behind. Blocks, hashes and balances are made up.

`faults` makes a method answer something else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from devstack.upstream import Request, Response

HOST = "rpc.gnosischain.com"
CHAIN_ID = 100
EURE = "0xcb444e90d8198415266c6a2724b7900fb12fc56e"
BALANCE_OF = "0x70a08231"
FIRST_BLOCK = 40_000_000
FIRST_TIME = 1_735_689_600  # 1 January 2025
BLOCK_SECONDS = 5
HOLDER = "0x1234567890abcdef1234567890abcdef12345678"
HUNDRED = 100 * 10**18

HTML = Response(
    status=429, headers=(("Content-Type", "text/html"),), body=b"<html><body>error code: 1015</body></html>"
)


def failure(code: int, message: str, *, id: object = 1) -> Response:  # noqa: A002 (the member's name)
    """Return a JSON-RPC error, which comes with status 200."""
    return _json({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}})


class Gnosis:
    """The stand-in as a handler: `Gnosis()(request)`; put it under `HOST` of an UpstreamServer.

    `balances` are of the euro token, by address in lower case; each block adds `growth` to every one of them.
    """

    def __init__(
        self,
        *,
        balances: Mapping[str, int] | None = None,
        growth: int = 0,
        latest_only: bool = False,
        faults: Mapping[str, Response] | None = None,
    ) -> None:
        self._balances = {HOLDER: HUNDRED} if balances is None else dict(balances)
        self._growth = growth
        self._latest_only = latest_only
        self._faults = dict(faults or {})
        self.head = FIRST_BLOCK

    def __call__(self, request: Request) -> Response:
        """Answers one request."""
        if (request.method, request.path) != ("POST", "/"):
            return Response(status=404, headers=(("Content-Type", "text/plain"),), body=b"404 page not found\n")
        try:
            question = json.loads(request.body)
            method, params, number = question["method"], question["params"], question["id"]
        except (ValueError, KeyError, TypeError):
            return failure(-32700, "parse error", id=None)
        if fault := self._faults.get(method):
            return fault
        try:
            return self._answer(method, params, number)
        except (ValueError, KeyError, TypeError, IndexError):
            return failure(-32602, "invalid argument", id=number)

    def _answer(self, method: str, params: list[Any], number: object) -> Response:
        if method == "eth_chainId":
            return _result(number, hex(CHAIN_ID))
        if method == "eth_blockNumber":
            self.head += 1
            return _result(number, hex(self.head))
        if method == "eth_getBlockByNumber":
            self.head += params[0] == "latest"
            return _result(number, self._block(self._height(params[0])))
        if method == "eth_call":
            if self._latest_only and params[1] != "latest":
                return failure(-32000, "missing trie node", id=number)
            return _result(number, self._call(params[0], self._height(params[1])))
        return failure(-32601, f"the method {method} does not exist/is not available", id=number)

    def _height(self, tag: str) -> int:
        return self.head if tag == "latest" else int(tag, 16)

    def _block(self, height: int) -> Mapping[str, object] | None:
        if not FIRST_BLOCK <= height <= self.head:
            return None
        return {
            "number": hex(height),
            "hash": _hash(height),
            "parentHash": _hash(height - 1),
            "timestamp": hex(FIRST_TIME + BLOCK_SECONDS * (height - FIRST_BLOCK)),
            "transactions": [_hash(height * 1000 + place) for place in range(3)],
        }

    def _call(self, call: Mapping[str, str], height: int) -> str:
        selector, argument = call["data"][:10], call["data"][10:]
        if call["to"].lower() != EURE or selector != BALANCE_OF or len(argument) != 64:
            return "0x"  # no code there, or no such function and no revert
        balance = self._balances.get(f"0x{argument[24:]}", 0)
        return f"0x{balance + self._growth * (height - FIRST_BLOCK):064x}"


def _hash(number: int) -> str:
    return "0x" + hashlib.sha256(number.to_bytes(16, "big")).hexdigest()


def _result(number: object, result: object) -> Response:
    return _json({"jsonrpc": "2.0", "id": number, "result": result})


def _json(value: Mapping[str, object]) -> Response:
    headers = (("Content-Type", "application/json"),)
    return Response(status=200, headers=headers, body=json.dumps(value, separators=(",", ":")).encode())
