"""Queries through the worker: what is bound, what fails and how, what is refused, and in which order."""

import base64
import hashlib
import json
import time
from dataclasses import replace
from typing import Any

import cbor2
import pytest

from devstack.nsm_faults import Fails
from devstack.soft_nsm import SoftNsm
from devstack.upstream import Request, Response
from enclave_worker.catalogue import CatalogueError
from enclave_worker.conclusion import HandlerDefect
from enclave_worker.fields import records, versioned
from enclave_worker.fields.codec import ORDER
from enclave_worker.worker import Capacity
from nsm import document
from policy import manifest
from tests.enclave_kit import HOST, MANIFEST, Enclave, enclave, statement_of
from tests.sealing import sealer
from tests.toy_service import OPERATIONS, SCHEMA, TOML, declared, item, shop
from wire.errors import PeerLost

ITEM = {"id": "a1", "itemName": "Lamp", "cents": 1999, "sold": False}


def toy(handler: Any = shop, **more: Any) -> Any:
    return enclave(handler, toml=TOML, operations=OPERATIONS, **more)


@pytest.fixture(scope="module")
def running():  # type: ignore[no-untyped-def]
    with toy() as ready:
        yield ready


def user_data_of(reply: dict[str, Any]) -> dict[str, Any]:
    fields = document.read(base64.b64decode(reply["attestation"]["nsmDocument"]))
    said: dict[str, Any] = cbor2.loads(fields.user_data or b"")
    return said


def test_the_reply_has_values_and_field_elements_and_the_statement_binds_both(running: Enclave) -> None:
    reply = running.query("test.item", {"id": "a1"}, challenge=base64.b64encode(b"c" * 16).decode())
    said = statement_of(reply)
    schema = manifest.load(TOML).operations[0].schema
    elements = versioned.encode(schema, ITEM, time_ms=said["time"])  # type: ignore[arg-type]
    assert (reply["success"], reply["status"], reply["result"]) == (True, 200, ITEM)
    assert base64.b64decode(reply["bn254"]) == elements
    assert said["result"] == {
        "operation": "test.item",
        "schema": SCHEMA,
        "values": ITEM,
        "fields": hashlib.sha256(elements).digest(),
    }
    assert (said["id"], said["challenge"]) == ("q1", b"c" * 16)
    assert user_data_of(reply)["fields"] == said["result"]["fields"]


def test_the_predecessors_fields_keep_their_meaning(running: Enclave) -> None:
    reply = running.query("test.item", {"id": "a1"})
    attestation = reply["attestation"]
    assert (reply["rawBody"], reply["bodyEncoding"], reply["headers"]) == (reply["bn254"], "utf-8", {})
    assert reply["bn254Headers"] == {"x-test-item-name": "Lamp"}
    assert attestation["bn254Hash"] == hashlib.sha256(base64.b64decode(reply["bn254"])).hexdigest()
    assert attestation["responseHash"] == hashlib.sha256(reply["bn254"].encode()).hexdigest()
    assert (attestation["apiEndpoint"], attestation["apiMethod"]) == (f"{HOST}/a1", "GET")
    bound = f"{attestation['responseHash']}|{HOST}/a1|{attestation['timestamp']}"
    assert attestation["nonce"] == hashlib.sha256(bound.encode()).hexdigest()
    assert attestation["requestHash"] == hashlib.sha256(f"https://{HOST}/a1|GET|{{}}".encode()).hexdigest()


def test_the_record_of_the_predecessor_is_given_where_it_is_asked_for(running: Enclave) -> None:
    reply = running.query("test.item", {"id": "a1"}, schema="SICAE")
    expected = {"nif": "a1", "name": "Lamp", "cae1Code": None, "cae1Desc": "", "cae2Code": "62010", "cae2Desc": None}
    assert reply["result"] == expected
    assert base64.b64decode(reply["bn254"]) == records.encode(records.RECORDS["SICAE"], expected)  # type: ignore[arg-type]
    assert statement_of(reply)["result"]["schema"] == "SICAE"
    plain = {"x-test-name": "Lamp", "x-test-cae1-desc": "", "x-test-cae2-desc": ""}
    assert reply["bn254Headers"] == plain


def test_every_upstream_call_is_an_exchange_in_order() -> None:
    with toy(lambda request: item("b2") if request.path == "/a1" else shop(request)) as running:
        reply = running.query("test.twice", {"id": "a1"})
    exchanges = statement_of(reply)["exchanges"]
    assert [each["request"]["url"] for each in exchanges] == [f"https://{HOST}/a1", f"https://{HOST}/b2"]
    assert reply["result"]["id"] == "b2"
    assert reply["attestation"]["apiEndpoint"] == f"{HOST}/b2"


@pytest.mark.parametrize(("number", "shown"), [(2**53 - 1, 2**53 - 1), (2**53, str(2**53)), (10**20, str(10**20))])
def test_integers_beyond_what_every_reader_keeps_are_their_digits(number: int, shown: int | str) -> None:
    with toy(lambda _: item(cents=number)) as running:
        reply = running.query("test.item", {"id": "a1"})
    said = statement_of(reply)
    assert reply["result"]["cents"] == said["result"]["values"]["cents"] == shown
    words = base64.b64decode(reply["bn254"])
    assert int.from_bytes(words[-64:-32], "big") == number


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Response(status=503), "upstream-unavailable"),
        (item("zz"), "upstream-mismatch"),
        (item(cents=-1), "unencodable"),
        (item(cents=ORDER), "unencodable"),
        (item(cents=True), "unencodable"),
        (item(cents=None), "unencodable"),
        (item(name="é" * 4096 + "a"), "unencodable"),
        (item(name="\ud800"), "unencodable"),
        (item(name=7), "unencodable"),
    ],
)
def test_an_answer_that_gives_no_result_is_attested_with_its_code(answer: Response, code: str) -> None:
    with toy(lambda _: answer) as running:
        reply = running.query("test.item", {"id": "a1"})
    said = statement_of(reply)
    assert (reply["success"], reply["status"], reply["code"], reply["rawBody"]) == (False, 502, code, "")
    assert "result" not in reply
    assert "bn254" not in reply
    assert said["result"] == {"operation": "test.item", "schema": SCHEMA, "error": code}
    assert said["exchanges"][0]["response"]["status"] == answer.status
    assert "fields" not in user_data_of(reply)


def test_the_longest_text_is_stated_whole() -> None:
    with toy(lambda _: item(name="é" * 4096)) as running:
        reply = running.query("test.item", {"id": "a1"})
    assert statement_of(reply)["result"]["values"]["itemName"] == "é" * 4096


def nobody(*_: object) -> Any:
    raise PeerLost("down", delivered=False)


@pytest.mark.parametrize("operation", ["test.item", "test.stubborn"])
def test_a_failed_call_ends_the_query_without_a_result_whatever_the_handler_does(operation: str) -> None:
    with toy(dial=nobody) as running:
        reply = running.query(operation, {"id": "a1"})
    said = statement_of(reply)
    assert (reply["success"], reply["status"], reply["rawBody"]) == (False, 502, "")
    assert [each["failure"]["kind"] for each in said["exchanges"]] == ["connect"]
    assert "result" not in said
    assert "result" not in reply


def test_all_calls_of_a_query_share_one_deadline() -> None:
    def slow(request: Request) -> Response:
        time.sleep(0.35)
        return item("b2") if request.path == "/a1" else shop(request)

    with toy(slow) as running:
        reply = running.query("test.twice", {"id": "a1"}, timeoutMs=800)
    first, second = statement_of(reply)["exchanges"]
    assert first["response"]["status"] == 200
    assert second["failure"]["kind"] == "timeout"
    assert (reply["success"], reply["status"]) == (False, 504)


def test_a_call_that_the_policy_refuses_after_another_was_made_is_attested() -> None:
    with toy() as running:
        reply = running.query("test.twice", {"id": "a1"})
    said = statement_of(reply)
    assert (reply["success"], reply["code"], len(said["exchanges"])) == (False, "call-refused", 1)
    assert said["result"]["error"] == "call-refused"


def test_no_more_calls_are_made_than_are_declared() -> None:
    with toy() as running:
        reply = running.query("test.careless", {"id": "a1"})
        assert len(running.upstream.requests) == 2
    assert (reply["code"], len(statement_of(reply)["exchanges"])) == ("call-refused", 2)


def test_only_declared_hosts_are_asked() -> None:
    toml = MANIFEST + declared("test.vault", hosts=HOST).encode()
    with enclave(shop, toml=toml, operations=OPERATIONS) as running:
        reply = running.query("test.vault", {"id": "a1"})
        assert (reply["status"], reply["code"], running.upstream.requests) == (403, "host.not-allowed", ())


@pytest.mark.parametrize(
    ("operation", "params", "more", "status", "code"),
    [
        ("test.undeclared", {"id": "a1"}, {}, 404, "operation.unknown"),
        ("nonsense", {"id": "a1"}, {}, 404, "operation.unknown"),
        ("test.item", {"id": "a1"}, {"service": "vies"}, 404, "service.other"),
        ("test.item", {"id": "a1"}, {"schema": "VIES"}, 400, "schema.unknown"),
        ("test.twice", {"id": "a1"}, {"schema": "SICAE"}, 400, "schema.unknown"),
        ("test.item", {"id": "a1", "planted": "planted"}, {}, 400, "params.refused"),
        ("test.item", {}, {}, 400, "params.refused"),
        ("test.item", {"id": "!planted"}, {}, 400, "params.refused"),
        ("test.twice", {"id": "a/b"}, {}, 403, "path.not-allowed"),
        ("test.vault", {"id": "a1"}, {}, 403, "sealed.required"),
        ("test.quiet_failure", {"id": "a1"}, {}, 502, "upstream-fault"),
    ],
)
def test_what_is_refused_costs_no_fetch_and_no_attestation(
    operation: str, params: dict[str, Any], more: dict[str, Any], status: int, code: str
) -> None:
    with toy() as running:
        reply = running.query(operation, params, **more)
        assert (reply["success"], reply["status"], reply["code"]) == (False, status, code)
        assert "attestation" not in reply
        assert running.upstream.requests == ()
        assert "!planted" not in reply["error"]
        assert "planted" not in running.log.getvalue()


def test_a_sealed_query_is_answered_as_an_unsealed_one_and_may_go_where_sealing_is_wanted() -> None:
    with toy() as running:
        client = sealer(running.worker)
        client.seal({"id": "q1", "service": "test", "operation": "test.vault", "params": {"id": "a1"}})
        reply = client.open(running.worker.answer(client.frame()))
    assert (reply["success"], reply["result"]) == (True, ITEM)
    line = json.loads(running.log.getvalue())
    assert line.keys() == {"time", "service", "event", "sealed", "calls", "ms"}  # not its id, operation or end


@pytest.mark.parametrize("operation", ["test.silent", "test.other"])
def test_a_handler_that_breaks_its_contract_gets_nothing_attested(operation: str) -> None:
    with toy() as running, pytest.raises(HandlerDefect):
        running.query(operation, {"id": "a1"})


def test_a_worker_does_not_start_with_a_declared_operation_that_no_code_runs() -> None:
    with pytest.raises(CatalogueError, match=r"test\.item"), enclave(toml=TOML, operations=OPERATIONS[1:]):
        pass


def test_a_worker_does_not_start_with_a_declared_record_that_no_code_makes() -> None:
    toml = MANIFEST + declared("test.twice", record="VIES").encode()
    problem = r"test\.twice makes no record VIES"
    with pytest.raises(CatalogueError, match=problem), enclave(toml=toml, operations=OPERATIONS):
        pass


def test_a_worker_does_not_start_with_two_handlers_of_one_name() -> None:
    twins = (OPERATIONS[0], replace(OPERATIONS[1], name=OPERATIONS[0].name))
    with pytest.raises(CatalogueError, match="two handlers"), enclave(operations=twins):
        pass


def test_a_result_that_cannot_be_attested_is_not_handed_out() -> None:
    nsm = SoftNsm()
    with toy(nsm=nsm) as running:
        nsm.fault = Fails()
        reply = running.query("test.item", {"id": "a1"})
    assert (reply["success"], reply["status"], "result" in reply) == (False, 502, False)


def test_a_full_worker_refuses_a_query_before_anything_is_asked() -> None:
    with toy(capacity=Capacity(fetches=0)) as running:
        reply = running.query("test.item", {"id": "a1"})
        assert (reply["status"], running.upstream.requests) == (503, ())


def test_the_log_names_the_operation_and_nothing_of_the_caller_or_the_upstream(running: Enclave) -> None:
    running.query("test.item", {"id": "planted7"})
    lines = [json.loads(line) for line in running.log.getvalue().splitlines()]
    last = lines[-1]
    assert (last["event"], last["operation"], last["calls"]) == ("queried", "test.item", 1)
    assert last.keys() == {"time", "service", "event", "id", "operation", "calls", "ms", "failure"}
    assert "planted7" not in running.log.getvalue()
