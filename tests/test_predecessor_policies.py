"""The predecessor's manifests and policies [H], as far as they mean something here (manifest_hash.json, policies.json).

There a policy was a sentence that nothing ran; here what a manifest declares is enforced, and what has no code is not
declared. Each group of vectors says what stands in its place; the ids are rows of ARCHITECTURE.md.
"""

import hashlib
from typing import Any

import pytest
from corpora import predecessor_vectors

from devstack.upstream import Response
from policy.errors import ManifestError
from policy.headers import is_secret
from policy.manifest import load
from tests.enclave_kit import Enclave, enclave, statement_of
from tests.test_policy_operations import TOP
from tests.toy_service import OPERATIONS, TOML, shop

POLICIES = predecessor_vectors("policies")
MANIFESTS = predecessor_vectors("manifest_hash")


def vectors(found: list[dict[str, Any]], *functions: str) -> list[dict[str, Any]]:
    return [vector for vector in found if vector["input"]["fn"] in functions]


def named(vector: dict[str, Any]) -> str:
    return str(vector["name"])


# What is done with each function of the predecessor's.
DEVIATIONS = {
    "stableStringify": "Q6",
    "computeManifestHash": "Q6",
    "validateManifest derived inputs not checked": "Q7",
    "validateManifest outputBytes not checked": "Q7",
    "shouldSkipAttestation": "Q8",
    "getAttestOverrides": "Q8",
    "constants": "Q8",
    "redactError": "Q9",
    "sanitizeError": "Q9",
}
REPLAYED = {"validateManifest", "getHeadersToStrip", "stripSensitiveHeaders"}


def test_every_vector_is_replayed_or_has_its_row() -> None:
    functions = {vector["input"]["fn"] for vector in [*POLICIES, *MANIFESTS]}
    assert functions == {name for name in DEVIATIONS if " " not in name} | REPLAYED


# --- manifests -------------------------------------------------------------------------------------------------------


def operation(name: str, fields: list[dict[str, Any]], host: str = "api.example") -> str:
    rows = "".join(f'  {{ name = "{each["name"]}", encoding = "{each["encoding"]}" }},\n' for each in fields)
    return (
        f'[[operations]]\nname = "{name}"\nhosts = ["{host}"]\nmax_calls = 1\n'
        f'schema = "tytle/test/v1"\nfields = [\n{rows}]\n\n'
    )


def accepted(toml: str) -> bool:
    try:
        load(toml.encode())
    except ManifestError:
        return False
    return True


@pytest.mark.parametrize("vector", vectors(MANIFESTS, "validateManifest"), ids=named)
def test_one_schema_is_one_list_of_fields_as_the_predecessor_demanded(vector: dict[str, Any]) -> None:
    """There manifest and code each had a list, which had to agree; here every list under one id must."""
    given = vector["input"]
    declared, schema = given["manifest"]["schema"]["fields"], given["schema"]
    known = {query["id"] for query in given["manifest"]["queries"]}
    asked = {each["source"].get("query", next(iter(known))) for each in declared}
    host = "api.example" if asked <= known else "unknown.example"
    toml = TOP + operation("example.one", declared, host) + operation("example.other", schema)
    assert accepted(toml) is ("ok" in vector["expected"])


def test_what_a_manifest_would_declare_without_code_is_refused() -> None:
    """Q7: keys such as outputBytes, source or policies, of which nobody checked some and nothing ran others."""
    good = operation("example.one", [{"name": "id", "encoding": "shortString"}])
    assert accepted(TOP + good)
    for key in ("outputBytes = 64", "policies = []", 'reason = "because"', "repeatability = {}"):
        assert not accepted(TOP + good.replace("max_calls = 1", f"max_calls = 1\n{key}"))
    assert not accepted(TOP + good.replace('encoding = "shortString"', 'encoding = "shortString", source = "x"'))


def test_the_digest_is_that_of_the_file_as_it_is_written() -> None:
    """Q6: no second form of the text, no canonical JSON, no rule for numbers or the order of keys."""
    for toml in (TOP, TOP + "# a comment\n"):
        assert load(toml.encode()).digest == hashlib.sha256(toml.encode()).digest()


# --- policies --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def running():  # type: ignore[no-untyped-def]
    answers: dict[str, Response] = {}
    with enclave(lambda request: answers.get("next") or shop(request), toml=TOML, operations=OPERATIONS) as ready:
        ready.answers = answers  # type: ignore[attr-defined]
        yield ready


def ask(running: Enclave, answer: Response) -> dict[str, Any]:
    running.answers["next"] = answer  # type: ignore[attr-defined]
    return running.query("test.item", {"id": "a1"})


# Without 204, whose answer has no body for the toy's handler to read.
STATUSES = sorted({vector["input"]["args"][1] for vector in vectors(POLICIES, "shouldSkipAttestation")} - {204})


@pytest.mark.parametrize("status", STATUSES)
def test_every_status_is_attested_and_none_is_overridden(running: Enclave, status: int) -> None:
    """Q8: the predecessor left seven statuses without evidence, and gave 404 values of its own."""
    body = b'{"id":"a1","name":null,"cents":1,"sold":true}'
    reply = ask(running, Response(status=status, headers=(), body=body))
    said = statement_of(reply)
    assert said["exchanges"][0]["response"]["status"] == status
    assert ("error" in said["result"]) is (status == 503)  # the toy's own rule, for one status


@pytest.mark.parametrize("vector", vectors(POLICIES, "redactError", "sanitizeError"), ids=named)
def test_an_error_repeats_nothing_of_the_upstream_so_there_is_nothing_to_redact(
    running: Enclave, vector: dict[str, Any]
) -> None:
    """Q9: patterns find the secrets that somebody thought of."""
    text = next(arg for arg in reversed(vector["input"]["args"]) if isinstance(arg, str))
    reply = ask(running, Response(status=503, headers=(), body=text.encode()))
    assert reply["error"] == "upstream-unavailable: the upstream answered 503"
    assert text not in running.log.getvalue()


@pytest.mark.parametrize("vector", vectors(POLICIES, "getHeadersToStrip"), ids=named)
def test_headers_that_were_stripped_are_withheld(vector: dict[str, Any]) -> None:
    for name in vector["expected"]:
        assert is_secret(name, frozenset())


@pytest.mark.parametrize("vector", vectors(POLICIES, "stripSensitiveHeaders"), ids=named)
def test_of_the_same_headers_the_same_ones_are_shown(vector: dict[str, Any]) -> None:
    headers, extra = vector["input"]["args"]
    secret = frozenset(name.lower() for name in extra or ())
    assert {name: value for name, value in headers.items() if not is_secret(name, secret)} == vector["expected"]
