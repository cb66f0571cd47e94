"""HMRC, "Check a UK VAT number" 2.0: is this number registered, and to whom?

Contract: github.com/hmrc/vat-registered-companies-api, public/api/conf/2.0/application.yaml. Where it is silent the
service's own source speaks: lines 2 to 5 of an address exist, and its postcode may be missing (models/Address.scala).
A number is registered only when the documented answer says so, about that number; it is not registered only when the
documented error says so. The platform before the service has 404s of its own, which say nothing about a number.
"""

import contextlib
import re

from enclave_worker.handlers import answers
from enclave_worker.handlers import params as given
from enclave_worker.handlers.answers import Answer
from enclave_worker.handlers.errors import OperationFailed
from enclave_worker.handlers.operation import Ask, Fetch, Got, Operation, Params, Values

URL = "https://api.service.hmrc.gov.uk/organisations/vat/check-vat-number/lookup/"
ACCEPT = "application/vnd.hmrc.2.0+json"  # 1.0 was removed on 17 February 2025

NUMBER = re.compile(r"[0-9]{9}|[0-9]{12}")

NOT_FOUND = ("NOT_FOUND", "targetVrn does not match a registered company")
LINES = ("line1", "line2", "line3", "line4", "line5")
_ADDRESS = {name: f"address{name[0].upper()}{name[1:]}" for name in (*LINES, "postcode", "countryCode")}
"""Name in HMRC's address -> name of the value: line1 -> addressLine1."""


def lookup(params: Params, fetch: Fetch) -> Values:
    """Look up one number.

    Raises:
        ParamsRefused: before anything is fetched.
        OperationFailed: the answer is no result, or not to this question.
    """
    number = given.text(params, "vatNumber", NUMBER, "9 or 12 digits, no country")
    token = given.bearer_token(params, "accessToken")
    headers = (("Accept", ACCEPT), ("Authorization", f"Bearer {token}"))
    got = fetch(Ask(method="GET", url=f"{URL}{number}", headers=headers))
    if got.status == 404 and _is_not_found(got):
        return _values(number, valid=False, name=None, address=Answer({}), date=None)
    if got.status != 200:
        raise answers.failure(got.status, other="upstream-fault")
    return _registered(number, got)


def record(values: Values) -> Values:
    """Return the predecessor's VIES record; its address left lines 3 to 5 out, this one does not."""
    parts = [values[_ADDRESS[name]] for name in (*LINES, "postcode")]
    return {
        "countryCode": "GB",
        "vatNumber": values["vatNumber"],
        "valid": values["valid"],
        "name": values["name"],
        "address": ", ".join(str(part) for part in parts if part) or None,
    }


def _registered(number: str, got: Got) -> Values:
    found = answers.read_object(got.body)
    target = found.child("target")
    if target.text("vatNumber") != number:
        raise OperationFailed("upstream-mismatch", "the answer is about another number")
    address = target.child("address")
    for required in ("line1", "countryCode"):
        address.text(required)
    name, date = target.text("name"), found.text("processingDate", answers.MOMENT)
    return _values(number, valid=True, name=name, address=address, date=date)


def _values(number: str, *, valid: bool, name: str | None, address: Answer, date: str | None) -> Values:
    lines: Values = {ours: address.text_or_none(theirs) for theirs, ours in _ADDRESS.items()}
    return {"vatNumber": number, "valid": valid, "name": name, **lines, "processingDate": date}


def _is_not_found(got: Got) -> bool:
    """Whether a 404 is the service's own: its code and, where there is a message, its message."""
    with contextlib.suppress(OperationFailed):
        found = answers.read_object(got.body).entries
        return (found.get("code"), found.get("message", NOT_FOUND[1])) == NOT_FOUND
    return False


OPERATIONS = (
    Operation(name="hmrc.lookup", parameters=frozenset({"vatNumber", "accessToken"}), run=lookup, record=record),
)
