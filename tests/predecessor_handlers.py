"""Replaying the predecessor's vectors of a custom handler: what it made of an answer, and what ours makes of it."""

import json
from collections.abc import Mapping
from typing import Any

from enclave_worker.fields.codec import Unencodable
from enclave_worker.fields.records import RECORDS, encode
from enclave_worker.handlers.errors import OperationFailed, ParamsRefused
from enclave_worker.handlers.operation import Operation
from policy.errors import Refused
from tests.pay_kit import Answer, NoConnection, Script, got

Outcome = tuple[str, str]
"""What came out: ("record", its words in hex), or what it ended with, and for ours the reason."""


def theirs(vector: dict[str, Any]) -> Outcome:
    """Return what the predecessor answered: a record, a refusal, a failure, or the upstream's answer passed on."""
    response = vector["expected"]["response"]
    if "fieldElementsHex" in vector["expected"]:
        return "record", "".join(vector["expected"]["fieldElementsHex"])
    if response["success"]:
        return "passed on", ""
    return ("refused" if response["status"] == 400 else "failed"), ""


def answers(vector: dict[str, Any]) -> list[Answer]:
    """Return the scripted upstream answers of a vector."""
    return [
        NoConnection() if "tlsError" in each else got(each["body"].encode(), each["status"])
        for each in vector["input"]["upstream"]
    ]


def ours(operations: dict[str, Operation], service: str, record: str, body: str, script: list[Answer]) -> Outcome:
    """Run the operation that a vector's body asks for, under the shipped policy; return what came out."""
    try:
        params = json.loads(body)
        found = operations[params.pop("operation")]
    except (ValueError, KeyError):
        return "refused", "params"
    if unknown := params.keys() - found.parameters:
        return "refused", min(unknown)
    return _outcome(found, params, Script(service, *script), record)


def _outcome(found: Operation, params: dict[str, Any], script: Script, record: str) -> Outcome:
    assert found.record is not None
    try:
        return "record", encode(RECORDS[record], found.record(found.run(params, script))).hex()
    except (ParamsRefused, Refused) as error:
        return "refused", error.field if isinstance(error, ParamsRefused) else error.reason
    except OperationFailed as error:
        return "failed", error.code
    except Unencodable as error:
        return "failed", f"unencodable {error.field}"
    except NoConnection:
        return "failed", "fetch"


def alike(one: Outcome, other: Outcome) -> bool:
    """Whether both gave the same record, or both refused, or both failed."""
    return one == other if "record" in (one[0], other[0]) else one[0] == other[0]


def agree(came_out: Outcome, expected: Outcome, deviation: tuple[str, Outcome] | None) -> None:
    """Demand that a vector came out as it did there, or as its deviation (row and outcome here) says and not alike."""
    if deviation is None:
        assert alike(came_out, expected), f"got {came_out}, expected {expected}"
        return
    assert not alike(came_out, expected), f"listed, but alike: {came_out}"
    assert came_out == deviation[1]


def right_answers(vectors: Mapping[str, dict[str, Any]], deviations: Mapping[str, object]) -> set[str]:
    """Return the vectors whose record is the same on both sides; every deviation belongs to a vector."""
    assert deviations.keys() <= vectors.keys()
    return {name for name, vector in vectors.items() if theirs(vector)[0] == "record"} - deviations.keys()
