"""VIES: is this VAT number valid, and whose is it? By SOAP (`vies.check_vat`) and by REST (`vies.check_vat_rest`).

Two operations, not one with a switch: a name then says which call was made and by which rules its answer was read, in
the statement and to whoever repeats the derivation. Both give the same values.

Contracts: checkVatService.wsdl, operation checkVat, and swagger_publicVAT.yaml, check-vat-number (services/vies.toml
has their addresses). The names of faults are those of the WSDL's own text. A state's register that cannot be asked, a
fault, a page in HTML and an answer without `valid` are errors: none of them is ever `false`.

VIES answers under the country code that it was asked under, Greece's being EL; it refuses GR and GB. The answer must
repeat country and number exactly.
"""

import contextlib
import re

from enclave_worker.handlers import answers, soap
from enclave_worker.handlers import params as given
from enclave_worker.handlers.answers import Answer
from enclave_worker.handlers.errors import OperationFailed, ParamsRefused
from enclave_worker.handlers.operation import Ask, Fetch, Got, Operation, Params, Values
from enclave_worker.handlers.xml_tree import BLANKS, Element, refuse
from wire import jsontext

SOAP_URL = "https://ec.europa.eu/taxation_customs/vies/services/checkVatService"
REST_URL = "https://ec.europa.eu/taxation_customs/vies/rest-api/check-vat-number"
TYPES = "urn:ec.europa.eu:taxud:vies:services:checkVat:types"
NIL = "http://www.w3.org/2001/XMLSchema-instance nil"

COUNTRY = re.compile(r"[A-Z]{2}")
# The WSDL's [0-9A-Za-z\+\*\.]{2,12} without lower case and the dot, which no member state's format has.
NUMBER = re.compile(r"[0-9A-Z+*]{2,12}")

FIELDS = ("countryCode", "vatNumber", "requestDate", "valid", "name", "address")  # checkVatResponse in the WSDL
NILLABLE = frozenset({"name", "address"})
COLLAPSED = frozenset({"requestDate", "valid"})  # xsd:date and xsd:boolean: blanks around them are nothing
BOOLEANS = {"true": True, "1": True, "false": False, "0": False}  # xsd:boolean
WITHHELD = "---"  # VIES for "there is no such value" or "this state does not give it out"

# The WSDL: "the application/service is not available", "try again later". SERVER_BUSY is of its older versions.
UNAVAILABLE = frozenset(
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


def check_vat(params: Params, fetch: Fetch) -> Values:
    """Ask the SOAP service.

    Raises:
        ParamsRefused: before anything is fetched.
        OperationFailed: the answer is no result, or not to this question.
    """
    country, number = _asked(params)
    headers = (("Content-Type", "text/xml;charset=UTF-8"), ("SOAPAction", '""'))
    got = fetch(Ask(method="POST", url=SOAP_URL, headers=headers, body=_envelope(country, number)))
    content = _content(got)
    if content.name == soap.FAULT:
        raise _fault({soap.fault_string(content)})
    if content.name != f"{TYPES} checkVatResponse":
        refuse("the Body holds no checkVatResponse")
    fields: dict[str, object] = dict(_fields(content))
    fields["valid"] = BOOLEANS.get(str(fields.get("valid")))
    return _values(country, number, Answer(fields))


def check_vat_rest(params: Params, fetch: Fetch) -> Values:
    """Ask the REST service.

    Raises:
        ParamsRefused: before anything is fetched.
        OperationFailed: the answer is no result, or not to this question.
    """
    country, number = _asked(params)
    headers = (("Content-Type", "application/json"), ("Accept", "application/json"))
    body = jsontext.dump({"countryCode": country, "vatNumber": number})
    got = fetch(Ask(method="POST", url=REST_URL, headers=headers, body=body))
    if got.status != 200:
        raise answers.failure(got.status, other="upstream-fault")
    found = answers.read_object(got.body)
    if "actionSucceed" in found.entries or "errorWrappers" in found.entries:  # live, faults come with status 200
        raise _fault(_error_codes(found.entries.get("errorWrappers")))
    return _values(country, number, found)


def record(values: Values) -> Values:
    """Return the predecessor's VIES record.

    It handed on VIES's own placeholder for a value that is not given; that is None here, and the placeholder again.
    """
    kept: Values = {name: values[name] for name in ("countryCode", "vatNumber", "valid")}
    return kept | {name: WITHHELD if values[name] is None else values[name] for name in ("name", "address")}


def _asked(params: Params) -> tuple[str, str]:
    country = given.text(params, "countryCode", COUNTRY, "two upper-case letters")
    if country == "GB":
        raise ParamsRefused("countryCode", "VIES does not have GB: ask hmrc.lookup")
    number = given.text(params, "vatNumber", NUMBER, "2 to 12 digits, upper-case letters, + or *, no country")
    return country, number


def _envelope(country: str, number: str) -> bytes:
    """Return the call in the WSDL's shape. Neither text can hold markup: `_asked` saw to that."""
    call = f'<checkVat xmlns="{TYPES}"><countryCode>{country}</countryCode><vatNumber>{number}</vatNumber></checkVat>'
    envelope = f'<Envelope xmlns="{soap.ENVELOPE}"><Body>{call}</Body></Envelope>'
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{envelope}'.encode()


def _content(got: Got) -> Element:
    """Return what the Body holds: anything under status 200, a Fault only under 500 (SOAP 1.1, section 6.2)."""
    if got.status == 200:
        return soap.content(got.body)
    if got.status == 500:
        with contextlib.suppress(OperationFailed):
            content = soap.content(got.body)
            if content.name == soap.FAULT:
                return content
    raise answers.failure(got.status, other="upstream-fault")


def _fault(codes: set[str]) -> OperationFailed:
    if codes and codes <= UNAVAILABLE:
        return OperationFailed("upstream-unavailable", "VIES or the member state's register cannot answer now")
    return OperationFailed("upstream-fault", "VIES answered with a fault")


def _fields(response: Element) -> dict[str, str | None]:
    """Return the texts of a checkVatResponse by name: each of the WSDL's at most once, in any order, no other."""
    found: dict[str, str | None] = {}
    for child in soap.without_text(response):
        namespace, _, name = child.name.partition(" ")
        if namespace != TYPES or name not in FIELDS or name in found:
            refuse("checkVatResponse holds an element twice or one that the WSDL does not have")
        text = _leaf(child, nillable=name in NILLABLE)
        found[name] = text.strip(BLANKS) if text is not None and name in COLLAPSED else text
    return found


def _leaf(element: Element, *, nillable: bool) -> str | None:
    if element.children:
        refuse("a field of checkVatResponse holds elements")
    nil = BOOLEANS.get(element.attributes.get(NIL, "false").strip(BLANKS))
    if nil is None or (nil and (element.text or not nillable)):
        refuse("xsi:nil is no boolean, or on an element that cannot be nil")
    return None if nil else element.text


def _error_codes(wrappers: object) -> set[str]:
    """Return the codes of the published error body; "" for every part that has another shape."""
    if not isinstance(wrappers, list):
        return {""}
    codes = (wrapper.get("error") if isinstance(wrapper, dict) else None for wrapper in wrappers)
    return {code if isinstance(code, str) else "" for code in codes}


def _values(country: str, number: str, found: Answer) -> Values:
    """Return the values of an answer to this question. The members may be missing or of any type."""
    valid = found.flag("valid")
    if (found.text("countryCode"), found.text("vatNumber")) != (country, number):
        raise OperationFailed("upstream-mismatch", "the answer is about another country or number")
    return {
        "countryCode": country,
        "vatNumber": number,
        "valid": valid,
        "name": _given(found.text_or_none("name")),
        "address": _given(found.text_or_none("address")),
        "requestDate": found.text_or_none("requestDate", answers.MOMENT),
    }


def _given(value: str | None) -> str | None:
    return None if value == WITHHELD else value


_PARAMETERS = frozenset({"countryCode", "vatNumber"})
OPERATIONS = (
    Operation(name="vies.check_vat", parameters=_PARAMETERS, run=check_vat, record=record),
    Operation(name="vies.check_vat_rest", parameters=_PARAMETERS, run=check_vat_rest, record=record),
)
