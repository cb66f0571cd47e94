"""Sealed requests in the booted image: its own cryptography, its NSM's documents, and both machines between."""

import base64
import json
import os
from collections.abc import Callable

import pytest
import requests

import tytle_verifier
from devstack.enclave import Enclave
from devstack.two_machines import TwoMachines
from tests.e2e import asking
from tests.e2e.conftest import Images
from tests.e2e.test_boot import CALL, measured
from tests.e2e.test_verified import pinned, root_of
from tytle_verifier import SealedClient
from tytle_verifier.adapter import AttestedAdapter, attest_only, attestation_of
from tytle_verifier.errors import MeasurementError, NotOpened

SENT = json.dumps({**CALL, "challenge": base64.b64encode(os.urandom(32)).decode()}).encode()


def client(enclave: Enclave, image: Images, *, production: bool = False) -> SealedClient:
    def ask(challenge: bytes) -> bytes:
        question = {"type": "identity", "challenge": base64.b64encode(challenge).decode()}
        return enclave.exchange(json.dumps(question).encode())

    policy = pinned(measured(image.production if production else image.test))
    return SealedClient(policy=policy, ask=ask, clock=tytle_verifier.live, random=os.urandom, root=root_of(enclave))


def frame(data: bytes) -> bytes:
    """Return what the parent makes of the body of `POST /attest/sealed`."""
    fields = json.loads(data)
    return json.dumps({"type": "sealed", "keyId": fields["keyId"], "sealed": fields["sealed"]}).encode()


def test_the_booted_enclave_opens_what_was_sealed_to_its_verified_key(enclave: Enclave, images: Images) -> None:
    call = client(enclave, images).seal(SENT)
    verified = tytle_verifier.verify_reply(
        call.open(enclave.exchange(frame(call.data))),
        policy=pinned(measured(images.test)),
        time=tytle_verifier.live(),
        root=root_of(enclave),
        request=tytle_verifier.load_request(SENT),
    )
    assert json.loads(verified.body)["valid"] is True
    assert verified.statement.boot == call.identity.boot
    assert "manifest" in dict(call.identity.boot_report)
    with pytest.raises(NotOpened, match="here before"):
        call.open(enclave.exchange(frame(call.data)))


def test_a_client_that_pins_another_image_seals_nothing_to_it(enclave: Enclave, images: Images) -> None:
    with pytest.raises(MeasurementError):
        client(enclave, images, production=True).seal(SENT)


def test_an_ordinary_session_is_sealed_through_both_machines(machines: TwoMachines, images: Images) -> None:
    machines.run_image(images.test)
    adapter = AttestedAdapter(parent=machines.url, policy=pinned(measured(images.test)), root=asking.root_of(machines))
    session = attest_only(requests.Session(), {"https://ec.europa.eu/": adapter})
    post: Callable[..., requests.Response] = session.post
    answers = [
        post(CALL["url"], data=CALL["body"], headers={"Content-Type": "application/json"}, timeout=60) for _ in range(3)
    ]
    assert [answer.json()["valid"] for answer in answers] == [True, True, True]
    assert {attestation_of(answer).verified.statement.service for answer in answers} == {"vies"}
