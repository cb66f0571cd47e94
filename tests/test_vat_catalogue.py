"""services/vies.toml and the VAT handlers agree: what is declared runs, its values are the fields, its words differ."""

import json

import pytest

from enclave_worker.catalogue import bind
from enclave_worker.conclusion import Conclusion, conclude
from enclave_worker.handlers import HANDLERS
from enclave_worker.handlers.errors import OperationFailed
from tests.vat_kit import ANSWERS, MANIFEST, hmrc, rest, soap, values

OFFERS = bind(MANIFEST.operations, HANDLERS["vies"])
NOBODY = json.dumps({"code": "NOT_FOUND"}).encode()
RESULTS = [(name, make(), 200) for name, make in ANSWERS.items()]
RESULTS += [
    ("vies.check_vat", soap(valid="false", name="---", address="---"), 200),
    ("vies.check_vat_rest", rest(valid=False, name="---", address="---", requestDate=...), 200),
    ("hmrc.lookup", NOBODY, 404),
    ("hmrc.lookup", hmrc(address={f"line{line}": "é" for line in range(1, 6)}), 200),
]


def concluded(name: str, body: bytes, status: int = 200, form: int = 0) -> Conclusion:
    offer = OFFERS[name]
    return conclude(offer, offer.forms[form], values(name, body, status), time_ms=1_735_689_600_123)


def test_everything_that_the_handlers_can_do_is_declared_and_asks_one_host_once() -> None:
    assert list(OFFERS) == [operation.name for operation in HANDLERS["vies"]]
    for offer in OFFERS.values():
        assert (offer.declaration.max_calls, len(offer.declaration.hosts)) == (1, 1)
        assert [form.schema for form in offer.forms][1:] == ["VIES"]


@pytest.mark.parametrize(("name", "body", "status"), RESULTS)
@pytest.mark.parametrize("form", [0, 1])
def test_every_result_has_field_elements_in_both_schemas(name: str, body: bytes, status: int, form: int) -> None:
    conclusion = concluded(name, body, status, form)
    assert conclusion.result.error is None
    fields = OFFERS[name].forms[form].fields
    words = 2 + sum(2 if field.optional else 1 for field in fields) if form == 0 else len(fields)
    assert len(conclusion.elements) == 32 * words


def test_absent_empty_and_placeholder_differ_in_our_schema() -> None:
    bodies = {
        "given": soap(),
        "empty": soap(name="", address=""),
        "withheld": soap(name="---", address="---"),
        "not valid": soap(valid="false", name="---", address="---"),
    }
    assert len({concluded("vies.check_vat", body).elements for body in bodies.values()}) == len(bodies)
    assert [values("vies.check_vat", bodies["withheld"])[name] for name in ("name", "address")] == [None, None]


def test_soap_and_rest_differ_in_their_dates_alone() -> None:
    date = "2025-01-02"
    by_soap = concluded("vies.check_vat", soap(requestDate=date))
    assert by_soap.elements == concluded("vies.check_vat_rest", rest(requestDate=date)).elements


def test_a_text_that_fits_no_field_is_an_error_and_no_result() -> None:
    conclusion = concluded("vies.check_vat", soap(name="A" * 9000))
    assert (conclusion.result.error, conclusion.result.values, conclusion.elements) == ("unencodable", None, b"")
    assert concluded("hmrc.lookup", hmrc(address={"countryCode": "G" * 32})).result.error == "unencodable"


def test_an_error_of_an_upstream_has_no_field_elements() -> None:
    offer = OFFERS["vies.check_vat"]
    failed = OperationFailed("upstream-unavailable", "VIES or the member state's register cannot answer now")
    conclusion = conclude(offer, offer.forms[0], failed, time_ms=0)
    assert (conclusion.result.error, conclusion.elements) == ("upstream-unavailable", b"")
