"""hmrc.lookup (DERIVATIONS.md, D1, D2, D6 and D7). The number asked for is the end of the request's URL."""

from __future__ import annotations

import re
from typing import Final

from tytle_verifier.derive import jsonbody
from tytle_verifier.derive.trace import Call, Header, Trace, Unanswered, Values, check_status, malformed
from tytle_verifier.derive.vies import DATE

_URL = re.compile(
    r"https://api\.service\.hmrc\.gov\.uk/organisations/vat/check-vat-number/lookup/([0-9]{9}|[0-9]{12})", re.ASCII
)
HEADERS: Final = {"accept": Header(value="application/vnd.hmrc.2.0+json"), "authorization": Header(secret=True)}
NOT_FOUND: Final = "targetVrn does not match a registered company"
_ADDRESS: Final = {
    **{f"addressLine{number}": f"line{number}" for number in range(1, 6)},
    "addressPostcode": "postcode",
    "addressCountryCode": "countryCode",
}
_REQUIRED: Final = frozenset({"line1", "countryCode"})
_EMPTY: Final = dict.fromkeys(("name", *_ADDRESS, "processingDate"))
_IN_RECORD: Final = (*(f"addressLine{number}" for number in range(1, 6)), "addressPostcode")


def lookup(trace: Trace) -> Values:
    """Derive the values of HMRC's lookup. Raises: Unanswered, CallsEnded, DerivationError."""
    call = trace.next("GET", lambda url: bool(_URL.fullmatch(url)), HEADERS, body=b"")
    match = _URL.fullmatch(call.request.url)
    number = match[1] if match else ""
    trace.compared.append("URL of call 1: the one for this number")
    if call.status == 404:
        _check_not_found(call)
        return {"vatNumber": number, "valid": False, **_EMPTY}
    check_status(call.status)
    members = jsonbody.read_object(call.body)
    target = jsonbody.object_of(members, "target")
    if jsonbody.text_of(target, "vatNumber") != number:
        raise Unanswered("upstream-mismatch", "the answer is about another number")
    return {"vatNumber": number, "valid": True, **_registered(members, target)}


def record(values: Values) -> Values:
    """Return the predecessor's record, `VIES`, of HMRC's values."""
    parts = [str(values[name]) for name in _IN_RECORD if values[name] not in (None, "")]
    return {
        "countryCode": "GB",
        **{name: values[name] for name in ("vatNumber", "valid", "name")},
        "address": ", ".join(parts) or None,
    }


def _check_not_found(call: Call) -> None:
    try:
        members = jsonbody.read_object(call.body)
    except Unanswered as error:
        raise Unanswered("upstream-fault", "a 404 that is not HMRC's") from error
    if members.get("code") != "NOT_FOUND" or members.get("message", NOT_FOUND) != NOT_FOUND:
        raise Unanswered("upstream-fault", "a 404 that says something else")


def _registered(members: dict[str, object], target: dict[str, object]) -> Values:
    address = jsonbody.object_of(target, "address")
    date = jsonbody.text_of(members, "processingDate")
    if not DATE.fullmatch(date):
        raise malformed("processingDate is no date")
    lines = {
        name: (jsonbody.text_of if theirs in _REQUIRED else jsonbody.text_or_none)(address, theirs)
        for name, theirs in _ADDRESS.items()
    }
    return {"name": jsonbody.text_of(target, "name"), **lines, "processingDate": date}
