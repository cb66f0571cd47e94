"""What the worker attests of queries, judged by the verifier: two implementations of one format, joined by nothing."""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import cbor2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from devstack.soft_nsm import SoftNsm
from devstack.upstream import Response
from enclave_worker.conclusion import MAX_EXACT
from enclave_worker.fields import records, versioned
from enclave_worker.fields.codec import ORDER, Unencodable
from enclave_worker.handlers import HANDLERS
from enclave_worker.query_reply import header_name
from policy import manifest
from policy.operations import ENCODINGS
from policy.operations import Field as DeclaredField
from policy.operations import Schema as DeclaredSchema
from tests.enclave_kit import Gate, enclave, together
from tests.toy_service import OPERATIONS, SCHEMA, TOML, item, shop
from tytle_verifier import (
    AttestedFailure,
    Policy,
    Query,
    Release,
    StatementError,
    TestPkiRoot,
    VerifiedReply,
    elements,
    live,
    parameters,
    results,
    schemas,
    verify_reply,
)
from wire.errors import PeerLost
from wire.fields import MODES

SERVICES = Path(__file__).parent.parent / "services"


def lines(schema: DeclaredSchema) -> list[str]:
    return [f"{field.name} {field.encoding}{'?' if field.optional else ''}" for field in schema.fields]


def judged(reply: dict[str, Any], nsm: SoftNsm, asked: Query) -> VerifiedReply:
    pcrs = {index: bytes.fromhex(reply["attestation"]["pcrs"][f"pcr{index}"]) for index in (0, 1, 2)}
    service = manifest.load(TOML)
    known = service.operations[0].schema
    policy = Policy(
        service="test",
        releases=(Release(commit="c" * 40, pcrs=pcrs, manifest=service.digest),),
        schemas={known.id: schemas.parse(known.id, lines(known))},
    )
    data, root = json.dumps(reply).encode(), x509.load_pem_x509_certificate(nsm.pki.root_pem.encode())
    der = root.public_bytes(Encoding.DER)
    return verify_reply(data, policy=policy, time=live(), root=TestPkiRoot(der), request=asked)


def asked(operation: str, **more: Any) -> Query:
    return Query(service="test", operation=operation, id="q1", **more)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("schema", [SCHEMA, "SICAE", None])
def test_the_verifier_recomputes_what_the_worker_encoded(schema: str | None, mode: str) -> None:
    nsm = SoftNsm()
    with enclave(shop, nsm=nsm, toml=TOML, operations=OPERATIONS) as running:
        more = {} if schema is None else {"schema": schema}
        reply = running.query("test.item", {"id": "a1"}, mode=mode, **more)
    verified = judged(reply, nsm, asked("test.item", schema=schema))
    assert dict(verified.result.values) == reply["result"]
    assert not any("is not known here" in line for line in verified.report.not_checked)
    proof = reply["attestation"]
    elements = hashlib.sha256(base64.b64decode(reply["bn254"])).hexdigest()
    assert (proof["mode"], proof["bn254Hash"], verified.result.fields.hex()) == (mode, elements, elements)
    if mode == "session":  # the digest of the elements is signed beside the root, as in mode document
        (_, _, payload, _) = cbor2.loads(base64.b64decode(proof["session"]))
        assert cbor2.loads(payload)["fields"].hex() == elements


def test_answers_that_share_a_document_verify_each_with_its_own_values() -> None:
    gate = Gate()
    with enclave(shop, nsm=gate, toml=TOML, operations=OPERATIONS) as running:  # type: ignore[arg-type]
        replies = together(running, gate, lambda n: running.query("test.item", {"id": f"a{n}"}, mode="batch", id="q1"))
    assert {reply["attestation"]["inclusion"]["size"] for reply in replies} == {len(replies)}
    for number, reply in enumerate(replies):
        verified = judged(reply, gate.nsm, asked("test.item"))
        assert verified.result.values["id"] == f"a{number}"
        wrong = {**reply, "result": {**reply["result"], "id": "a9"}}
        with pytest.raises(StatementError):
            judged(wrong, gate.nsm, asked("test.item"))


def test_a_number_beyond_exact_json_survives_to_the_verifier() -> None:
    nsm = SoftNsm()
    with enclave(lambda _: item(cents=10**20), nsm=nsm, toml=TOML, operations=OPERATIONS) as running:
        reply = running.query("test.item", {"id": "a1"})
    assert judged(reply, nsm, asked("test.item")).result.values["cents"] == str(10**20)


@pytest.mark.parametrize("mode", MODES)
def test_a_query_without_a_result_and_a_failed_call_verify_as_what_they_are(mode: str) -> None:
    def nobody(*_: object) -> Any:
        raise PeerLost("down", delivered=False)

    for handler, dial in (
        (lambda _: Response(status=503), None),
        (lambda _: Response(status=999), None),  # of no HTTP
        (shop, nobody),
    ):
        nsm = SoftNsm()
        with enclave(handler, nsm=nsm, dial=dial, toml=TOML, operations=OPERATIONS) as running:
            reply = running.query("test.item", {"id": "a1"}, mode=mode)
        assert reply["attestation"]["mode"] == mode
        verified = judged(reply, nsm, asked("test.item"))
        with pytest.raises(AttestedFailure):
            _ = verified.result


def test_every_service_schema_is_known_to_the_verifier() -> None:
    declared = {
        operation.schema.id: lines(operation.schema)
        for path in sorted(SERVICES.glob("*.toml"))
        if not path.name.endswith(".pcrs.toml")
        for operation in manifest.load(path.read_bytes()).operations
    }
    ours = {name: schema for name, schema in schemas.SCHEMAS.items() if schema.versioned}
    assert ours == {name: schemas.parse(name, fields) for name, fields in declared.items()}


def test_what_is_asked_in_clear_stands_in_the_values_also_of_the_record() -> None:
    """So the verifier finds out a parent that has another question asked (step 8)."""
    checked = set()
    files = [path for path in sorted(SERVICES.glob("*.toml")) if not path.name.endswith(".pcrs.toml")]
    for service in (manifest.load(path.read_bytes()) for path in files):
        sealed = {upstream.host for upstream in service.upstreams if upstream.sealed_required}
        taken = {each.name: each.parameters - {"accessToken"} for each in HANDLERS[service.name]}
        for operation in service.operations:
            if sealed.isdisjoint(operation.hosts):
                record = records.RECORDS[operation.record or ""]
                assert taken[operation.name] <= {field.name for field in operation.schema.fields}
                assert taken[operation.name] <= {field.name for field in record}
                checked.add(operation.name)
    assert checked == {"vies.check_vat", "vies.check_vat_rest", "hmrc.lookup", "sicae.lookup"}


def test_the_verifier_knows_every_parameter_but_the_credentials_and_the_values_that_repeat_it() -> None:
    """So none can be added on the way: one that was not sent has no value but null (step 8)."""
    taken = {each.name: each.parameters for offered in HANDLERS.values() for each in offered}
    known = {name: {*table} for name, table in parameters.OPERATIONS.items()}
    assert known == {name: each - {"accessToken", "apiKey"} for name, each in taken.items()}
    declared = {
        operation.name: {field.name for field in operation.schema.fields}
        for path in sorted(SERVICES.glob("*.toml"))
        if not path.name.endswith(".pcrs.toml")
        for operation in manifest.load(path.read_bytes()).operations
    }
    for name, table in parameters.OPERATIONS.items():
        assert all(repeats[0] in declared[name] for repeats in table.values())


def test_the_records_are_the_same_on_both_sides() -> None:
    theirs = {name: [(f.name, f.encoding) for f in schema.fields] for name, schema in schemas.SCHEMAS.items()}
    assert {name: theirs[name] for name in records.RECORDS} == {
        name: [(field.name, field.encoding) for field in fields] for name, fields in records.RECORDS.items()
    }


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=34)
VALUE = st.none() | st.booleans() | TEXT | st.integers(-2, ORDER + 2) | st.sampled_from([MAX_EXACT, MAX_EXACT + 1])


def stated(values: dict[str, Any]) -> dict[str, Any]:
    """Values as a statement has them: integers that JSON readers round are digits."""
    big = {name for name, value in values.items() if type(value) is int and abs(value) > MAX_EXACT}
    return {name: str(value) if name in big else value for name, value in values.items()}


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(ENCODINGS), st.booleans(), VALUE), min_size=1, max_size=5))
def test_both_sides_encode_alike_or_both_refuse(rows: list[tuple[str, bool, Any]]) -> None:
    fields = tuple(
        DeclaredField(name=f"f{index}", encoding=encoding, optional=optional)
        for index, (encoding, optional, _) in enumerate(rows)
    )
    schema = DeclaredSchema(id="tytle/test/v1", fields=fields)
    values = {f"f{index}": value for index, (_, _, value) in enumerate(rows)}
    numbers = {field.name for field in fields if field.encoding == "uint"}
    said = {**values, **stated({name: values[name] for name in numbers})}
    second = schemas.parse(schema.id, lines(schema))
    assert second.definition == schema.definition
    try:
        ours = versioned.encode(schema, values, time_ms=1)
    except Unencodable:
        with pytest.raises(StatementError):
            elements.encode(second, said, 1)
        return
    assert elements.encode(second, said, 1) == ours


@settings(deadline=None)
@given(st.sampled_from(sorted(records.RECORDS)), st.lists(VALUE, min_size=6, max_size=6))
def test_both_sides_encode_records_alike_or_both_refuse(name: str, given_values: list[Any]) -> None:
    values = {field.name: value for field, value in zip(records.RECORDS[name], given_values, strict=False)}
    try:
        ours = records.encode(records.RECORDS[name], values)
    except Unencodable:
        with pytest.raises(StatementError):
            elements.encode(schemas.SCHEMAS[name], stated(values), 1)
        return
    assert elements.encode(schemas.SCHEMAS[name], stated(values), 1) == ours


@pytest.mark.parametrize("service", ["vies", "stripe-payment", "monerium-payment"])
@pytest.mark.parametrize("field", ["name", "cae1Desc", "dataHash"])
def test_both_sides_name_the_predecessors_headers_alike(service: str, field: str) -> None:
    assert header_name(service, field) == results.header_name(service, field)
    assert header_name("stripe-payment", "dataHash") == "x-stripe-data-hash"
    assert header_name("sicae", "cae1Desc") == "x-sicae-cae1-desc"


EXAMPLE = """
16f315a1e0d00efca86701c547a9a157d46a265e6bf752f3fad8a4b370392354
0000000000000000000000000000000000000000000000000000019ca9451ddb
0000000000000000000000000000000000000000000000000000000000455552
0000000000000000000000000000000000000000000000000000000000555344
0000000000000000000000000000000000000000000000000000000000108808
0000000000000000000000000000000000000000000000000000000000000000
0000000000000000000000000000000000000000000000000000000000000000
"""


def test_the_specifications_example_of_field_elements_is_what_both_sides_make() -> None:
    rows = ["base shortString", "quote shortString", "micros uint", "source sha256?"]
    values = {"base": "EUR", "quote": "USD", "micros": 1_083_400, "source": None}
    schema = schemas.parse("tytle/rates-latest/v1", rows)
    made = elements.encode(schema, values, 1_772_366_405_083)
    assert [made[at : at + 32].hex() for at in range(0, len(made), 32)] == EXAMPLE.split()
    fields = tuple(DeclaredField(name=f.name, encoding=f.encoding, optional=f.optional) for f in schema.fields)
    declared = DeclaredSchema(id=schema.id, fields=fields)
    assert versioned.encode(declared, values, time_ms=1_772_366_405_083) == made
