"""What the booted image answers, to a relying party that pins what `eif measure` says of the file."""

import base64
import hashlib
import json
import os

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

import tytle_verifier
from devstack.enclave import Enclave
from eif.measure import Measurements
from policy import manifest
from policy.manifest import Manifest
from tests.e2e.conftest import MANIFEST, Images
from tests.e2e.test_boot import CALL, measured
from tytle_verifier import ChainError, MeasurementError, Policy, Release, TestPkiRoot

POLICY = manifest.load(MANIFEST.read_bytes())
SENT = json.dumps({**CALL, "challenge": base64.b64encode(os.urandom(32)).decode()}).encode()


def pinned(image: Measurements, service: Manifest = POLICY) -> Policy:
    manifest_register = hashlib.sha384(bytes(48) + service.digest).digest()
    return Policy(
        service=service.name,
        releases=(
            Release(commit="0" * 40, pcrs={0: image.pcr0, 1: image.pcr1, 2: image.pcr2}, manifest=service.digest),
        ),
        pcrs={8: frozenset({image.pcr8 or bytes(48)}), 16: frozenset({manifest_register})},
        require_challenge=True,
    )


def root_of(enclave: Enclave) -> TestPkiRoot:
    return TestPkiRoot(x509.load_pem_x509_certificate(enclave.root_pem.read_bytes()).public_bytes(Encoding.DER))


def test_an_answer_verifies_with_pcr0_1_2_8_and_16_pinned(enclave: Enclave, images: Images) -> None:
    verified = tytle_verifier.verify_reply(
        enclave.exchange(SENT),
        policy=pinned(measured(images.test)),
        time=tytle_verifier.live(),
        root=root_of(enclave),
        request=tytle_verifier.load_request(SENT),
    )
    assert verified.response.status == 200
    assert json.loads(verified.body)["valid"] is True


def test_a_verifier_that_pins_another_image_refuses_it(enclave: Enclave, images: Images) -> None:
    with pytest.raises(MeasurementError):
        tytle_verifier.verify_reply(
            enclave.exchange(SENT),
            policy=pinned(measured(images.production)),
            time=tytle_verifier.live(),
            root=root_of(enclave),
        )


def test_a_verifier_that_trusts_aws_refuses_the_emulated_host(enclave: Enclave, images: Images) -> None:
    with pytest.raises(ChainError):
        tytle_verifier.verify_reply(
            enclave.exchange(SENT), policy=pinned(measured(images.test)), time=tytle_verifier.live()
        )


def test_the_identity_answer_says_what_boot_found(enclave: Enclave) -> None:
    challenge = os.urandom(32)
    reply = enclave.ask({"type": "identity", "challenge": base64.b64encode(challenge).decode()})
    document = base64.b64decode(reply["nsmDocument"])
    read = tytle_verifier.verify_document(document, time=tytle_verifier.live(), root=root_of(enclave)).document
    assert read.nonce == challenge
    assert hashlib.sha256(base64.b64decode(reply["identity"])).digest() in (read.user_data or b"")
    assert "uid 1000, no core dumps, not dumpable" in enclave.console
