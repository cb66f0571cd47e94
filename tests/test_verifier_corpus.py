"""Documents signed by AWS's hardware since 2021, and adversarial ones, each with the outcome its rule demands.

The files are not part of this repository (see corpora.py). Nothing here is tuned to one of them: the table below
maps each rule of their RULES.md to the steps that keep it.
"""

import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from corpora import corpus
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from verifier_cases import refused

from tytle_verifier import (
    AWS_ROOT,
    Archive,
    At,
    DebugModeError,
    DocumentError,
    LinkCache,
    MeasurementError,
    Policy,
    Release,
    Root,
    Rules,
    TestPkiRoot,
    VerificationError,
    verify_document,
)
from tytle_verifier.policy import measure, refuse_debug
from tytle_verifier.verify import MAX_DOCUMENT_BYTES

FOLDER = corpus("ATTESTATION_DOCUMENTS", "attestation-documents")
REAL: list[dict[str, Any]] = json.loads((FOLDER / "real.json").read_text())
ADVERSARIAL: list[dict[str, Any]] = json.loads((FOLDER / "adversarial.json").read_text())
NSM = [entry for entry in REAL if entry["kind"] == "nsm"]
SPECIFICATION = Path(__file__).parent.parent / "VERIFICATION.md"
DECISION = re.compile(r"^\| `([a-z0-9-]+)` \| (accept|refuse at [0-9]) \|", re.MULTILINE)

KEPT_AT = [
    ("C1 C8", {0, 1, 2}),
    ("C2 C3 C4", {1}),
    ("C5 C6 C7", {1, 2}),
    ("F1 F2 F3 M1 M2 T1 P1 P2 P3 K1 K2 O1 O2 O3", {2}),
    ("X1 X2 X3 X4 X5 X6 X7 X8 X9 X10 N1", {3}),
    ("S1 S2 S3 S4", {4}),
    ("T2 T3", {5}),
]
STEPS = {rule: steps for rules, steps in KEPT_AT for rule in rules.split()}


def data(entry: dict[str, Any]) -> bytes:
    return (FOLDER / entry["file"]).read_bytes()


def slug(entry: dict[str, Any]) -> str:
    return str(entry["slug"])


def root(entry: dict[str, Any]) -> Root:
    if entry["root"] == "aws":
        return AWS_ROOT
    pem = (FOLDER / "mock_root.pem").read_bytes()
    return TestPkiRoot(x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER))


def time(entry: dict[str, Any]) -> At | Archive:
    instant = entry["verify_at_iso"]
    return At(instant=datetime.fromisoformat(instant)) if instant else Archive()


@pytest.mark.parametrize("entry", NSM, ids=slug)
def test_every_document_of_an_enclave_verifies_at_its_signed_time(entry: dict[str, Any]) -> None:
    document = verify_document(data(entry), time=Archive()).document
    optional = [document.public_key, document.user_data, document.nonce]
    assert {
        "module_id": document.module_id,
        "timestamp_ms": document.timestamp_ms,
        "pcrs": {str(index): value.hex() for index, value in document.pcrs.items()},
        "lengths": [None if value is None else len(value) for value in optional],
    } == {
        "module_id": entry["module_id"],
        "timestamp_ms": entry["timestamp_ms"],
        "pcrs": entry["pcrs"],
        "lengths": [entry[name].get("length") for name in ("public_key", "user_data", "nonce")],
    }


@pytest.mark.parametrize("entry", [e for e in NSM if e["debug_mode"]], ids=slug)
def test_every_debug_enclave_is_refused_by_any_policy(entry: dict[str, Any]) -> None:
    release = Release(commit="0" * 40, pcrs={0: b"\1" * 48, 1: b"\1" * 48, 2: b"\1" * 48})
    with pytest.raises(DebugModeError):
        verify_document(data(entry), time=Archive(), policy=Policy(service="any", releases=(release,)))


@pytest.mark.parametrize("entry", [e for e in NSM if not e["debug_mode"]], ids=slug)
def test_every_other_enclave_passes_a_policy_that_lists_it_and_no_other(entry: dict[str, Any]) -> None:
    document = verify_document(data(entry), time=Archive()).document
    listed = Release(commit="0" * 40, pcrs={i: document.pcrs[i] for i in (0, 1, 2)})
    other = Release(commit="1" * 40, pcrs={**listed.pcrs, 0: b"\1" * 48})
    assert measure(document, Policy(service="any", releases=(other, listed))) is listed
    with pytest.raises(MeasurementError):
        measure(document, Policy(service="any", releases=(other,)))


@pytest.mark.parametrize("entry", [e for e in REAL if e["kind"] == "nitrotpm"], ids=slug)
def test_a_nitrotpm_document_is_no_enclave(entry: dict[str, Any]) -> None:
    with pytest.raises(DocumentError):
        verify_document(data(entry), time=Archive())
    with pytest.raises(DocumentError):
        verify_document(data(entry), time=Archive(), rules=Rules(allow_unknown_fields=True))


@pytest.mark.parametrize("entry", NSM, ids=slug)
def test_no_document_verifies_under_the_govcloud_root(entry: dict[str, Any]) -> None:
    pem = (FOLDER / "aws_us_gov_nitro_root.pem").read_bytes()
    other = TestPkiRoot(x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER))
    refused(3, "not the pinned root", verify_document, data(entry), time=Archive(), root=other)


def test_a_cache_changes_no_outcome_and_remembers_no_clock() -> None:
    cache = LinkCache()
    for entry in NSM + NSM:
        verify_document(data(entry), time=Archive(), cache=cache)
    late = At(instant=datetime.fromisoformat("2051-01-01T00:00:00Z"))
    for entry in NSM:
        refused(3, "not valid at the chosen time", verify_document, data(entry), time=late, cache=cache)


@pytest.mark.parametrize("entry", [e for e in ADVERSARIAL if e["expected"] == "accept"], ids=slug)
def test_what_must_be_accepted_is(entry: dict[str, Any]) -> None:
    assert verify_document(data(entry), time=time(entry), root=root(entry)).release is None


@pytest.mark.parametrize("entry", [e for e in ADVERSARIAL if e["expected"] == "reject"], ids=slug)
def test_what_must_be_refused_is_at_the_step_of_its_rule(entry: dict[str, Any]) -> None:
    with pytest.raises(VerificationError) as caught:
        verify_document(data(entry), time=time(entry), root=root(entry))
    too_large = {0} if entry["length"] > MAX_DOCUMENT_BYTES else set()  # whatever else is wrong with it
    earlier = {3} if {"S4"} == set(entry["rules"]) else set()  # a foreign payload brings a foreign leaf and time
    assert caught.value.step in too_large | earlier | set().union(*(STEPS[rule] for rule in entry["rules"]))


def decided(entry: dict[str, Any]) -> str:
    try:
        checked = verify_document(data(entry), time=time(entry), root=root(entry))
        refuse_debug(checked.document.pcrs)
    except VerificationError as error:
        return f"refuse at {error.step}"
    return "accept"


def test_where_verifiers_differ_each_decision_is_the_one_in_the_specification() -> None:
    documented = dict(DECISION.findall(SPECIFICATION.read_text()))
    assert {slug(e): decided(e) for e in ADVERSARIAL if e["expected"] == "policy"} == documented
