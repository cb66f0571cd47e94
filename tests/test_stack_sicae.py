"""SICAE through the whole system (gunicorn, worker, relay, plain HTTP): what is attested, and who believes it."""

import base64
import hashlib
import json
import os
from collections.abc import Iterator
from typing import Any

import cbor2
import pytest
import requests

import tytle_verifier
from devstack import __main__ as commands
from devstack.nsm_registers import IMAGE
from devstack.sicae import HOST, Sicae
from devstack.stack import Stack
from devstack.vies import Vies
from enclave_worker.fields import records
from enclave_worker.fields.versioned import encode
from enclave_worker.handlers.sicae import URL
from tytle_verifier import AttestedFailure, Policy, Release, StatementError, TlsDemands, VerifiedReply

NIPC = "513032525"
FORM = {"url": URL, "method": "GET", "headers": {"User-Agent": "Mozilla/5.0"}}
BELIEVED = TlsDemands(plain_http_hosts=frozenset({HOST}))


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    faults = {"508000007": "error", "508000015": "another", "508000023": "form"}
    with Stack("sicae", handlers={HOST: Sicae(faults=faults), "ec.europa.eu": Vies()}) as running:
        yield running


def post(stack: Stack, path: str, call: dict[str, Any]) -> tuple[bytes, requests.Response]:
    sent = json.dumps({**call, "challenge": base64.b64encode(os.urandom(32)).decode()}).encode()
    headers = {"Content-Type": "application/json"}
    return sent, requests.post(f"{stack.url}{path}", data=sent, headers=headers, timeout=40)


def asking(nif: object = NIPC, **more: Any) -> dict[str, Any]:
    return {"service": "sicae", "operation": "sicae.lookup", "params": {"nif": nif}, **more}


def query(stack: Stack, nif: object = NIPC, **more: Any) -> dict[str, Any]:
    reply: dict[str, Any] = post(stack, "/attest/query", asking(nif, **more))[1].json()
    return reply


def said_in(reply: dict[str, Any]) -> dict[str, Any]:
    statement: dict[str, Any] = cbor2.loads(base64.b64decode(reply["attestation"]["statement"]))
    return statement


def verify(stack: Stack, sent: bytes, received: bytes, tls: TlsDemands) -> VerifiedReply:
    policy = Policy(
        service="sicae",
        releases=(Release(commit=commands.NO_COMMIT, pcrs=IMAGE, manifest=stack.manifest.digest),),
        urls=(URL,),
        tls=tls,
    )
    load = tytle_verifier.load_query if b'"params"' in sent else tytle_verifier.load_request
    return tytle_verifier.verify_reply(
        received, policy=policy, time=tytle_verifier.live(), root=commands.root_of(stack), request=load(sent)
    )


def test_an_answer_over_plain_http_is_believed_only_where_the_policy_names_the_host(stack: Stack) -> None:
    sent, received = post(stack, "/attest/fetch", FORM)
    assert received.json()["success"] is True
    with pytest.raises(StatementError, match="plain HTTP"):
        verify(stack, sent, received.content, TlsDemands())
    with pytest.raises(StatementError, match="plain HTTP"):
        verify(stack, sent, received.content, TlsDemands(plain_http_hosts=frozenset({"sicae.pt"})))
    verified = verify(stack, sent, received.content, BELIEVED)
    assert b"__VIEWSTATE" in verified.body
    assert said_in(received.json())["exchanges"][0]["upstream"] == {"tls": None}


def test_a_lookup_is_attested_with_both_calls_and_without_the_cookie_that_was_sent(stack: Stack) -> None:
    reply = query(stack)
    assert (reply["success"], reply["status"]) == (True, 200)
    said = said_in(reply)
    form, search = said["exchanges"]
    assert [each["upstream"] for each in (form, search)] == [{"tls": None}, {"tls": None}]
    assert [(each["request"]["method"], each["request"]["url"]) for each in (form, search)] == [
        ("GET", URL),
        ("POST", URL),
    ]
    assert dict(search["request"]["headers"])["Cookie"] is None
    assert any(name.lower() == "set-cookie" for name, _ in form["response"]["headers"])  # the session itself is there
    assert said["manifest"] == stack.manifest.digest
    values = said["result"]["values"]
    assert values == reply["result"]
    assert (values["nif"], values["name"], values["cae2Count"]) == (NIPC, "GREEN OPPORTUNITY LDA", 3)


@pytest.mark.parametrize("schema", [None, "SICAE"])
def test_a_lookup_is_believed_only_where_the_policy_names_the_host(stack: Stack, schema: str | None) -> None:
    call = asking() if schema is None else asking(schema=schema)
    sent, received = post(stack, "/attest/query", call)
    with pytest.raises(StatementError, match="plain HTTP"):
        verify(stack, sent, received.content, TlsDemands())
    verified = verify(stack, sent, received.content, BELIEVED)
    assert dict(verified.result.values) == received.json()["result"]
    assert verified.result.values["name"] == "GREEN OPPORTUNITY LDA"


def test_an_error_is_verified_as_one(stack: Stack) -> None:
    sent, received = post(stack, "/attest/query", asking("508000007"))
    verified = verify(stack, sent, received.content, BELIEVED)
    with pytest.raises(AttestedFailure, match="upstream-unavailable"):
        _ = verified.result


def test_its_field_elements_are_those_of_the_declared_schema(stack: Stack) -> None:
    reply = query(stack)
    said = said_in(reply)
    elements = encode(stack.manifest.operations[0].schema, reply["result"], time_ms=said["time"])
    assert base64.b64decode(reply["bn254"]) == elements
    assert said["result"]["fields"] == hashlib.sha256(elements).digest()
    assert reply["bn254Headers"]["x-sicae-cae1-desc"] == "Atividades de engenharia e técnicas afins"


def test_the_predecessor_s_record_is_given_where_it_is_asked_for(stack: Stack) -> None:
    reply = query(stack, schema="SICAE")
    assert list(reply["result"]) == [field.name for field in records.RECORDS["SICAE"]]
    assert len(base64.b64decode(reply["bn254"])) == 192
    nobody = query(stack, "980494796", schema="SICAE")
    assert base64.b64decode(nobody["bn254"])[32:] == bytes(160)


@pytest.mark.parametrize(("nif", "answer"), [("980494796", "no-data"), ("308203811", "invalid-nipc")])
def test_that_there_is_no_such_number_is_attested(stack: Stack, nif: str, answer: str) -> None:
    reply = query(stack, nif)
    assert (reply["success"], reply["result"]["found"], reply["result"]["answer"]) == (True, False, answer)
    assert said_in(reply)["result"]["values"]["answer"] == answer


@pytest.mark.parametrize(
    ("nif", "code", "calls"),
    [
        ("508000007", "upstream-unavailable", 2),
        ("508000015", "upstream-mismatch", 2),
        ("508000023", "upstream-malformed", 4),
    ],
)
def test_what_is_no_answer_is_attested_as_an_error(stack: Stack, nif: str, code: str, calls: int) -> None:
    reply = query(stack, nif)
    assert (reply["success"], reply["code"], reply["status"]) == (False, code, 502)
    assert "result" not in reply
    said = said_in(reply)
    assert said["result"] == {"operation": "sicae.lookup", "schema": "tytle/sicae-lookup/v1", "error": code}
    assert len(said["exchanges"]) == calls


@pytest.mark.parametrize("params", [{"nif": 513032525}, {"nif": "51303252"}, {}, {"nif": NIPC, "nipc": NIPC}])
def test_wrong_parameters_are_refused_before_anything_is_fetched(stack: Stack, params: dict[str, Any]) -> None:
    reply = post(stack, "/attest/query", {**asking(), "params": params})[1].json()
    assert (reply["success"], reply["status"], reply["code"]) == (False, 400, "params.refused")
    assert "attestation" not in reply


def test_the_enclave_fetches_nothing_else_from_the_site(stack: Stack) -> None:
    for url in (URL.replace("http:", "https:"), URL.replace("Consulta", "Detalhe"), f"{URL}?NIPC={NIPC}"):
        reply = post(stack, "/attest/fetch", {**FORM, "url": url})[1].json()
        assert (reply["success"], reply["status"]) == (False, 403)
