"""VIES and HMRC queries through a whole worker: production manifest, real TLS, the stand-ins, statement and NSM."""

import base64
import hashlib
import json
import socket
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from devstack.hmrc import Hmrc
from devstack.soft_nsm import SoftNsm
from devstack.tls_pki import Authority
from devstack.upstream import UpstreamServer
from devstack.vies import Vies
from enclave_worker.handlers import HANDLERS
from enclave_worker.log import Log
from enclave_worker.sealed.keys import Lifetime
from enclave_worker.upstream.phases import Phases
from enclave_worker.upstream.tls import client_context
from enclave_worker.worker import Capacity, Worker, unix_milliseconds
from policy import manifest
from policy.manifest import Upstream
from tests.enclave_kit import statement_of
from tests.vat_kit import GB, PT
from wire.errors import PeerLost

TOML = (Path(__file__).parent.parent / "services" / "vies.toml").read_bytes()
LOG = StringIO()


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    authority = Authority()
    stand_ins = {"ec.europa.eu": Vies(), "api.service.hmrc.gov.uk": Hmrc(versions=("2.0",))}
    with UpstreamServer(stand_ins, authority=authority) as server:

        def dial(_: Upstream, _deadline: float) -> socket.socket:
            try:
                return socket.create_connection(server.address, timeout=2)
            except OSError as exc:
                raise PeerLost("down", delivered=False) from exc

        ready = Worker(
            manifest=manifest.load(TOML),
            operations=HANDLERS["vies"],
            exchange=SoftNsm().exchange,
            dial=dial,
            tls=client_context(authority.roots_pem),
            phases=Phases(),
            capacity=Capacity(),
            lifetime=Lifetime(),
            clock_ms=unix_milliseconds,
            log=Log("vies", stream=LOG),
        )
        yield ready
        ready.close()


def ask(worker: Worker, operation: str, params: dict[str, Any], **more: Any) -> dict[str, Any]:
    message = {"id": "q1", "service": "vies", "operation": operation, "params": params, **more}
    reply: dict[str, Any] = json.loads(worker.answer(json.dumps(message).encode()))
    return reply


@pytest.mark.parametrize("operation", ["vies.check_vat", "vies.check_vat_rest"])
def test_a_valid_number_is_attested_with_the_call_that_was_made(worker: Worker, operation: str) -> None:
    reply = ask(worker, operation, PT)
    said = statement_of(reply)
    expected = {**PT, "valid": True, "name": "TYTLE LDA", "address": "RUA 123"}
    assert (reply["success"], reply["status"]) == (True, 200)
    assert {**reply["result"], **expected} == reply["result"]
    assert (said["result"]["operation"], said["result"]["values"]) == (operation, reply["result"])
    [exchange] = said["exchanges"]
    assert exchange["request"]["method"] == "POST"
    assert exchange["request"]["url"].startswith("https://ec.europa.eu/taxation_customs/vies/")
    assert said["result"]["fields"] == hashlib.sha256(base64.b64decode(reply["bn254"])).digest()


def test_the_predecessors_record_has_the_predecessors_words(worker: Worker) -> None:
    reply = ask(worker, "vies.check_vat", PT, schema="VIES")
    assert reply["bn254Headers"] == {"x-vies-name": "TYTLE LDA", "x-vies-address": "RUA 123"}
    # SPEC 8.1: the hash of this record
    hashed = "433d401ae9d6be2b06cfca3d6d95853197dd6d872d249c8bad26b0009a6fa8a3"
    assert reply["attestation"]["bn254Hash"] == hashed
    nobody = ask(worker, "hmrc.lookup", {**GB, "vatNumber": "000000000"}, schema="VIES")
    assert nobody["result"] == {
        "countryCode": "GB",
        "vatNumber": "000000000",
        "valid": False,
        "name": None,
        "address": None,
    }


@pytest.mark.parametrize(
    ("operation", "number", "code"),
    [
        ("vies.check_vat", "000000301", "upstream-unavailable"),
        ("vies.check_vat", "000000901", "upstream-malformed"),
        ("vies.check_vat", "000000902", "upstream-malformed"),
        ("vies.check_vat", "000000905", "upstream-mismatch"),
        ("vies.check_vat_rest", "000000201", "upstream-fault"),
        ("vies.check_vat_rest", "000000901", "upstream-malformed"),
        ("hmrc.lookup", "000000404", "upstream-fault"),
        ("hmrc.lookup", "000000429", "upstream-unavailable"),
        ("hmrc.lookup", "000000903", "upstream-malformed"),
    ],
)
def test_an_answer_that_is_no_result_is_attested_as_an_error(
    worker: Worker, operation: str, number: str, code: str
) -> None:
    params = GB if operation == "hmrc.lookup" else PT
    reply = ask(worker, operation, {**params, "vatNumber": number})
    said = statement_of(reply)
    assert (reply["success"], reply["code"], "result" in reply, "bn254" in reply) == (False, code, False, False)
    assert (said["result"]["error"], "values" in said["result"], len(said["exchanges"])) == (code, False, 1)


def test_the_token_of_hmrc_is_in_no_statement_no_reply_and_no_log(worker: Worker) -> None:
    for params in (GB, {**GB, "accessToken": "another-token-of-ours"}, {**GB, "vatNumber": "x"}):
        reply = ask(worker, "hmrc.lookup", params)
        assert params["accessToken"] not in json.dumps(reply)
        assert params["accessToken"] not in LOG.getvalue()
        if "attestation" in reply:
            [exchange] = statement_of(reply)["exchanges"]
            assert ["Authorization", None] in exchange["request"]["headers"]
            assert params["accessToken"].encode() not in base64.b64decode(reply["attestation"]["statement"])


@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("vies.check_vat", {"countryCode": "GB", "vatNumber": "553557881"}),
        ("vies.check_vat", {"countryCode": "PT"}),
        ("vies.check_vat_rest", {**PT, "vatNumber": 507172230}),
        ("vies.check_vat_rest", {**PT, "requester": "PT"}),
        ("hmrc.lookup", {"vatNumber": "553557881"}),
    ],
)
def test_wrong_parameters_are_refused_unattested(worker: Worker, operation: str, params: dict[str, Any]) -> None:
    reply = ask(worker, operation, params)
    assert (reply["success"], reply["status"], "attestation" in reply) == (False, 400, False)
