"""Typed answers from the booted image: its own XML and JSON readers, its NSM's documents."""

import base64
import json
import os
from typing import Any

import pytest

import tytle_verifier
from devstack.enclave import Enclave
from tests.e2e.conftest import Images
from tests.e2e.test_boot import measured
from tests.e2e.test_verified import pinned, root_of
from tytle_verifier.errors import AttestedFailure
from tytle_verifier.request import decode_either


def asked(operation: str, number: str) -> bytes:
    query = {"service": "vies", "operation": operation, "params": {"countryCode": "PT", "vatNumber": number}}
    return json.dumps({**query, "challenge": base64.b64encode(os.urandom(32)).decode()}).encode()


def answer(enclave: Enclave, images: Images, sent: bytes) -> tytle_verifier.VerifiedReply:
    return tytle_verifier.verify_reply(
        enclave.exchange(sent),
        policy=pinned(measured(images.test)),
        time=tytle_verifier.live(),
        root=root_of(enclave),
        request=decode_either(sent),
    )


@pytest.mark.parametrize("operation", ["vies.check_vat", "vies.check_vat_rest"])
@pytest.mark.parametrize(("number", "valid"), [("507172230", True), ("999999990", False)])
def test_the_booted_enclave_gives_a_typed_fact_that_verifies(
    enclave: Enclave, images: Images, operation: str, number: str, valid: bool
) -> None:
    values: dict[str, Any] = dict(answer(enclave, images, asked(operation, number)).result.values)
    assert (values["countryCode"], values["vatNumber"], values["valid"]) == ("PT", number, valid)


def test_a_register_that_cannot_answer_is_an_attested_error_and_no_fact(enclave: Enclave, images: Images) -> None:
    verified = answer(enclave, images, asked("vies.check_vat", "000000301"))
    with pytest.raises(AttestedFailure, match="upstream-unavailable"):
        _ = verified.result
