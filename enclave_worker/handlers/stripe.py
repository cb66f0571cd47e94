"""Stripe: one page of a list, or one object, as docs.stripe.com/api describes them (version: `stripe_params`).

Rules: a result comes with status 200 and the right `object` only. An object's id is the one asked for; every element of
a page has its own id and the right type, and the page says whether there is more. A 404 with Stripe's error object is a
result of its own for an object (`found` is false), because Stripe documents it; it is an error for a list. Values come
from the answer and from what was asked, never from the key: nothing says whose it is, nor of which mode. So `found`
false and an empty page (whose `livemode` is absent) are what Stripe tells that key's owner; a test key sees no live
object. NOT checked: that a page fits the filters that were asked for, and what an object says beyond the fields below.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import Final

from enclave_worker.handlers import percent, stripe_params
from enclave_worker.handlers.answers import Answer, check_status, read_object
from enclave_worker.handlers.errors import OperationFailed
from enclave_worker.handlers.operation import Fetch, Got, Operation, Params, Value, Values
from enclave_worker.handlers.stripe_params import LIST_PARAMETERS, MAX_PAGE, OBJECT_PARAMETERS

_ID = re.compile(r"[\x21-\x7e]{1,255}")  # docs.stripe.com/upgrades: ids "never exceed 255 characters"
_WORD = re.compile(r"[a-z][a-z_]{0,30}")  # a status; at most 31 characters: one field element
_CURRENCY = re.compile(r"[a-z]{3}")  # ISO 4217, in lower case
_COUNTRY = re.compile(r"[A-Z]{2}")  # ISO 3166-1 alpha-2
_ANY = re.compile(r".*", re.DOTALL)

Read = Callable[[Answer, str], Value]


def _matching(pattern: re.Pattern[str]) -> Read:
    return lambda answer, key: answer.text_or_none(key, pattern)


_AMOUNT: Read = Answer.whole_or_none  # in the currency's smallest unit
_FLAG: Read = Answer.flag_or_none


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One operation's resource: its path, the `object` of what is there, and the fields that are read of it."""

    path: str
    object: str
    fields: Mapping[str, tuple[str, Read]]  # the value's name -> Stripe's name and how to read it


LISTS: Final = {
    "list_charges": Kind(path="/v1/charges", object="charge", fields={}),
    "list_customers": Kind(path="/v1/customers", object="customer", fields={}),
    "list_invoices": Kind(path="/v1/invoices", object="invoice", fields={}),
}
OBJECTS: Final = {
    "get_payment_intent": Kind(
        path="/v1/payment_intents",
        object="payment_intent",
        fields={
            "amount": ("amount", _AMOUNT),
            "amountReceived": ("amount_received", _AMOUNT),
            "currency": ("currency", _matching(_CURRENCY)),
            "status": ("status", _matching(_WORD)),
            "livemode": ("livemode", _FLAG),
        },
    ),
    "get_account": Kind(
        path="/v1/accounts",
        object="account",
        fields={
            "country": ("country", _matching(_COUNTRY)),
            "defaultCurrency": ("default_currency", _matching(_CURRENCY)),
            "chargesEnabled": ("charges_enabled", _FLAG),
            "payoutsEnabled": ("payouts_enabled", _FLAG),
            "detailsSubmitted": ("details_submitted", _FLAG),
        },
    ),
    "get_charge": Kind(
        path="/v1/charges",
        object="charge",
        fields={
            "amount": ("amount", _AMOUNT),
            "amountCaptured": ("amount_captured", _AMOUNT),
            "amountRefunded": ("amount_refunded", _AMOUNT),
            "currency": ("currency", _matching(_CURRENCY)),
            "status": ("status", _matching(_WORD)),
            "livemode": ("livemode", _FLAG),
        },
    ),
}


def list_page(kind: Kind, params: Params, fetch: Fetch) -> Values:
    """Fetch one page and return what it holds: how many, the first and the last id, whether there is more.

    Raises: ParamsRefused, OperationFailed.
    """
    asked = stripe_params.read(params)
    limit, (after, before) = asked.limit, asked.cursors
    got = fetch(asked.ask(kind.path))
    check_status(got)
    page = read_object(got.body)
    ids, livemode = _read_page(kind, page)
    if len(ids) > (limit or MAX_PAGE) or not {after, before}.isdisjoint(ids):
        raise OperationFailed("upstream-mismatch", "the page is not the one asked for")
    return {
        "stripeAccount": asked.account,
        "query": asked.query_text,
        "limit": limit,
        "startingAfter": after,
        "endingBefore": before,
        "count": len(ids),
        "hasMore": page.flag("has_more"),
        "firstId": ids[0] if ids else None,
        "lastId": ids[-1] if ids else None,
        "livemode": livemode,
        "dataHash": sha256(got.body).hexdigest(),
    }


def get_object(kind: Kind, params: Params, fetch: Fetch) -> Values:
    """Fetch one object and return its fields, or say that Stripe does not have it.

    Raises: ParamsRefused, OperationFailed.
    """
    asked, resource = stripe_params.read(params), stripe_params.read_resource(params)
    got = fetch(asked.ask(f"{kind.path}/{percent.encode(resource)}"))
    found = got.status != 404
    if found:
        fields = _read_fields(kind, resource, got)
    else:
        _check_not_found(got)
        fields = dict.fromkeys(kind.fields)
    return {
        "stripeAccount": asked.account,
        "query": asked.query_text,
        "id": resource,
        "found": found,
        **fields,
        "dataHash": sha256(got.body).hexdigest(),
    }


def record(operation: str, values: Values) -> Values:
    """Return the predecessor's STRIPE_PAYMENT record of a result."""
    listed = operation in LISTS
    kind = "list" if listed else OBJECTS[operation].object if values["found"] else "not_found"
    return {
        "operation": operation,
        "accountId": values["stripeAccount"],
        "objectType": kind,
        "dataHash": values["dataHash"],
        "totalCount": values["count"] if listed else 0,
        "hasMore": int(values["hasMore"] is True) if listed else 0,
    }


def _read_page(kind: Kind, page: Answer) -> tuple[list[str], bool | None]:
    """Return the ids of a page in its order, and the livemode that its elements share."""
    if page.entries.get("object") != "list":
        raise OperationFailed("upstream-malformed", "the answer is not a list")
    if page.has("url") and page.text("url", _ANY) != kind.path:
        raise OperationFailed("upstream-mismatch", "the list is of another resource")
    elements = page.children("data")
    if any(element.entries.get("object") != kind.object for element in elements):
        raise OperationFailed("upstream-malformed", f"an element of the list is not a {kind.object}")
    ids = [element.text("id", _ID) for element in elements]
    modes = {element.flag_or_none("livemode") for element in elements}
    if len(set(ids)) != len(ids) or len(modes) > 1:
        raise OperationFailed("upstream-malformed", "the list has an id twice, or mixes live and test mode")
    if page.flag("has_more") and not ids:
        raise OperationFailed("upstream-malformed", "an empty page says that more follows it")
    return ids, modes.pop() if modes else None


def _read_fields(kind: Kind, resource: str, got: Got) -> Values:
    check_status(got)
    answer = read_object(got.body)
    if answer.entries.get("object") != kind.object:
        raise OperationFailed("upstream-malformed", f"the answer is not a {kind.object}")
    if answer.text("id", _ID) != resource:
        raise OperationFailed("upstream-mismatch", "the answer is another object than the one asked for")
    return {name: read(answer, key) for name, (key, read) in kind.fields.items()}


def _check_not_found(got: Got) -> None:
    """Return if the 404 is Stripe's own word that the object does not exist: docs.stripe.com/api/errors."""
    error = read_object(got.body).child("error")
    named = error.text("type", _ANY) == "invalid_request_error" and error.text_or_none("code", _ANY) in (
        "resource_missing",
        None,
    )
    # The same type, and no code, also answers an address that is not in the API: that is no word on an object.
    if not named or (error.text_or_none("message", _ANY) or "").startswith("Unrecognized request URL"):
        raise OperationFailed("upstream-fault", "a 404 that does not say that the object is missing")


OPERATIONS: Final = (
    *(
        Operation(
            name=f"stripe.{name}",
            parameters=LIST_PARAMETERS,
            run=partial(list_page, kind),
            record=partial(record, name),
        )
        for name, kind in LISTS.items()
    ),
    *(
        Operation(
            name=f"stripe.{name}",
            parameters=OBJECT_PARAMETERS,
            run=partial(get_object, kind),
            record=partial(record, name),
        )
        for name, kind in OBJECTS.items()
    ),
)
