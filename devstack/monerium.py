"""Monerium stand-in: `GET /orders/ID` of version 2 of the API (docs.monerium.com/api).

Rule: an order has the fields of Monerium's own SDK (`Order`), an error its `code`, `status` and `message`. Version 2 is
what the Accept header names; without it the live API answers 404 for this path, and so does this. The orders are made
up. `faults` makes order ids answer something else, `aliases` makes it answer with another order.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from devstack.upstream import Request, Response

HOST = "api.monerium.app"
TOKEN = "devstack-token.MTQ0NjJkZmQ5OTM2NDE1ZTZjNGZmZjI3"  # noqa: S105 (of nothing but this)
ACCEPT = "application/vnd.monerium.api-v2+json"
ORDER_ID = "a1b2c3d4-e5f6-7890-abcd-ef1234567890"
ADDRESS = "0x1234567890abcdef1234567890abcdef12345678"
RATE_LIMITED = Response(status=429, headers=(("Retry-After", "2"),), body=b'{"code":429,"status":"Too Many Requests"}')
HTML = Response(status=502, headers=(("Content-Type", "text/html"),), body=b"<html><body>502 Bad Gateway</body></html>")

Order = dict[str, Any]


def order(number: int = 0, **changed: Any) -> Order:
    """Return an order; the first has `ORDER_ID`. `changed` are fields to have otherwise."""
    return {
        "id": f"{ORDER_ID[:-4]}{7890 + number:04d}",
        "profile": "04f5b0d5-17d0-11ed-81e7-a6f0ef57aabb",
        "address": ADDRESS,
        "kind": "issue",
        "chain": "gnosis",
        "amount": "100.00",
        "currency": "eur",
        "counterpart": {"identifier": {"standard": "iban"}, "details": {"name": "Jane Doe"}},
        "memo": "Invoice 42",
        "meta": {"placedAt": "2025-01-01T00:00:00Z", "processedAt": "2025-01-01T00:01:00Z"},
        "state": "processed",
        **changed,
    }


class Monerium:
    """The stand-in as a handler: `Monerium()(request)`; put it under `HOST` of an UpstreamServer."""

    def __init__(
        self,
        *,
        orders: tuple[Order, ...] | None = None,
        token: str = TOKEN,
        faults: Mapping[str, Response] | None = None,
        aliases: Mapping[str, str] | None = None,
    ) -> None:
        self._orders = {each["id"]: each for each in ((order(0), order(1)) if orders is None else orders)}
        self._token = token
        self._faults = dict(faults or {})
        self._aliases = dict(aliases or {})

    def __call__(self, request: Request) -> Response:
        """Answers one request."""
        _, found, asked = request.path.partition("/orders/")
        if fault := self._faults.get(asked):
            return fault
        if request.method != "GET" or not found or request.headers.get("accept") != ACCEPT:
            return _error(404, "Not Found", "Not found")
        if request.headers.get("authorization") != f"Bearer {self._token}":
            return _error(401, "Unauthorized", "Not authenticated")
        held = self._orders.get(self._aliases.get(asked, asked))
        return _error(404, "Not Found", "Order not found") if held is None else _json(200, held)


def _error(code: int, status: str, message: str) -> Response:
    return _json(code, {"code": code, "status": status, "message": message})


def _json(status: int, value: Mapping[str, object]) -> Response:
    headers = (("Content-Type", "application/json"),)
    return Response(status=status, headers=headers, body=json.dumps(value, separators=(",", ":")).encode())
