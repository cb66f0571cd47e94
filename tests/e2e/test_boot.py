"""What the device reports is what `eif measure` computed; the production image trusts no test root."""

import base64
import hashlib
from pathlib import Path
from typing import Any

import cbor2
import pytest

from devstack import nitro
from devstack.__main__ import lookup
from devstack.enclave import MODULE_ID, Enclave
from eif import layout
from eif.measure import Measurements, measure
from nsm import document
from tests.e2e.conftest import Images

CALL = lookup("PT", "507172230")


def measured(image: Path) -> Measurements:
    return measure(layout.read(image.read_bytes()))


def reported(reply: dict[str, Any]) -> dict[int, bytes]:
    return dict(document.read(base64.b64decode(reply["attestation"]["nsmDocument"])).pcrs)


def assert_measured(reply: dict[str, Any], image: Path) -> None:
    expected = measured(image)
    pcrs = reported(reply)
    assert (pcrs[0], pcrs[1], pcrs[2]) == (expected.pcr0, expected.pcr1, expected.pcr2)
    assert pcrs[8] == (expected.pcr8 or bytes(48))


def test_the_enclave_answers_a_ping(enclave: Enclave) -> None:
    assert enclave.ask({"type": "ping"})["type"] == "pong"


def test_an_answer_fetched_through_the_relay_is_bound_to_a_document_of_the_device(enclave: Enclave) -> None:
    reply = enclave.ask(CALL)
    assert (reply["success"], reply["status"]) == (True, 200)
    statement = base64.b64decode(reply["attestation"]["statement"])
    fields = document.read(base64.b64decode(reply["attestation"]["nsmDocument"]))
    assert fields.user_data is not None
    assert cbor2.loads(fields.user_data)["root"] == hashlib.sha256(b"\0" + statement).digest()
    assert fields.module_id == MODULE_ID


def test_the_device_reports_what_eif_measure_computed(enclave: Enclave, images: Images) -> None:
    assert_measured(enclave.ask(CALL), images.test)


def test_the_production_image_refuses_the_test_root_and_has_its_refusal_attested(
    production: Enclave, images: Images
) -> None:
    reply = production.ask(CALL)
    assert (reply["success"], reply["status"]) == (False, 502)
    statement = cbor2.loads(base64.b64decode(reply["attestation"]["statement"]))
    assert statement["exchanges"][0]["failure"]["kind"] == "tls"
    assert_measured(reply, images.production)


def test_the_test_image_boots_the_same_and_is_another_application(images: Images) -> None:
    production, test = measured(images.production), measured(images.test)
    assert production.pcr1 == test.pcr1
    assert production.pcr0 != test.pcr0
    assert production.pcr2 != test.pcr2


def test_init_sends_the_heartbeat_that_nitro_cli_waits_for(enclave: Enclave) -> None:
    assert enclave.heartbeat.seen == 1
    assert "init: heartbeat answered" in enclave.console


def test_the_generator_is_reseeded_with_the_devices_bytes(enclave: Enclave) -> None:
    assert "nsm-hwrng, 256 bytes mixed in, reseeded" in enclave.console


def test_an_enclave_whose_worker_ends_is_over(images: Images, tmp_path: Path) -> None:
    broken = tmp_path / "broken.eif"
    broken.write_bytes(nitro.with_file(images.production.read_bytes(), "opt/tytle/services/vies.toml", b"name = 1"))
    with (
        pytest.raises(RuntimeError, match="init: worker ended with status 1"),
        Enclave(broken, tmp_path / "run", ports={}),
    ):
        pytest.fail("it answered")
