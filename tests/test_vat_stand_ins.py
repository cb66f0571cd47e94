"""The handlers against the stand-ins: every number that hmrc_trouble and vies_trouble list, and the good ones."""

from urllib.parse import urlsplit

import pytest

from devstack import hmrc_trouble, vies_trouble
from devstack.hmrc import COMPANIES as BRITISH
from devstack.hmrc import PROBLEM_NUMBERS, Hmrc
from devstack.trouble import edited
from devstack.upstream import Handler, Request, Response
from devstack.vies import Vies
from devstack.vies_register import COMPANIES, FAULT_NUMBERS, Register
from enclave_worker.handlers.errors import OperationFailed
from enclave_worker.handlers.operation import Ask, Fetch, Got, Values
from tests.vat_kit import GB, OPERATIONS

BOTH = pytest.mark.parametrize("name", ["vies.check_vat", "vies.check_vat_rest"])


def fetch_from(handler: Handler) -> Fetch:
    """A fetch that a stand-in answers in this process."""

    def fetch(ask: Ask) -> Got:
        url = urlsplit(ask.url)
        headers = {name.lower(): value for name, value in ask.headers}
        request = Request(method=ask.method, host=url.netloc, path=url.path, headers=headers, body=ask.body or b"")
        answer = handler(request)
        received = tuple((name.lower(), value) for name, value in answer.headers)
        return Got(status=answer.status, headers=received, body=answer.body)

    return fetch


def ask(name: str, country: str, number: str, vies: Vies | None = None) -> Values | str:
    """The values, or the code of the failure."""
    handler: Handler = Hmrc(versions=("2.0",)) if name == "hmrc.lookup" else vies or Vies()
    params = {**GB, "vatNumber": number} if name == "hmrc.lookup" else {"countryCode": country, "vatNumber": number}
    try:
        return OPERATIONS[name].run(params, fetch_from(handler))
    except OperationFailed as exc:
        return exc.code


WRONG = {
    "000000901": "upstream-malformed",
    "000000902": "upstream-malformed",
    "000000903": "upstream-unavailable",
    "000000904": "upstream-unavailable",
    "000000905": "upstream-mismatch",
    "000000906": "upstream-mismatch",
    "000000907": "upstream-malformed",
    "000000908": "upstream-malformed",
    "000000909": "upstream-malformed",
    "000000910": "upstream-malformed",
    "000000912": "upstream-unavailable",
    "000000913": "upstream-fault",
    "000000914": "upstream-fault",
}


@BOTH
@pytest.mark.parametrize(("number", "code"), WRONG.items())
def test_a_wrong_answer_of_vies_is_an_error_in_every_state(name: str, number: str, code: str) -> None:
    assert [ask(name, country, number) for country in ("PT", "EL", "XI")] == [code] * 3


@BOTH
def test_an_answer_that_says_valid_beside_the_field_is_not_valid(name: str) -> None:
    found = ask(name, "PT", "000000911")
    assert isinstance(found, dict)
    assert found["valid"] is False


def test_every_number_of_the_tables_is_tried() -> None:
    assert {*WRONG, "000000911"} == set(vies_trouble.WRONG_ANSWERS)
    assert set(BRITISH_WRONG) == {*hmrc_trouble.WRONG_ANSWERS, *PROBLEM_NUMBERS}
    documented = (vies_trouble.__doc__ or "") + (hmrc_trouble.__doc__ or "")
    assert all(number in documented for number in {*WRONG, *BRITISH_WRONG})


@BOTH
@pytest.mark.parametrize(("number", "fault"), FAULT_NUMBERS.items())
def test_a_fault_by_number_is_an_error(name: str, number: str, fault: str) -> None:
    busy = fault.endswith(("UNAVAILABLE", "TIMEOUT", "REQ", "REQ_TIME"))
    assert ask(name, "DE", number) == ("upstream-unavailable" if busy else "upstream-fault")
    assert ask(name, "DE", number, Vies(fault_status=500)) == ask(name, "DE", number)


@BOTH
def test_a_state_that_is_away_is_unavailable_and_a_code_that_is_none_is_a_fault(name: str) -> None:
    away = Vies(Register(unavailable=frozenset({"MT"})))
    assert ask(name, "MT", "12345678", away) == "upstream-unavailable"
    assert [ask(name, code, "999999999") for code in ("GR", "XX", "US")] == ["upstream-fault"] * 3


@BOTH
def test_every_company_of_the_register_is_valid_and_a_number_of_nobody_is_not(name: str) -> None:
    for (country, number), company in COMPANIES.items():
        found = ask(name, country, number)
        assert isinstance(found, dict)
        given = {
            key: None if value == "---" else value
            for key, value in (("name", company.name), ("address", company.address))
        }
        assert found | given == found
        assert (found["valid"], found["countryCode"], found["vatNumber"]) == (True, country, number)
    found = ask(name, "PT", "999999990")
    assert isinstance(found, dict)
    assert (found["valid"], found["name"], found["address"]) == (False, None, None)


BRITISH_WRONG = {
    "000000400": "upstream-fault",
    "000000401": "upstream-unauthorised",
    "000000403": "upstream-unauthorised",
    "000000404": "upstream-fault",
    "000000406": "upstream-fault",
    "000000429": "upstream-unavailable",
    "000000500": "upstream-unavailable",
    "000000503": "upstream-unavailable",
    "000000901": "upstream-malformed",
    "000000902": "upstream-malformed",
    "000000903": "upstream-malformed",
    "000000904": "upstream-malformed",
    "000000905": "upstream-mismatch",
    "000000906": "upstream-malformed",
    "000000907": "upstream-malformed",
    "000000908": "upstream-malformed",
    "000000909": "upstream-malformed",
    "000000910": "upstream-fault",
    "000000911": "upstream-fault",
    "000000912": "upstream-fault",
}


@pytest.mark.parametrize(("number", "code"), BRITISH_WRONG.items())
def test_a_wrong_answer_of_hmrc_is_an_error(number: str, code: str) -> None:
    assert ask("hmrc.lookup", "GB", number) == code


def test_every_british_company_is_valid_and_a_number_of_nobody_is_not() -> None:
    for number, company in BRITISH.items():
        if number in BRITISH_WRONG:
            continue
        found = ask("hmrc.lookup", "GB", number)
        assert isinstance(found, dict)
        assert (found["valid"], found["name"], found["addressLine1"]) == (True, company.name, company.address["line1"])
    found = ask("hmrc.lookup", "GB", "000000000")
    assert isinstance(found, dict)
    assert (found["valid"], found["name"]) == (False, None)


def test_a_wrong_token_and_a_withdrawn_version_are_errors() -> None:
    operation = OPERATIONS["hmrc.lookup"]
    for handler, token, code in (
        (Hmrc(), "another", "upstream-unauthorised"),
        (Hmrc(versions=("1.0",)), GB["accessToken"], "upstream-fault"),
    ):
        with pytest.raises(OperationFailed) as failed:
            operation.run({**GB, "accessToken": token}, fetch_from(handler))
        assert failed.value.code == code


def test_an_edit_that_finds_nothing_fails_loudly() -> None:
    with pytest.raises(ValueError, match="the answer has no"):
        edited(rb"valid", b"")(Response(status=200, body=b"{}"))
