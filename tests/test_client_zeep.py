"""zeep, a SOAP client that knows nothing of enclaves, through the adapter and the whole stack: no patch, no option."""

from collections.abc import Iterator

import pytest
import requests
import zeep
from zeep.exceptions import Fault

from devstack import __main__ as commands
from devstack.stack import Stack
from tytle_verifier.adapter import AttestedAdapter, attest_only, attestation_of

WSDL = "https://ec.europa.eu/taxation_customs/vies/checkVatService.wsdl"


class Heard:
    """Keeps the URL and the service in the verified statement of every answer that the session hands out."""

    def __init__(self) -> None:
        self.exchanges: list[tuple[str, str]] = []

    def __call__(self, response: requests.Response, *_args: object, **_kwargs: object) -> None:
        statement = attestation_of(response).verified.statement
        self.exchanges.append((response.url, statement.service))


@pytest.fixture(scope="module")
def heard() -> Heard:
    return Heard()


@pytest.fixture(scope="module")
def client(running_stack: Stack, heard: Heard) -> Iterator[zeep.Client]:
    adapter = AttestedAdapter(
        parent=running_stack.url, policy=commands.policy_of(running_stack), root=commands.root_of(running_stack)
    )
    with attest_only(requests.Session(), {"https://ec.europa.eu/": adapter}) as session:
        session.hooks["response"].append(heard)
        yield zeep.Client(WSDL, transport=zeep.Transport(session=session))


def test_zeep_reads_the_wsdl_and_asks_for_a_number_through_the_enclave(client: zeep.Client, heard: Heard) -> None:
    answer = client.service.checkVat(countryCode="PT", vatNumber="507172230")
    assert (answer.countryCode, answer.vatNumber, answer.valid) == ("PT", "507172230", True)
    assert (answer.name, answer.address) == ("TYTLE LDA", "RUA 123")
    service = "https://ec.europa.eu/taxation_customs/vies/services/checkVatService"
    assert heard.exchanges == [(WSDL, "vies"), (service, "vies")]


def test_zeep_gets_the_other_operation_and_a_number_that_is_not_valid(client: zeep.Client) -> None:
    answer = client.service.checkVatApprox(countryCode="FR", vatNumber="00999999999", traderName="Sarl Imaginaire")
    assert (answer.valid, answer.traderNameMatch) == (True, "1")
    assert client.service.checkVat("PT", "999999990").valid is False


def test_zeep_gets_a_fault_as_a_fault(client: zeep.Client) -> None:
    with pytest.raises(Fault, match="MS_UNAVAILABLE"):
        client.service.checkVat(countryCode="DE", vatNumber="000000301")
