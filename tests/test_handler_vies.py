"""`vies.check_vat` and `vies.check_vat_rest`: what is a result, what is an error, and never one for the other."""

import json
from typing import Any

import pytest

from devstack import vies_xml
from enclave_worker.handlers.errors import ParamsRefused
from policy import rules
from tests.vat_kit import FIELDS, MANIFEST, OPERATIONS, PT, Scripted, outcome, rest, soap, values

SOAP, REST = "vies.check_vat", "vies.check_vat_rest"
BOTH = pytest.mark.parametrize("name", [SOAP, REST])
VALUES = {**PT, "valid": True, "name": "TYTLE LDA", "address": "RUA 123"}
NS = vies_xml.TYPES
XSI = "http://www.w3.org/2001/XMLSchema-instance"


def answer(inner: str, element: str = "checkVatResponse", namespace: str = NS) -> bytes:
    """An envelope with this text in one element of the Body."""
    return envelope(f'<{element} xmlns="{namespace}">{inner}</{element}>')


def envelope(body: str, before: str = "<e:Header/>", after: str = "", prolog: str = "") -> bytes:
    inside = f"{before}<e:Body>{body}</e:Body>{after}"
    return f'{prolog}<e:Envelope xmlns:e="{vies_xml.SOAP}">{inside}</e:Envelope>'.encode()


def inner(**changes: str) -> str:
    """The six fields as text, some changed."""
    return "".join(f"<{name}>{changes.get(name, value)}</{name}>" for name, value in FIELDS)


# --- the call ------------------------------------------------------------------------------------------------------


def test_the_soap_call_is_these_bytes_and_the_policy_lets_it_pass() -> None:
    fetch = Scripted(soap())
    OPERATIONS[SOAP].run(PT, fetch)
    [ask] = fetch.asked
    assert (ask.method, ask.url) == ("POST", "https://ec.europa.eu/taxation_customs/vies/services/checkVatService")
    assert ask.headers == (("Content-Type", "text/xml;charset=UTF-8"), ("SOAPAction", '""'))
    assert ask.body == (
        b'<?xml version="1.0" encoding="UTF-8"?>\n'
        b'<Envelope xmlns="http://schemas.xmlsoap.org/soap/envelope/"><Body>'
        b'<checkVat xmlns="urn:ec.europa.eu:taxud:vies:services:checkVat:types">'
        b"<countryCode>PT</countryCode><vatNumber>507172230</vatNumber></checkVat></Body></Envelope>"
    )
    rules.decide(MANIFEST, url=ask.url, method=ask.method, headers=ask.headers, body=ask.body)


def test_the_stand_in_reads_the_soap_call_as_the_one_operation_with_both_fields() -> None:
    fetch = Scripted(soap(countryCode="IE", vatNumber="1+23456F"))
    OPERATIONS[SOAP].run({"countryCode": "IE", "vatNumber": "1+23456F"}, fetch)
    assert fetch.asked[0].body is not None
    assert vies_xml.parse_call(fetch.asked[0].body) == ("checkVat", {"countryCode": "IE", "vatNumber": "1+23456F"})


def test_the_rest_call_is_these_bytes_and_the_policy_lets_it_pass() -> None:
    fetch = Scripted(rest())
    OPERATIONS[REST].run(PT, fetch)
    [ask] = fetch.asked
    assert (ask.method, ask.url) == ("POST", "https://ec.europa.eu/taxation_customs/vies/rest-api/check-vat-number")
    assert ask.headers == (("Content-Type", "application/json"), ("Accept", "application/json"))
    assert ask.body == b'{"countryCode":"PT","vatNumber":"507172230"}'
    rules.decide(MANIFEST, url=ask.url, method=ask.method, headers=ask.headers, body=ask.body)


@BOTH
@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(
            ("countryCode", wrong)
            for wrong in (None, "", "pt", "P", "PRT", "PT\n", "P&", ["PT"], 7, "GB", "\uff30\uff34")
        ),
        *(
            ("vatNumber", wrong)
            for wrong in (None, "", "5", "1" * 13, "507 172 230", "50717223a", "5<&>\"'2", 507172230)
        ),
        *(("vatNumber", wrong) for wrong in ("12/3 4?", "1.2", "507172230\n", "٥٠٧١٧٢٢٣٠", True, {})),
    ],
)
def test_a_wrong_parameter_is_refused_before_anything_is_fetched_and_never_repeated(
    name: str, field: str, value: Any
) -> None:
    fetch = Scripted(b"")
    with pytest.raises(ParamsRefused) as refused:
        OPERATIONS[name].run({**PT, field: value}, fetch)
    assert (refused.value.field, fetch.asked) == (field, [])
    assert not isinstance(value, str) or len(value) < 5 or value not in str(refused.value)


@BOTH
def test_missing_parameters_are_refused(name: str) -> None:
    for params in ({}, {"countryCode": "PT"}, {"vatNumber": "507172230"}):
        assert outcome(name, b"", params={"nothing": 1, **params}) == "refused"


# --- results -------------------------------------------------------------------------------------------------------


def test_a_published_answer_gives_its_values() -> None:
    assert values(SOAP, soap()) == {**VALUES, "requestDate": "2025-01-02+01:00"}
    assert values(REST, rest()) == {**VALUES, "requestDate": "2025-01-02T03:04:05.678Z"}


@pytest.mark.parametrize(
    ("written", "meant"),
    [("true", True), ("false", False), ("1", True), ("0", False), (" true ", True), ("\n\tfalse\r\n", False)],
)
def test_valid_is_an_xsd_boolean_with_its_blanks(written: str, meant: bool) -> None:
    assert values(SOAP, soap(valid=written))["valid"] is meant


@BOTH
def test_the_placeholder_is_absent_and_an_empty_text_is_not(name: str) -> None:
    make = {SOAP: soap, REST: rest}[name]
    absent, empty = values(name, make(name="---", address="---")), values(name, make(name="", address=""))
    assert (absent["name"], absent["address"], empty["name"], empty["address"]) == (None, None, "", "")
    near = values(name, make(name="--- ", address="----"))
    assert (near["name"], near["address"]) == ("--- ", "----")


def test_a_missing_or_nil_name_is_absent() -> None:
    head = "".join(f"<{name}>{value}</{name}>" for name, value in FIELDS[:4])
    nil = f'<name xmlns:x="{XSI}" x:nil="true"/><address xmlns:x="{XSI}" x:nil=" 1 "></address>'
    for body in (answer(head), answer(head + nil)):
        found = values(SOAP, body)
        assert (found["valid"], found["name"], found["address"]) == (True, None, None)
    for body in (rest(name=None, address=None), rest(name=..., address=...)):
        found = values(REST, body)
        assert (found["valid"], found["name"], found["address"]) == (True, None, None)


def test_a_date_may_be_missing_and_is_then_absent() -> None:
    assert values(SOAP, soap([field for field in FIELDS if field[0] != "requestDate"]))["requestDate"] is None
    assert values(REST, rest(requestDate=...))["requestDate"] is None


def test_markup_is_decoded_and_lines_are_kept() -> None:
    name, address = "O'Madeup & Sons <Dublin> Ltd", "1 NOWHERE QUAY\nDUBLIN 99\n"
    for found in (values(SOAP, soap(name=name, address=address)), values(REST, rest(name=name, address=address))):
        assert (found["name"], found["address"]) == (name, address)
    references = answer(inner(name="&#xC9;T&#201; &quot;&apos;&gt;", address="A\r\nB\rC&#13;D"))
    assert (values(SOAP, references)["name"], values(SOAP, references)["address"]) == ("ÉTÉ \"'>", "A\nB\nC\rD")


def test_prefixes_comments_character_data_and_order_change_nothing() -> None:
    expected = values(SOAP, soap())
    reversed_fields = "".join(f"<{name}><![CDATA[{value}]]></{name}>" for name, value in reversed(FIELDS))
    body = answer(f"<!-- <valid>false</valid> -->\n  {reversed_fields}\n")
    assert values(SOAP, body) == expected
    assert values(SOAP, b"\xef\xbb\xbf" + body) == expected
    assert values(SOAP, b'<?xml version="1.0" encoding="utf-8" standalone="yes"?>\n' + body) == expected
    assert values(SOAP, answer(inner(valid="tr<!-- no -->ue"))) == expected


def test_what_is_in_the_header_is_not_read_and_no_header_is_needed() -> None:
    expected = values(SOAP, soap())
    assert values(SOAP, envelope(RESPONSE, before="")) == expected
    deep = f"<e:Header>{'<a>' * 13}<valid/>{'</a>' * 13}text</e:Header>"  # 16 levels
    assert values(SOAP, envelope(RESPONSE, before=deep)) == expected


def test_json_has_at_most_32_levels_of_objects_and_arrays() -> None:
    assert outcome(REST, rest(more=nested(31))) == "values"
    assert outcome(REST, rest(more=nested(32))) == "upstream-malformed"


def nested(arrays: int) -> Any:
    return [nested(arrays - 1)] if arrays else 1


def test_unknown_members_of_json_are_not_read() -> None:
    assert values(REST, rest(traderName="---", more={"valid": False}, requestIdentifier="")) == values(REST, rest())


# --- errors, never `false` -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("MS_UNAVAILABLE", "upstream-unavailable"),
        ("SERVICE_UNAVAILABLE", "upstream-unavailable"),
        ("TIMEOUT", "upstream-unavailable"),
        ("SERVER_BUSY", "upstream-unavailable"),
        ("MS_MAX_CONCURRENT_REQ", "upstream-unavailable"),
        ("MS_MAX_CONCURRENT_REQ_TIME", "upstream-unavailable"),
        ("GLOBAL_MAX_CONCURRENT_REQ", "upstream-unavailable"),
        ("GLOBAL_MAX_CONCURRENT_REQ_TIME", "upstream-unavailable"),
        ("INVALID_INPUT", "upstream-fault"),
        ("INVALID_REQUESTER_INFO", "upstream-fault"),
        ("VAT_BLOCKED", "upstream-fault"),
        ("IP_BLOCKED", "upstream-fault"),
        ("ms_unavailable", "upstream-fault"),
        ("", "upstream-fault"),
    ],
)
def test_a_fault_is_an_error_of_its_own(code: str, expected: str) -> None:
    fault = vies_xml.fault("env:Server", code).encode()
    assert [outcome(SOAP, fault, status) for status in (200, 500)] == [expected, expected]
    wrapped = json.dumps({"actionSucceed": False, "errorWrappers": [{"error": code}]}).encode()
    assert outcome(REST, wrapped) == expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (401, "upstream-unauthorised"),
        (403, "upstream-unauthorised"),
        (429, "upstream-unavailable"),
        (500, "upstream-unavailable"),
        (502, "upstream-unavailable"),
        (503, "upstream-unavailable"),
        (599, "upstream-unavailable"),
        (201, "upstream-fault"),
        (204, "upstream-fault"),
        (301, "upstream-fault"),
        (400, "upstream-fault"),
        (404, "upstream-fault"),
    ],
)
def test_another_status_than_200_is_an_error_even_over_a_perfect_answer(status: int, expected: str) -> None:
    assert [outcome(SOAP, soap(), status), outcome(REST, rest(), status)] == [expected, expected]


FAULT = f'<e:Fault xmlns:e="{vies_xml.SOAP}"/>'
RESPONSE = f'<checkVatResponse xmlns="{NS}">{inner()}</checkVatResponse>'
NIL_DATE = f'<requestDate xmlns:x="{XSI}" x:nil="true">'
LOOSE = "<valid>true</valid>"
NOT_THE_SHAPE = {
    "nothing": b"",
    "a maintenance page": b"<html><head><title>Maintenance</title></head><body>Back soon<br></body></html>",
    "a page that is well-formed XML": b"<html><body><valid>true</valid></body></html>",
    "not XML": b"MS_UNAVAILABLE",
    "loose fields": LOOSE.encode(),
    "a response without an envelope": RESPONSE.encode(),
    "an envelope of SOAP 1.2": soap().replace(vies_xml.SOAP.encode(), b"http://www.w3.org/2003/05/soap-envelope"),
    "an undeclared prefix": b"<env:Envelope><env:Body/></env:Envelope>",
    "no Body": f'<e:Envelope xmlns:e="{vies_xml.SOAP}"><e:Header/></e:Envelope>'.encode(),
    "an empty Body": envelope(""),
    "two responses": envelope(RESPONSE * 2),
    "a response and a fault": envelope(RESPONSE + FAULT),
    "a response in the Header": envelope("", before=f'<e:Header><checkVatResponse xmlns="{NS}"/></e:Header>'),
    "another root": envelope(RESPONSE).replace(b"e:Envelope", b"e:Letter"),
    "a second Body": envelope(RESPONSE, after=f"<e:Body>{RESPONSE}</e:Body>"),
    "a second Header": envelope(RESPONSE, before="<e:Header/><e:Header/>"),
    "something before the Body": envelope(RESPONSE, before="<more/>"),
    "something behind the Body": envelope(RESPONSE, after=f"<more>{RESPONSE}</more>"),
    "the Header behind the Body": envelope(RESPONSE, before="", after="<e:Header/>"),
    "text in the envelope": envelope(RESPONSE, before="true"),
    "text in the Body": envelope(f"true{RESPONSE}"),
    "a Header of seventeen levels": envelope(RESPONSE, before=f"<e:Header>{'<a>' * 15}{'</a>' * 15}</e:Header>"),
    "another namespace": answer(inner(), namespace="urn"),
    "no namespace": answer(inner(), namespace=""),
    "another response": answer(inner(), element="checkVatApproxResponse"),
    "the response one level down": envelope(f"<x>{RESPONSE}</x>"),
    "the call itself": answer(inner(), element="checkVat"),
    "no valid": answer(inner().replace("<valid>true</valid>", "")),
    "an empty valid": answer(inner(valid="")),
    "valid in capitals": answer(inner(valid="TRUE")),
    "valid in words": answer(inner(valid="yes")),
    "valid twice": answer(inner() + "<valid>true</valid>"),
    "valid both ways": answer("<valid>false</valid>" + inner()),
    "valid in a comment": answer(inner().replace("<valid>true</valid>", "<!-- <valid>true</valid> -->")),
    "valid in character data": answer(inner().replace("<valid>true</valid>", "<![CDATA[<valid>true</valid>]]>")),
    "valid as an escaped text": answer(inner().replace("<valid>true</valid>", "&lt;valid>true&lt;/valid>")),
    "valid one level down": answer(inner().replace("<valid>true</valid>", "<x><valid>true</valid></x>")),
    "valid with an element in it": answer(inner(valid="<b>true</b>")),
    "valid that is nil": answer(inner().replace("<valid>", f'<valid xmlns:x="{XSI}" x:nil="true">')),
    "valid of another namespace": answer(inner().replace("<valid>", '<valid xmlns="urn:other">')),
    "an attribute that says valid": answer(inner().replace("<valid>true</valid>", '<valid value="true"/>')),
    "no country": answer(inner().replace("<countryCode>PT</countryCode>", "")),
    "no number": answer(inner().replace("<vatNumber>507172230</vatNumber>", "")),
    "a name in a name": answer(inner(name="<name>X</name>")),
    "two names": answer(inner() + "<name>INJECTED</name>"),
    "a nil name with a text": answer(inner().replace("<name>", f'<name xmlns:x="{XSI}" x:nil="true">')),
    "a date that is nil": answer(inner().replace("<requestDate>2025-01-02+01:00", NIL_DATE)),
    "a nil that is no boolean": answer(inner().replace("<name>", f'<name xmlns:x="{XSI}" x:nil="yes">')),
    "a field that the WSDL does not have": answer(inner() + "<status>ACTIVE</status>"),
    "text between the fields": answer(inner() + "true"),
    "a date that is none": answer(inner(requestDate="yesterday")),
    "an empty date": answer(inner(requestDate="")),
    "cut short": soap()[:-1],
    "more behind it": soap() + soap(),
    "a document type": b"<!DOCTYPE x>" + soap(),
    "a document type with an entity": b'<!DOCTYPE x [<!ENTITY v "true">]>' + answer(inner(valid="&v;")),
    "an undefined entity": answer(inner(name="&eacute;")),
    "a processing instruction": b"<?php echo 1 ?>" + soap(),
    "a style sheet": b'<?xml version="1.0"?><?xml-stylesheet href="x"?>' + soap(),
    "XML 1.1": b'<?xml version="1.1"?>' + soap(),
    "another encoding by name": b'<?xml version="1.0" encoding="ISO-8859-1"?>' + soap(),
    "Latin-1 bytes": soap(name="É").replace("É".encode(), b"\xc9"),
    "UTF-16": soap().decode().encode("utf-16"),
    "UTF-16 without a mark": soap().decode().encode("utf-16-be"),
    "UTF-16 of the other end": soap().decode().encode("utf-16-le"),
    "two byte order marks": b"\xef\xbb\xbf" * 2 + soap(),
    "a NUL": soap(name="A\0B"),
}


@pytest.mark.parametrize("what", NOT_THE_SHAPE)
def test_what_has_not_the_published_shape_is_malformed_and_never_false(what: str) -> None:
    body = NOT_THE_SHAPE[what]
    assert outcome(SOAP, body) == "upstream-malformed"
    assert outcome(SOAP, body, 500) == "upstream-unavailable"


@pytest.mark.parametrize(
    "fault",
    [
        "<faultcode>env:Server</faultcode>",
        "<faultstring>MS_UNAVAILABLE</faultstring><faultstring>MS_UNAVAILABLE</faultstring>",
        '<faultstring xmlns="urn:other">MS_UNAVAILABLE</faultstring>',
        "<detail><faultstring>MS_UNAVAILABLE</faultstring></detail>",
        "MS_UNAVAILABLE",
    ],
)
def test_a_fault_that_does_not_say_unavailable_in_its_own_faultstring_is_a_fault(fault: str) -> None:
    assert outcome(SOAP, envelope(f"<e:Fault>{fault}</e:Fault>")) == "upstream-fault"


def test_blanks_around_a_faultstring_are_nothing() -> None:
    said = "<faultcode>e:Server</faultcode><faultstring>\n MS_UNAVAILABLE </faultstring><detail>x</detail>"
    assert outcome(SOAP, envelope(f"<e:Fault>{said}</e:Fault>")) == "upstream-unavailable"


NOT_THE_JSON = {
    "nothing": b"",
    "a maintenance page": b"<html>maintenance</html>",
    "null": b"null",
    "true": b"true",
    "an array": b"[]",
    "an empty object": b"{}",
    "an array of an answer": b"[" + rest() + b"]",
    "no valid": rest(valid=...),
    "valid null": rest(valid=None),
    "valid as a string": rest(valid="true"),
    "valid as a number": rest(valid=1),
    "isValid": rest(valid=..., isValid=True),
    "valid twice": rest()[:-1] + b', "valid": true}',
    "a key twice deep inside": rest()[:-1] + b', "more": {"a": 1, "a": 2}}',
    "NaN": rest()[:-1] + b', "more": NaN}',
    "no country": rest(countryCode=...),
    "a country that is no string": rest(countryCode=["PT"]),
    "a number that is no string": rest(vatNumber=507172230),
    "a name that is no string": rest(name=["X"]),
    "an address that is an object": rest(address={"line1": "X"}),
    "half a surrogate": rest().replace(b"TYTLE LDA", b"\\ud800"),
    "a date that is none": rest(requestDate="yesterday"),
    "a date that is a number": rest(requestDate=1735787045),
    "a byte order mark": b"\xef\xbb\xbf" + rest(),
    "Latin-1": rest(name="É").replace("É".encode(), b"\xc9"),
    "UTF-16": rest().decode().encode("utf-16"),
    "cut short": rest()[:-1],
    "more behind it": rest() + b"{}",
}


@pytest.mark.parametrize("what", NOT_THE_JSON)
def test_json_that_has_not_the_published_shape_is_malformed_and_never_false(what: str) -> None:
    assert outcome(REST, NOT_THE_JSON[what]) == "upstream-malformed"


@pytest.mark.parametrize(
    "wrong",
    [
        {"actionSucceed": False},
        {"actionSucceed": True},
        {"errorWrappers": None},
        {"errorWrappers": []},
        {"errorWrappers": ["MS_UNAVAILABLE"]},
        {"errorWrappers": [{"error": "MS_UNAVAILABLE"}, {"error": "INVALID_INPUT"}]},
        {"errorWrappers": [{"error": ["MS_UNAVAILABLE"]}]},
        {"errorWrappers": [{"message": "MS_UNAVAILABLE"}]},
        {"errorWrappers": {"error": "MS_UNAVAILABLE"}},
    ],
)
def test_an_error_body_of_any_shape_beside_an_answer_is_a_fault(wrong: dict[str, Any]) -> None:
    assert outcome(REST, rest(**wrong)) == "upstream-fault"


@BOTH
@pytest.mark.parametrize(
    "other",
    [
        {"vatNumber": "507172231"},
        {"vatNumber": "PT507172230"},
        {"vatNumber": " 507172230"},
        {"vatNumber": "0507172230"},
        {"vatNumber": ""},
        {"countryCode": "ES"},
        {"countryCode": "pt"},
        {"countryCode": ""},
    ],
)
def test_an_answer_about_another_number_is_a_mismatch(name: str, other: dict[str, str]) -> None:
    body = soap(**other) if name == SOAP else rest(**other)
    assert outcome(name, body) == "upstream-mismatch"


def test_greece_is_el_and_an_answer_under_gr_is_about_another_country() -> None:
    params = {"countryCode": "EL", "vatNumber": "999999999"}
    assert values(SOAP, soap(**params), params=params)["countryCode"] == "EL"
    assert outcome(SOAP, soap(countryCode="GR", vatNumber="999999999"), params=params) == "upstream-mismatch"


# --- the predecessor's record --------------------------------------------------------------------------------------


def test_the_predecessors_record_has_its_fields_and_its_placeholder() -> None:
    record = OPERATIONS[SOAP].record
    assert record is not None
    assert record(values(SOAP, soap())) == VALUES
    withheld = record(values(SOAP, soap(valid="false", name="---", address="---")))
    assert withheld == {**PT, "valid": False, "name": "---", "address": "---"}
    assert record(values(SOAP, soap(name="")))["name"] == ""
