"""Stripe's own SDK, unpatched, through an AttestedAdapter and a running system: sealed, attested, verified."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import stripe as sdk

from devstack import stripe as upstream
from devstack.__main__ import NO_COMMIT, root_of
from devstack.nsm_registers import IMAGE
from devstack.stack import Stack
from devstack.stripe import Stripe
from tytle_verifier import Policy, Release
from tytle_verifier.adapter import AttestedAdapter, attest_only, attestation_of
from tytle_verifier.adapter import call as calls

NEWEST = "ch_3Dev00000000000000000024"


class Recorded(requests.Session):
    """A session that keeps the responses it gave, so that a test can look at what was attested."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[requests.Response] = []

    def send(self, request: requests.PreparedRequest, **more: Any) -> requests.Response:
        response = super().send(request, **more)
        self.given.append(response)
        return response


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    stand_in = Stripe(faults={"/v1/charges/ch_busy": upstream.RATE_LIMITED, "/v1/charges/ch_down": upstream.HTML})
    with Stack("stripe-payment", handlers={upstream.HOST: stand_in}) as running:
        yield running


@pytest.fixture
def session(stack: Stack) -> Recorded:
    policy = Policy(
        service="stripe-payment",
        releases=(Release(commit=NO_COMMIT, pcrs=IMAGE, manifest=stack.manifest.digest),),
        urls=("https://api.stripe.com/v1/*",),
        methods=frozenset({"GET"}),
        sealed="required",
    )
    adapter = AttestedAdapter(parent=stack.url, policy=policy, root=root_of(stack))
    return attest_only(Recorded(), {"https://api.stripe.com/": adapter})


@pytest.fixture
def client(session: Recorded) -> sdk.StripeClient:
    return sdk.StripeClient(upstream.KEY, http_client=sdk.RequestsClient(session=session), max_network_retries=0)


def attested_urls(session: Recorded) -> list[str]:
    return [attestation_of(response).verified.statement.answer.request.url for response in session.given]


def test_charges_are_listed_and_retrieved(client: sdk.StripeClient, session: Recorded) -> None:
    page = client.v1.charges.list({"limit": 3})
    assert [charge.amount for charge in page.data] == [1024, 1023, 1022]
    assert page.has_more is True
    charge = client.v1.charges.retrieve(NEWEST)
    assert (charge.id, charge.currency, charge.status) == (NEWEST, "eur", "succeeded")
    assert attested_urls(session) == [
        "https://api.stripe.com/v1/charges?limit=3",
        f"https://api.stripe.com/v1/charges/{NEWEST}",
    ]


def test_every_page_is_a_verified_answer_of_its_own(client: sdk.StripeClient, session: Recorded) -> None:
    charges = list(client.v1.charges.list({"limit": 10}).auto_paging_iter())
    assert [charge.amount for charge in charges] == [1000 + number for number in reversed(range(25))]
    assert [url.partition("starting_after=")[2] for url in attested_urls(session)] == [
        "",
        "ch_3Dev00000000000000000015",
        "ch_3Dev00000000000000000005",
    ]


def test_filters_and_expansions_in_brackets_are_sent_escaped(client: sdk.StripeClient, session: Recorded) -> None:
    first = upstream.FIRST_CREATED
    page = client.v1.charges.list({"created": {"gte": first, "lt": first + 7200}, "expand": ["data.customer"]})
    assert [charge.customer.email for charge in page.data] == ["customer1@example.com", "customer0@example.com"]
    assert attested_urls(session) == [
        "https://api.stripe.com/v1/charges"
        f"?created%5Bgte%5D={first}&created%5Blt%5D={first + 7200}&expand%5B0%5D=data.customer"
    ]


def test_the_module_s_old_interface_works_as_well(session: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sdk, "api_key", upstream.KEY)
    monkeypatch.setattr(sdk, "default_http_client", sdk.RequestsClient(session=session))
    monkeypatch.setattr(sdk, "max_network_retries", 0)
    assert sdk.Charge.retrieve(NEWEST).amount == 1024
    assert sdk.Customer.list(limit=1).data[0].object == "customer"
    assert sdk.Invoice.retrieve("in_1Dev00000000000000000001").status == "paid"
    assert sdk.PaymentIntent.retrieve("pi_3Dev00000000000000000001").amount_received == 1001
    assert sdk.Account.retrieve(stripe_account=upstream.CONNECTED).id == upstream.CONNECTED
    assert sdk.Account.retrieve(upstream.CONNECTED).payouts_enabled is False
    assert len(session.given) == 6


def test_stripe_s_errors_are_the_sdk_s_exceptions_and_are_attested(client: sdk.StripeClient, session: Recorded) -> None:
    with pytest.raises(sdk.InvalidRequestError, match="No such charge: 'ch_none'"):
        client.v1.charges.retrieve("ch_none")
    with pytest.raises(sdk.RateLimitError):
        client.v1.charges.retrieve("ch_busy")
    with pytest.raises(sdk.APIError, match="Invalid response body"):
        client.v1.charges.retrieve("ch_down")
    with pytest.raises(sdk.AuthenticationError):
        client.v1.charges.list(options={"api_key": "sk_test_wrong"})
    assert [response.status_code for response in session.given] == [404, 429, 503, 401]
    assert len(attested_urls(session)) == 4


def test_what_the_policy_does_not_allow_does_not_reach_stripe(client: sdk.StripeClient, session: Recorded) -> None:
    with pytest.raises(sdk.APIConnectionError):
        client.v1.charges.create({"amount": 1, "currency": "eur"})
    with pytest.raises(sdk.APIConnectionError):
        client.v1.balance.retrieve()
    assert session.given == []


def test_the_key_is_in_nothing_that_was_attested(client: sdk.StripeClient, session: Recorded) -> None:
    client.v1.charges.list()
    [response] = session.given
    attestation = json.loads(attestation_of(response).reply)["attestation"]
    assert upstream.KEY.encode() not in base64.b64decode(attestation["statement"]) + attestation_of(response).reply


def test_brackets_are_escaped_in_the_query_only() -> None:
    request = requests.Request("GET", "https://api.stripe.com/v1/charges?a[b]=[c]&d%5B%5D=e").prepare()
    made = json.loads(calls.encode(request, challenge=b"c" * 32, timeout_ms=1000).data)
    assert made["url"] == "https://api.stripe.com/v1/charges?a%5Bb%5D=%5Bc%5D&d%5B%5D=e"
