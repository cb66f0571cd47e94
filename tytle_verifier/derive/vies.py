"""vies.check_vat and vies.check_vat_rest (DERIVATIONS.md, D1 to D5 and D7).

The country and number asked for are not in the statement; the digest of the request's body is. So "the answer is about
what was asked" is: the request for the answer's own country and number has that digest.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from tytle_verifier.derive import jsonbody, xmlbody
from tytle_verifier.derive.trace import Call, Header, Trace, Unanswered, Values, check_status, malformed
from tytle_verifier.derive.xmlbody import BLANKS, Element

SOAP_URL: Final = "https://ec.europa.eu/taxation_customs/vies/services/checkVatService"
REST_URL: Final = "https://ec.europa.eu/taxation_customs/vies/rest-api/check-vat-number"
SOAP_HEADERS: Final = {"content-type": Header(value="text/xml;charset=UTF-8"), "soapaction": Header(value='""')}
REST_HEADERS: Final = {"content-type": Header(value="application/json"), "accept": Header(value="application/json")}
ENVELOPE: Final = "http://schemas.xmlsoap.org/soap/envelope/"
TYPES: Final = "urn:ec.europa.eu:taxud:vies:services:checkVat:types"
NIL: Final = ("http://www.w3.org/2001/XMLSchema-instance", "nil")
UNAVAILABLE: Final = frozenset(
    {
        "GLOBAL_MAX_CONCURRENT_REQ",
        "GLOBAL_MAX_CONCURRENT_REQ_TIME",
        "MS_MAX_CONCURRENT_REQ",
        "MS_MAX_CONCURRENT_REQ_TIME",
        "MS_UNAVAILABLE",
        "SERVER_BUSY",
        "SERVICE_UNAVAILABLE",
        "TIMEOUT",
    }
)
NOTHING: Final = "---"  # how VIES says that a member state does not tell
Request = Callable[[str, str], bytes]
DATE = re.compile(r"[0-9TZ:.+-]{8,31}")
_COUNTRY = re.compile(r"(?!GB)[A-Z]{2}")
_NUMBER = re.compile(r"[0-9A-Z+*]{2,12}")
_FIELDS = frozenset({"countryCode", "vatNumber", "requestDate", "valid", "name", "address"})
_NILLABLE = frozenset({"name", "address"})
_BOOLEANS: Final = {"true": True, "1": True, "false": False, "0": False}


def check_vat(trace: Trace) -> Values:
    """Derive the values of the SOAP service. Raises: Unanswered, CallsEnded, DerivationError."""
    call = trace.next("POST", SOAP_URL, SOAP_HEADERS)
    if call.status not in (200, 500):
        check_status(call.status)
    try:
        content = _content(xmlbody.read(call.body))
    except Unanswered:
        check_status(call.status)
        raise
    if content.name == (ENVELOPE, "Fault"):
        raise _fault(content)
    check_status(call.status)
    if content.name != (TYPES, "checkVatResponse"):
        raise malformed("the Body holds something else than checkVatResponse")
    return _values(trace, call, _response(content), _soap_request)


def check_vat_rest(trace: Trace) -> Values:
    """Derive the values of the REST service. Raises: Unanswered, CallsEnded, DerivationError."""
    call = trace.next("POST", REST_URL, REST_HEADERS)
    check_status(call.status)
    members = jsonbody.read_object(call.body)
    if "actionSucceed" in members or "errorWrappers" in members:
        raise _wrapped_fault(members.get("errorWrappers"))
    if not isinstance(members.get("valid"), bool):
        raise malformed("valid is no boolean")
    return _values(trace, call, members, _rest_request)


def record(values: Values) -> Values:
    """Return the predecessor's record of VIES's values."""
    shown = {name: NOTHING if values[name] is None else values[name] for name in ("name", "address")}
    return {"countryCode": values["countryCode"], "vatNumber": values["vatNumber"], "valid": values["valid"], **shown}


def _content(root: Element) -> Element:
    names = [child.name for child in root.children]
    body = (ENVELOPE, "Body")
    if root.name != (ENVELOPE, "Envelope") or names not in ([body], [(ENVELOPE, "Header"), body]) or not root.blank:
        raise malformed("not a SOAP 1.1 envelope")
    last = root.children[-1]
    if len(last.children) != 1 or not last.blank:
        raise malformed("the Body does not hold one element")
    return last.children[0]


def _fault(fault: Element) -> Unanswered:
    strings = [child.text.strip(BLANKS) for child in fault.children if child.name == ("", "faultstring")]
    busy = len(strings) == 1 and strings[0] in UNAVAILABLE
    return Unanswered("upstream-unavailable" if busy else "upstream-fault", "a SOAP fault")


def _wrapped_fault(wrappers: object) -> Unanswered:
    errors = wrappers if isinstance(wrappers, list) else []
    texts = [error.get("error") if isinstance(error, dict) else None for error in errors]
    busy = bool(texts) and all(isinstance(text, str) and text in UNAVAILABLE for text in texts)
    return Unanswered("upstream-unavailable" if busy else "upstream-fault", "errorWrappers")


def _response(content: Element) -> dict[str, object]:
    fields: dict[str, object] = {}
    seen: set[str] = set()
    for child in content.children:
        space, name = child.name
        if space != TYPES or name not in _FIELDS or name in seen or child.children:
            raise malformed("checkVatResponse holds something else, something twice, or elements in a field")
        seen.add(name)
        if not _is_nil(child):
            fields[name] = child.text.strip(BLANKS) if name in ("requestDate", "valid") else child.text
    valid = _BOOLEANS.get(str(fields.get("valid")))
    if not content.blank or valid is None:
        raise malformed("text between fields, or valid is no xsd:boolean")
    return {**fields, "valid": valid}


def _is_nil(child: Element) -> bool:
    given = child.attributes.get(NIL)
    nil = False if given is None else _BOOLEANS.get(given.strip(BLANKS))
    if nil is None or (nil and (child.name[1] not in _NILLABLE or child.text)):
        raise malformed("nil where it cannot be")
    return nil


def _values(trace: Trace, call: Call, fields: dict[str, object], request: Request) -> Values:
    country, number = jsonbody.text_of(fields, "countryCode"), jsonbody.text_of(fields, "vatNumber")
    possible = _COUNTRY.fullmatch(country) and _NUMBER.fullmatch(number)
    if not possible or not call.sent(request(country, number)):
        trace.not_compared.append("which country and number were asked for: the request has only a digest")
        raise Unanswered("upstream-mismatch", "the answer is about another country or number")
    trace.compared.append("request body of call 1: the one for this country and number")
    texts = {name: jsonbody.text_or_none(fields, name) for name in ("name", "address", "requestDate")}
    date = texts["requestDate"]
    if date is not None and not DATE.fullmatch(date):
        raise malformed("requestDate is no date")
    named = {name: None if text == NOTHING and name != "requestDate" else text for name, text in texts.items()}
    return {"countryCode": country, "vatNumber": number, "valid": bool(fields["valid"]), **named}


def _soap_request(country: str, number: str) -> bytes:
    asked = f"<countryCode>{country}</countryCode><vatNumber>{number}</vatNumber>"
    envelope = f'<Envelope xmlns="{ENVELOPE}"><Body><checkVat xmlns="{TYPES}">{asked}</checkVat></Body></Envelope>'
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{envelope}'.encode("ascii")


def _rest_request(country: str, number: str) -> bytes:
    return f'{{"countryCode":"{country}","vatNumber":"{number}"}}'.encode("ascii")
