"""Derivations of VIES and HMRC: every rule of DERIVATIONS.md's D1 to D7, each with what breaks it."""

import json
from typing import Any

import pytest
import verifier_derivations as made
from hypothesis import given
from hypothesis import strategies as st
from verifier_derivations import FIELDS, fault, hmrc, outcome, soap, vies, vies_rest

from tytle_verifier import DerivationError
from tytle_verifier.derive.hmrc import record as hmrc_record
from tytle_verifier.derive.vies import record as vies_record

VALUES = {
    "countryCode": "PT",
    "vatNumber": "507172230",
    "valid": True,
    "name": "TYTLE LDA",
    "address": "RUA 123",
    "requestDate": "2025-01-01+01:00",
}
MALFORMED, FAULT, UNAVAILABLE = "upstream-malformed", "upstream-fault", "upstream-unavailable"
BLANK = "".join(f"<a{n}/>" for n in range(260))
XSI = 'xmlns:i="http://www.w3.org/2001/XMLSchema-instance"'


def changed(old: str, new: str) -> str:
    assert old in FIELDS
    return soap(FIELDS.replace(old, new))


@pytest.mark.parametrize(
    ("answer", "differs"),
    [
        (soap(), {}),
        ("\ufeff" + soap(), {}),
        ('<?xml version="1.0" encoding="Utf-8"?>' + soap(), {}),
        (soap(header="<e:Header><any/></e:Header>"), {}),
        (changed("true", " 1\n"), {}),
        (changed("true", "false"), {"valid": False}),
        (changed("TYTLE LDA", "A &amp; B<!-- x --> &#67;<![CDATA[<]]>\r\n."), {"name": "A & B C<\n."}),
        (changed("TYTLE LDA", "---"), {"name": None}),
        (changed("TYTLE LDA", ""), {"name": ""}),
        (changed("<name>TYTLE LDA</name>", f'<name {XSI} i:nil="1"/>'), {"name": None}),
        (changed("<requestDate>2025-01-01+01:00</requestDate>", ""), {"requestDate": None}),
        (changed("2025-01-01+01:00", " 2025-01-01\n"), {"requestDate": "2025-01-01"}),
    ],
)
def test_a_soap_answer_gives_its_values(answer: str, differs: dict[str, Any]) -> None:
    assert outcome("vies.check_vat", vies(answer)) == {**VALUES, **differs}


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "maintenance",
        "\ufeff\ufeff" + soap(),
        soap() + "<x/>",
        "<!DOCTYPE x>" + soap(),
        soap().replace("<e:Body>", "<e:Body><?pi?>"),
        '<?xml version="1.1"?>' + soap(),
        '<?xml version="1.0" encoding="latin1"?>' + soap(),
        soap().encode() + b"\xff",
        soap(FIELDS + "\x00"),
        soap(header="<e:Other/>"),
        soap(header="words"),
        soap(content=""),
        soap(content="<a/><b/>"),
        soap(content="<checkVatResponse/>"),
        soap(header=f"<e:Header>{BLANK}</e:Header>"),
        soap(header=f"<e:Header>{'<a>' * 15}{'</a>' * 15}</e:Header>"),
        soap().replace(made.ENVELOPE, "urn:other"),
        changed("true", "TRUE"),
        changed("<valid>true</valid>", ""),
        changed("<valid>true</valid>", "<valid>true</valid><valid>true</valid>"),
        changed("<valid>true</valid>", f'<valid {XSI} i:nil="1"></valid>'),
        changed("TYTLE LDA", "<b/>"),
        changed("<name>", "<other/><name>"),
        changed("<name>", '<name xmlns="urn:other">'),
        changed("<name>TYTLE LDA", f'<name {XSI} i:nil="1">TYTLE LDA'),
        changed("<name>", f'<name {XSI} i:nil="yes">'),
        changed("<name>", "words<name>"),
        changed("2025-01-01+01:00", "yesterday"),
        changed("2025-01-01+01:00", "1" * 32),
        soap().replace("checkVatResponse", "checkVatApproxResponse"),
        changed("<countryCode>PT</countryCode>", ""),
        soap(FIELDS + " " * 262_144),
    ],
)
def test_another_document_is_malformed(answer: str) -> None:
    assert outcome("vies.check_vat", vies(answer)) == MALFORMED


@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        (fault(" MS_UNAVAILABLE\n"), 200, UNAVAILABLE),
        (fault("TIMEOUT"), 500, UNAVAILABLE),
        (fault("INVALID_INPUT"), 500, FAULT),
        (fault("TIMEOUT").replace("faultcode", "faultstring"), 200, FAULT),
        (soap(), 500, UNAVAILABLE),
        ("gibberish", 500, UNAVAILABLE),
        (soap(), 503, UNAVAILABLE),
        (fault("INVALID_INPUT"), 429, UNAVAILABLE),
        (soap(), 403, "upstream-unauthorised"),
        (soap(), 302, FAULT),
        (soap(), 404, FAULT),
        (changed("PT", "ES"), 200, "upstream-mismatch"),
        (changed("507172230", "507172231"), 200, "upstream-mismatch"),
        (changed("507172230", "&lt;/vatNumber>"), 200, "upstream-mismatch"),
    ],
)
def test_what_is_no_answer_has_its_code(answer: str, status: int, code: str) -> None:
    assert outcome("vies.check_vat", vies(answer, status)) == code


def test_a_request_for_another_number_makes_a_genuine_answer_a_mismatch() -> None:
    assert outcome("vies.check_vat", vies(soap(), number="999999990")) == "upstream-mismatch"


def test_great_britain_is_never_asked_for() -> None:
    assert outcome("vies.check_vat", vies(changed("PT", "GB"), country="GB")) == "upstream-mismatch"


def test_another_url_method_or_header_is_a_contradiction() -> None:
    for operation, call in (("vies.check_vat_rest", vies(soap())), ("vies.check_vat", vies_rest("{}"))):
        with pytest.raises(DerivationError, match="URL of call 1"):
            outcome(operation, call)
    with pytest.raises(DerivationError, match="method of call 1"):
        outcome("hmrc.lookup", vies(soap()))


REST = {**made.REST, "requestDate": "2025-01-01T10:00:00.123Z"}


@pytest.mark.parametrize(
    ("members", "came"),
    [
        (REST, {**VALUES, "requestDate": "2025-01-01T10:00:00.123Z"}),
        ({**REST, "name": None, "address": "---", "more": [1.5]}, {"name": None, "address": None}),
        ({**REST, "valid": False}, {"valid": False}),
        ({**REST, "valid": 1}, MALFORMED),
        ({**REST, "valid": None}, MALFORMED),
        ({**REST, "name": 1}, MALFORMED),
        ({**REST, "countryCode": "\ud800"}, MALFORMED),
        ({**REST, "requestDate": "1234567"}, MALFORMED),
        ({**REST, "vatNumber": "1"}, "upstream-mismatch"),
        ({**REST, "actionSucceed": True}, FAULT),
        ({"errorWrappers": [{"error": "TIMEOUT"}]}, UNAVAILABLE),
        ({"errorWrappers": [{"error": "TIMEOUT"}, {"error": "VOW-ERR-1"}]}, FAULT),
        ({"errorWrappers": [{"error": "TIMEOUT "}]}, FAULT),
        ({"errorWrappers": []}, FAULT),
    ],
)
def test_a_rest_answer_gives_its_values_or_code(members: dict[str, Any], came: Any) -> None:
    derived = outcome("vies.check_vat_rest", vies_rest(json.dumps(members)))
    expected = {**VALUES, "requestDate": REST["requestDate"], **came} if isinstance(came, dict) else came
    assert derived == expected


DEEP = '{"valid":' + "[" * 31 + "]" * 31 + "}"


@pytest.mark.parametrize(
    "body",
    [
        *("", "[]", "null", "\ufeff{}", '{"a":1,"\\u0061":2}', '{"a":NaN}', "{} x", '{"a":"\n"}', "\x0c{}"),
        *(DEEP.replace("[", "[[").replace("]", "]]"), f'{{"a":{"9" * 4301}}}', b"{\xff}"),
    ],
)
def test_what_is_no_json_object_is_malformed(body: str) -> None:
    assert outcome("vies.check_vat_rest", vies_rest(body)) == MALFORMED
    assert outcome("hmrc.lookup", hmrc(body)) == MALFORMED


def test_json_may_be_32_levels_deep_and_no_more() -> None:
    genuine = json.dumps(REST)[:-1]
    for levels, good in ((31, True), (32, False)):
        body = f'{genuine},"deep":{"[" * levels}{"]" * levels}}}'
        assert isinstance(outcome("vies.check_vat_rest", vies_rest(body)), dict) is good


# --- HMRC ------------------------------------------------------------------------------------------------------------

COMPANY: dict[str, Any] = {
    "target": {
        "name": "ACME",
        "vatNumber": "553557881",
        "address": {"line1": "1 Street", "line2": "", "line4": None, "postcode": "SW9", "countryCode": "GB"},
    },
    "processingDate": "2019-01-29T16:34:20+00:00",
}
HMRC_VALUES: dict[str, Any] = {
    "vatNumber": "553557881",
    "valid": True,
    "name": "ACME",
    "addressLine1": "1 Street",
    "addressLine2": "",
    "addressLine3": None,
    "addressLine4": None,
    "addressLine5": None,
    "addressPostcode": "SW9",
    "addressCountryCode": "GB",
    "processingDate": "2019-01-29T16:34:20+00:00",
}
NONE = {**dict.fromkeys(HMRC_VALUES), "vatNumber": "553557881", "valid": False}


def company(**target: Any) -> str:
    return json.dumps({**COMPANY, "target": {**COMPANY["target"], **target}})


def test_a_registered_and_an_unregistered_number_give_values() -> None:
    assert outcome("hmrc.lookup", hmrc(json.dumps(COMPANY))) == HMRC_VALUES
    for body in (
        '{"code":"NOT_FOUND"}',
        '{"code":"NOT_FOUND","message":"targetVrn does not match a registered company"}',
    ):
        assert outcome("hmrc.lookup", hmrc(body, 404)) == NONE


@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        ("{}", 200, MALFORMED),
        (company(vatNumber="1"), 200, "upstream-mismatch"),
        (company(vatNumber=1), 200, MALFORMED),
        (company(name=None), 200, MALFORMED),
        (company(address=None), 200, MALFORMED),
        (company(address={"line1": "x"}), 200, MALFORMED),
        (company(address={"line1": "x", "countryCode": "GB", "line3": 3}), 200, MALFORMED),
        (json.dumps({**COMPANY, "processingDate": "x"}), 200, MALFORMED),
        (json.dumps({"target": COMPANY["target"]}), 200, MALFORMED),
        ('{"code":"MATCHING_RESOURCE_NOT_FOUND"}', 404, FAULT),
        ('{"code":"NOT_FOUND","message":"other"}', 404, FAULT),
        ('{"code":"NOT_FOUND","message":null}', 404, FAULT),
        ("<html>", 404, FAULT),
        ("{}", 401, "upstream-unauthorised"),
        ("{}", 500, UNAVAILABLE),
        ("{}", 400, FAULT),
    ],
)
def test_what_is_no_lookup_has_its_code(answer: str, status: int, code: str) -> None:
    assert outcome("hmrc.lookup", hmrc(answer, status)) == code


def test_a_number_of_another_length_is_no_request_of_ours() -> None:
    with pytest.raises(DerivationError, match="URL of call 1"):
        outcome("hmrc.lookup", hmrc(json.dumps(COMPANY), number="55355788"))


def test_the_predecessors_records() -> None:
    assert vies_record({**VALUES, "name": None}) == {
        "countryCode": "PT",
        "vatNumber": "507172230",
        "valid": True,
        "name": "---",
        "address": "RUA 123",
    }
    record = {"countryCode": "GB", "vatNumber": "553557881", "valid": True, "name": "ACME", "address": "1 Street, SW9"}
    assert hmrc_record(HMRC_VALUES) == record
    assert hmrc_record(NONE)["address"] is None


@given(st.binary(max_size=200), st.integers(100, 599))
def test_any_answer_gives_values_or_a_code(answer: bytes, status: int) -> None:
    for operation, call in (
        ("vies.check_vat", vies(answer, status)),
        ("vies.check_vat_rest", vies_rest(answer, status)),
        ("hmrc.lookup", hmrc(answer, status)),
    ):
        assert isinstance(outcome(operation, call), str | dict)


@given(
    st.lists(st.sampled_from(["<a>", "</a>", "<!--", "-->", "<![CDATA[", "]]>", "&lt;", "&x;", "<!DOCTYPE x [", "x"]))
)
def test_any_markup_gives_values_or_a_code(pieces: list[str]) -> None:
    assert isinstance(outcome("vies.check_vat", vies(soap(header="".join(pieces)))), str | dict)


def test_an_entity_bomb_is_refused_before_it_grows() -> None:
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))
    bomb = f'<!DOCTYPE x [<!ENTITY e0 "x">{entities}]>{changed("TYTLE LDA", "&e11;")}'
    assert outcome("vies.check_vat", vies(bomb)) == MALFORMED
