"""`hmrc.lookup`: registered by the documented answer only, not registered by the documented error only."""

import json
from typing import Any

import pytest

from devstack import hmrc as stand_in
from enclave_worker.handlers.errors import ParamsRefused
from policy import rules
from policy.headers import SECRET_HEADERS
from tests.vat_kit import GB, MANIFEST, OPERATIONS, Scripted, hmrc, outcome, values

NAME = "hmrc.lookup"
NOTHING = dict.fromkeys(
    ("name", *(f"addressLine{line}" for line in range(1, 6)), "addressPostcode", "addressCountryCode", "processingDate")
)
NOT_FOUND = b'{"code":"NOT_FOUND","message":"targetVrn does not match a registered company"}'


def test_the_call_names_version_2_and_carries_the_token_in_a_secret_header() -> None:
    fetch = Scripted(hmrc())
    OPERATIONS[NAME].run(GB, fetch)
    [ask] = fetch.asked
    assert (ask.method, ask.body) == ("GET", None)
    assert ask.url == "https://api.service.hmrc.gov.uk/organisations/vat/check-vat-number/lookup/553557881"
    assert ask.headers == (
        ("Accept", "application/vnd.hmrc.2.0+json"),
        ("Authorization", "Bearer bb7fed3fe10dd235a2ccda3d50fb"),
    )
    assert "authorization" in SECRET_HEADERS
    rules.decide(MANIFEST, url=ask.url, method=ask.method, headers=ask.headers, body=ask.body)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(
            ("vatNumber", wrong)
            for wrong in (None, "", "12345678", "1234567890", "GB553557881", "55355788a", 553557881)
        ),
        *(("vatNumber", wrong) for wrong in ("12/3 4?", "553557881\n", "٥٥٣٥٥٧٨٨١", ["553557881"], "1" * 13)),
        *(("accessToken", wrong) for wrong in (None, "", "a b", "a\r\nX: y", "é", "=", "a=b", "x" * 4097, 7, ["a"])),
    ],
)
def test_a_wrong_parameter_is_refused_before_anything_is_fetched_and_never_repeated(field: str, value: Any) -> None:
    fetch = Scripted(b"")
    with pytest.raises(ParamsRefused) as refused:
        OPERATIONS[NAME].run({**GB, field: value}, fetch)
    assert (refused.value.field, fetch.asked) == (field, [])
    assert not isinstance(value, str) or len(value) < 3 or value not in str(refused.value)
    assert GB["accessToken"] not in str(refused.value)


def test_a_documented_answer_gives_all_its_values() -> None:
    assert values(NAME, hmrc()) == {
        **NOTHING,
        "vatNumber": "553557881",
        "valid": True,
        "name": "Credite Sberger Donal Inc.",
        "addressLine1": "131B Barton Hamlet",
        "addressPostcode": "SW97 5CK",
        "addressCountryCode": "GB",
        "processingDate": "2019-01-31T12:43:17+00:00",
    }
    lines = {f"line{line}": f"L{line}" for line in range(1, 6)}
    found = values(NAME, hmrc(address=lines))
    assert [found[f"addressLine{line}"] for line in range(1, 6)] == ["L1", "L2", "L3", "L4", "L5"]


def test_a_number_of_twelve_digits_is_asked_and_compared_whole() -> None:
    params = {**GB, "vatNumber": "146295999727"}
    assert values(NAME, hmrc(target={"vatNumber": "146295999727"}), params=params)["valid"] is True
    assert outcome(NAME, hmrc(target={"vatNumber": "146295999"}), params=params) == "upstream-mismatch"


def test_absent_empty_and_null_lines_of_an_address() -> None:
    found = values(NAME, hmrc(address={"line2": "", "line3": None, "postcode": ...}))
    assert (found["addressLine2"], found["addressLine3"], found["addressPostcode"]) == ("", None, None)


@pytest.mark.parametrize("body", [NOT_FOUND, b'{"code":"NOT_FOUND"}', NOT_FOUND[:-1] + b',"more":1}'])
def test_the_documented_not_found_is_a_result(body: bytes) -> None:
    assert values(NAME, body, 404) == {**NOTHING, "vatNumber": "553557881", "valid": False}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>404</html>",
        b"null",
        b"[]",
        b"{}",
        b'{"code":"MATCHING_RESOURCE_NOT_FOUND","message":"..."}',
        b'{"code":"NOT_FOUND","message":"Resource was not found"}',
        b'{"code":"NOT_FOUND","message":null}',
        b'{"code":["NOT_FOUND"]}',
        b'{"code":"INVALID","code":"NOT_FOUND"}',
        b'{"message":"targetVrn does not match a registered company"}',
        b'{"statusCode":404,"message":"URI not found","requested":"/lookup/553557881"}',
        NOT_FOUND[:-1],
        hmrc(),
    ],
)
def test_any_other_404_says_nothing_about_the_number(body: bytes) -> None:
    assert outcome(NAME, body, 404) == "upstream-fault"


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (401, "upstream-unauthorised"),
        (403, "upstream-unauthorised"),
        (429, "upstream-unavailable"),
        (500, "upstream-unavailable"),
        (503, "upstream-unavailable"),
        (202, "upstream-fault"),
        (301, "upstream-fault"),
        (400, "upstream-fault"),
        (406, "upstream-fault"),
        (410, "upstream-fault"),
    ],
)
def test_another_status_is_an_error_whatever_the_body_says(status: int, expected: str) -> None:
    assert [outcome(NAME, body, status) for body in (hmrc(), NOT_FOUND, b"")] == [expected] * 3


NOT_THE_SHAPE = {
    "nothing": b"",
    "a maintenance page": b"<html>maintenance</html>",
    "an empty object": b"{}",
    "null": b"null",
    "an array": b"[]",
    "the documented not found": NOT_FOUND,
    "a target that is null": b'{"target":null,"processingDate":"2019-01-31T12:43:17+00:00"}',
    "a target that is an array": b'{"target":[],"processingDate":"2019-01-31T12:43:17+00:00"}',
    "no name": hmrc(target={"name": ...}),
    "a name that is no string": hmrc(target={"name": {"en": "X"}}),
    "no number": hmrc(target={"vatNumber": ...}),
    "a number that is no string": hmrc(target={"vatNumber": 553557881}),
    "no address": hmrc(target={"address": ...}),
    "an address that is a string": hmrc(target={"address": "131B Barton Hamlet"}),
    "no first line": hmrc(address={"line1": ...}),
    "a first line that is null": hmrc(address={"line1": None}),
    "no country": hmrc(address={"countryCode": ...}),
    "a second line that is a number": hmrc(address={"line2": 2}),
    "a postcode that is an array": hmrc(address={"postcode": ["SW97 5CK"]}),
    "no processing date": hmrc(processingDate=...),
    "a processing date that is none": hmrc(processingDate="today"),
    "a key twice": hmrc()[:-1] + b', "target": {}}',
    "half a surrogate": hmrc().replace(b"Credite", b"\\udfff"),
    "a byte order mark": b"\xef\xbb\xbf" + hmrc(),
    "cut short": hmrc()[:-1],
}


@pytest.mark.parametrize("what", NOT_THE_SHAPE)
def test_what_has_not_the_documented_shape_does_not_make_a_number_valid(what: str) -> None:
    assert outcome(NAME, NOT_THE_SHAPE[what]) == "upstream-malformed"


@pytest.mark.parametrize("other", ["553557882", "GB553557881", "553557881 ", "", "0553557881"])
def test_an_answer_about_another_number_is_a_mismatch(other: str) -> None:
    assert outcome(NAME, hmrc(target={"vatNumber": other})) == "upstream-mismatch"


def test_every_company_of_the_stand_in_is_an_answer() -> None:
    for number, company in stand_in.COMPANIES.items():
        body = hmrc(target={"name": company.name, "vatNumber": number, "address": dict(company.address)})
        found = values(NAME, body, params={**GB, "vatNumber": number})
        assert (found["valid"], found["name"]) == (True, company.name)


def test_the_predecessors_record_has_every_line_of_the_address() -> None:
    record = OPERATIONS[NAME].record
    assert record is not None
    lines = {"line2": "B", "line3": "", "line4": "D", "line5": "E"}
    assert record(values(NAME, hmrc(address=lines))) == {
        "countryCode": "GB",
        "vatNumber": "553557881",
        "valid": True,
        "name": "Credite Sberger Donal Inc.",
        "address": "131B Barton Hamlet, B, D, E, SW97 5CK",
    }
    nobody = {"countryCode": "GB", "vatNumber": "553557881", "valid": False, "name": None, "address": None}
    assert record(values(NAME, json.dumps({"code": "NOT_FOUND"}).encode(), 404)) == nobody
