"""stripe.* (DERIVATIONS.md, P1 and P2): three lists and three objects, one call each.

What was asked, and for which connected account, is in the request's URL and headers; nothing depends on the key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from tytle_verifier.derive import jsonbody
from tytle_verifier.derive.members import COUNTRY, CURRENCY, ID, WORD, Kind, flag, matching, optional, whole
from tytle_verifier.derive.stripe_request import HEADERS, Asked, is_list_url, is_object_url, read
from tytle_verifier.derive.trace import Call, Trace, Unanswered, Values, check_status, malformed

MOST: Final = 100  # elements of a page for which no limit was asked
_Fields = Mapping[str, tuple[str, Kind]]


def _same(kind: Kind, **named: str) -> dict[str, tuple[str, Kind]]:
    """Return fields of one kind: the value's name = Stripe's member."""
    return {name: (member, kind) for name, member in named.items()}


_AMOUNTS: Final = {
    "payment_intent": _same(whole, amount="amount", amountReceived="amount_received"),
    "charge": _same(whole, amount="amount", amountCaptured="amount_captured", amountRefunded="amount_refunded"),
}
_STATE: Final = {
    **_same(matching(CURRENCY), currency="currency"),
    **_same(matching(WORD), status="status"),
    **_same(flag, livemode="livemode"),
}
_FLAGS: Final = _same(
    flag, chargesEnabled="charges_enabled", payoutsEnabled="payouts_enabled", detailsSubmitted="details_submitted"
)
FIELDS: Final[Mapping[str, _Fields]] = MappingProxyType(
    {
        "payment_intent": {**_AMOUNTS["payment_intent"], **_STATE},
        "account": {
            **_same(matching(COUNTRY), country="country"),
            **_same(matching(CURRENCY), defaultCurrency="default_currency"),
            **_FLAGS,
        },
        "charge": {**_AMOUNTS["charge"], **_STATE},
    }
)


def list_of(trace: Trace, kind: str) -> Values:
    """Derive the values of a page of `kind`. Raises: Unanswered, CallsEnded, DerivationError."""
    path = f"/v1/{kind}s"
    call = trace.next("GET", lambda url: is_list_url(url, path), HEADERS, body=b"")
    asked = read(call)
    trace.compared.append("URL of call 1: one that this operation asks; query and account are taken from the request")
    check_status(call.status, other="upstream-malformed")
    members = jsonbody.read_object(call.body)
    elements = _elements(members, kind, path)
    ids = [matching(ID)(element, "id") for element in elements]
    live = _livemode(elements)
    has_more = flag(members, "has_more")
    if len(set(ids)) != len(ids) or (has_more and not ids):
        raise malformed("an id twice, or more behind an empty page")
    if len(ids) > (asked.limit or MOST) or {asked.after, asked.before} & set(ids):
        raise Unanswered("upstream-mismatch", "the page is not the one asked for")
    return {
        "stripeAccount": asked.account,
        "query": asked.query,
        "limit": asked.limit,
        "startingAfter": asked.after,
        "endingBefore": asked.before,
        "count": len(ids),
        "hasMore": has_more,
        "firstId": ids[0] if ids else None,
        "lastId": ids[-1] if ids else None,
        "livemode": live,
        "dataHash": hashlib.sha256(call.body).hexdigest(),
    }


def object_of(trace: Trace, kind: str) -> Values:
    """Derive the values of one object. Raises: Unanswered, CallsEnded, DerivationError."""
    path = f"/v1/{kind}s/"
    call = trace.next("GET", lambda url: is_object_url(url, path), HEADERS, body=b"")
    asked = read(call)
    trace.compared.append("URL of call 1: one that this operation asks; id, query and account are taken from it")
    found, members = _found(call, kind, asked)
    return {
        "stripeAccount": asked.account,
        "query": asked.query,
        "id": asked.resource,
        "found": found,
        **{name: optional(read, members, theirs) if found else None for name, (theirs, read) in FIELDS[kind].items()},
        "dataHash": hashlib.sha256(call.body).hexdigest(),
    }


def record(operation: str, values: Values) -> Values:
    """Return the predecessor's record of an operation's values."""
    name = operation.partition(".")[2]
    kind = "list" if name.startswith("list_") else name.removeprefix("get_")
    return {
        "operation": name,
        "accountId": values["stripeAccount"],
        "objectType": "not_found" if values.get("found") is False else kind,
        "dataHash": values["dataHash"],
        "totalCount": values.get("count", 0),
        "hasMore": int(bool(values.get("hasMore", False))),
    }


def _elements(members: dict[str, object], kind: str, path: str) -> list[dict[str, object]]:
    if members.get("object") != "list":
        raise malformed("not a list")
    url = members.get("url")
    if not (url is None or isinstance(url, str)):
        raise malformed("url is no text")
    if url not in (None, path):
        raise Unanswered("upstream-mismatch", "another list")
    data = members.get("data")
    elements = [element for element in data if isinstance(element, dict)] if isinstance(data, list) else None
    if elements is None or not isinstance(data, list) or len(elements) != len(data):
        raise malformed("data is no list of objects")
    if not all(element.get("object") == kind for element in elements):
        raise malformed("an element of another kind")
    return elements


def _livemode(elements: list[dict[str, object]]) -> bool | None:
    modes = {optional(flag, element, "livemode") for element in elements}
    if len(modes) > 1:
        raise malformed("elements of different modes")
    return next(iter(modes), None)


def _found(call: Call, kind: str, asked: Asked) -> tuple[bool, dict[str, object]]:
    """Return whether there is such an object, and its members."""
    if call.status == 404:
        _check_missing(call.body)
        return False, {}
    check_status(call.status, other="upstream-malformed")
    members = jsonbody.read_object(call.body)
    if members.get("object") != kind:
        raise malformed("another kind of object")
    if matching(ID)(members, "id") != asked.resource:
        raise Unanswered("upstream-mismatch", "another object")
    return True, members


def _check_missing(body: bytes) -> None:
    """Demand Stripe's own error for an id that it does not have."""
    error = jsonbody.object_of(jsonbody.read_object(body), "error")
    if not isinstance(error.get("type"), str):
        raise malformed("error.type is no text")
    if error["type"] != "invalid_request_error":
        raise Unanswered("upstream-fault", "an error of another type")
    code, message = error.get("code"), error.get("message")
    if not (code is None or isinstance(code, str)):
        raise malformed("error.code is no text")
    if code not in (None, "resource_missing"):
        raise Unanswered("upstream-fault", "an error of another code")
    if not (message is None or isinstance(message, str)):
        raise malformed("error.message is no text")
    if message is not None and message.startswith("Unrecognized request URL"):
        raise Unanswered("upstream-fault", "no such URL")
