"""Stripe stand-in: the lists and objects that services/stripe-payment.toml lets through, read only.

Rule: bodies, codes and messages are those of docs.stripe.com/api and of answers that developers have published: JSON
with an indent of two, lists newest first with `has_more` and `url`, errors with `type`, `message` and mostly `code`.
A parameter that a resource does not have is an error. The keys, companies and amounts are made up.

`faults` makes paths answer something else: what Stripe sends when it is overloaded or down, or a page of the network in
front of it; `aliases` makes it answer with another object than the one asked for, which the real one must never do.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from devstack.upstream import Request, Response

HOST = "api.stripe.com"
KEY = "sk_test_devstack4eC39HqLyjWDarjtT1zdp7dc"
ACCOUNT = "acct_1032D82eZvKYlo2C"  # the key's own
CONNECTED = "acct_1G9WZ2HGvOnCaDdx"
VERSION = "2025-12-15.clover"
FIRST_CREATED = 1_735_689_600  # 1 January 2025
DEFAULT_PAGE = 10
MOST_PAGE = 100

Entry = dict[str, Any]

PATHS = {"charges": "charge", "customers": "customer", "invoices": "invoice", "payment_intents": "payment_intent"}
PAGING = frozenset({"limit", "starting_after", "ending_before", "created", "expand"})
FILTERS = {
    "charges": frozenset({"customer", "payment_intent", "transfer_group"}),
    "customers": frozenset({"email", "test_clock"}),
    "invoices": frozenset({"customer", "collection_method", "due_date", "status", "subscription"}),
    "payment_intents": frozenset({"customer"}),
}
COMPARISONS = {
    "gt": lambda left, right: left > right,
    "gte": lambda left, right: left >= right,
    "lt": lambda left, right: left < right,
    "lte": lambda left, right: left <= right,
}


def error(status: int, message: str, *, kind: str = "invalid_request_error", **more: str) -> Response:
    """Return an error as docs.stripe.com/api/errors describes it; `more` is `code`, `param` and the like."""
    return _json(status, {"error": {**more, "message": message, "type": kind}})


def entries(count: int = 25) -> dict[str, dict[str, Entry]]:
    """Return `count` entries of each kind by resource and id, newest first; each charge has its intent and customer."""
    made: dict[str, dict[str, Entry]] = {resource: {} for resource in PATHS}
    for number in reversed(range(count)):
        for resource in PATHS:
            entry = _entry(resource, number)
            made[resource][entry["id"]] = entry
    return made


class Stripe:
    """The stand-in as a handler: `Stripe()(request)`; put it under `HOST` of an UpstreamServer.

    `held` is what it has, as `entries` makes it; `key` is the one key that it accepts.
    """

    def __init__(
        self,
        *,
        held: Mapping[str, Mapping[str, Entry]] | None = None,
        key: str = KEY,
        faults: Mapping[str, Response] | None = None,
        aliases: Mapping[str, str] | None = None,
    ) -> None:
        self._held = entries() if held is None else held
        self._key = key
        self._faults = dict(faults or {})
        self._aliases = dict(aliases or {})

    def __call__(self, request: Request) -> Response:
        """Answers one request."""
        if fault := self._faults.get(request.path):
            return fault
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if given != self._key:
            return _unauthorised(given)
        account = request.headers.get("stripe-account", ACCOUNT)
        if account not in (ACCOUNT, CONNECTED):
            return _no_access(account)
        _, _, resource, *rest = request.path.split("/") if request.path.startswith("/v1/") else ("", "", "")
        if request.method == "GET" and resource in PATHS and len(rest) < 2:
            return self._retrieve(resource, rest[0], request) if rest else self._list(resource, request)
        if request.method == "GET" and resource in ("account", "accounts") and len(rest) == (resource == "accounts"):
            return self._account(rest[0] if rest else account)
        return error(404, f"Unrecognized request URL ({request.method}: {request.path}). Please see our docs.")

    def _retrieve(self, resource: str, asked: str, request: Request) -> Response:
        if unknown := [name for name, _ in request.query if _name(name) != "expand"]:
            return _unknown(unknown[0])
        entry = self._held[resource].get(self._aliases.get(asked, asked))
        if entry is None:
            kind = PATHS[resource]
            param = "intent" if kind == "payment_intent" else "id"
            return _missing(f"No such {kind}: '{asked}'", param)
        return _json(200, self._expanded(entry, _expansions(request)))

    def _list(self, resource: str, request: Request) -> Response:
        allowed = PAGING | FILTERS[resource]
        if unknown := [name for name, _ in request.query if _name(name) not in allowed]:
            return _unknown(unknown[0])
        query = {name: value for name, value in request.query if _name(name) != "expand"}
        limit = query.pop("limit", str(DEFAULT_PAGE))
        if not (limit.isascii() and limit.isdigit() and 1 <= int(limit) <= MOST_PAGE):
            return error(400, f"Invalid integer: {limit}", code="parameter_invalid_integer", param="limit")
        after, before = (query.pop(name, None) for name in ("starting_after", "ending_before"))
        kept = [entry for entry in self._held[resource].values() if _fits(entry, query)]
        places = {entry["id"]: place for place, entry in enumerate(kept)}
        for name, cursor in (("starting_after", after), ("ending_before", before)):
            if cursor is not None and cursor not in places:
                missing = f"No such {PATHS[resource]}: '{cursor}'"
                return error(400, missing, code="resource_missing", param=name)
        if before is not None:
            first = max(0, places[before] - int(limit))
            page, more = kept[first : places[before]], first > 0
        else:
            first = 0 if after is None else places[after] + 1
            page, more = kept[first : first + int(limit)], len(kept) > first + int(limit)
        page = [self._expanded(entry, _expansions(request, "data.")) for entry in page]
        return _json(200, {"object": "list", "data": page, "has_more": more, "url": f"/v1/{resource}"})

    def _account(self, asked: str) -> Response:
        if asked not in (ACCOUNT, CONNECTED):
            return _no_access(asked)
        return _json(
            200,
            {
                "id": asked,
                "object": "account",
                "business_type": "company",
                "charges_enabled": True,
                "country": "PT",
                "default_currency": "eur",
                "details_submitted": True,
                "payouts_enabled": asked == ACCOUNT,
                "type": "standard",
            },
        )

    def _expanded(self, entry: Entry, names: list[str]) -> Entry:
        if "customer" not in names or "customer" not in entry:
            return entry
        return {**entry, "customer": self._held["customers"][entry["customer"]]}


def _entry(resource: str, number: int) -> Entry:
    names = {"charges": "ch_3Dev", "customers": "cus_Dev", "invoices": "in_1Dev", "payment_intents": "pi_3Dev"}
    common = {"created": FIRST_CREATED + 3600 * number, "livemode": False, "metadata": {}}
    entry: Entry = {"id": f"{names[resource]}{number:020d}", "object": PATHS[resource], **common}
    if resource == "customers":
        return {**entry, "email": f"customer{number}@example.com", "name": f"Customer {number} & Filhos, Lda."}
    entry |= {"currency": "eur", "customer": f"cus_Dev{number:020d}"}
    if resource == "invoices":
        return {**entry, "status": "paid", "collection_method": "charge_automatically", "total": 1000 + number}
    entry |= {"amount": 1000 + number, "status": "succeeded", "description": None}
    if resource == "payment_intents":
        return {**entry, "amount_received": 1000 + number, "latest_charge": f"ch_3Dev{number:020d}"}
    amounts = {"amount_captured": 1000 + number, "amount_refunded": 0, "refunded": False, "paid": True}
    return {**entry, **amounts, "payment_intent": f"pi_3Dev{number:020d}"}


def _name(parameter: str) -> str:
    return parameter.partition("[")[0]


def _expansions(request: Request, prefix: str = "") -> list[str]:
    return [value.removeprefix(prefix) for name, value in request.query if _name(name) == "expand"]


def _fits(entry: Entry, query: Mapping[str, str]) -> bool:
    for name, value in query.items():
        field, bracket, comparison = name.removesuffix("]").partition("[")
        held = entry.get(field)
        if bracket and not (isinstance(held, int) and COMPARISONS[comparison](held, int(value))):
            return False
        if not bracket and str(held) != value:
            return False
    return True


def _unauthorised(given: str) -> Response:
    shown = f"{given[:8]}{'*' * max(0, len(given) - 12)}{given[-4:]}"
    message = f"Invalid API Key provided: {shown}" if given else "You did not provide an API key."
    return error(401, message)


def _no_access(account: str) -> Response:
    message = f"The provided key does not have access to account '{account}' (or that account does not exist)."
    return error(403, message, code="account_invalid")


def _missing(message: str, param: str) -> Response:
    return error(404, message, code="resource_missing", param=param, doc_url="https://stripe.com/docs/error-codes")


def _unknown(parameter: str) -> Response:
    return error(400, f"Received unknown parameter: {parameter}", code="parameter_unknown", param=parameter)


def _json(status: int, value: Mapping[str, object]) -> Response:
    headers = (("Content-Type", "application/json"), ("Request-Id", "req_devstack"), ("Stripe-Version", VERSION))
    return Response(status=status, headers=headers, body=json.dumps(value, indent=2).encode() + b"\n")


RATE_LIMITED = error(429, "Request rate limit exceeded. Learn more about rate limits here.", code="rate_limit")
BROKEN = error(500, "An unknown error occurred.", kind="api_error")
HTML = Response(
    status=503,
    headers=(("Content-Type", "text/html"),),
    body=b"<html><head><title>503 Service Unavailable</title></head><body></body></html>\n",
)
HTML_404 = Response(status=404, headers=HTML.headers, body=b"<html><body><h1>Not Found</h1></body></html>\n")
UNRECOGNISED = error(404, "Unrecognized request URL (GET: /v1/x). Please see https://stripe.com/docs.")
