"""The predecessor's field elements [H], against vectors that its own code produced (bn254.json)."""

import hashlib
from typing import Any

import pytest
from corpora import predecessor_vectors

from enclave_worker.fields import records
from enclave_worker.fields.codec import ORDER, Unencodable, word
from enclave_worker.fields.records import RECORDS
from policy.operations import RECORDS as RECORD_NAMES
from policy.operations import Field

VECTORS = predecessor_vectors("bn254")
ENCODED = [v for v in VECTORS if v["input"]["fn"] == "encodeFieldElements" and v["name"] != "unknown encoding"]
WORDS = [v for v in VECTORS if v["input"]["fn"] == "bigintToBytes32"]

# Where the predecessor was wrong. The ids are rows of ARCHITECTURE.md, which says why.
REFUSED_HERE = {
    "short: leading NUL lost": "Q1",
    "short: NUL only": "Q1",
    "short: lone surrogate": "Q2",
    "sha: lone surrogate": "Q2",
    "short: number 1e21": "Q3",
    "short: number 0.1": "Q3",
    'uint: "0x10"': "Q4",
    'uint: "0b11"': "Q4",
    'uint: "0o17"': "Q4",
    'uint: " 12 "': "Q4",
    'uint: "   "': "Q4",
    'uint: "+5"': "Q4",
}


def value_of(given: Any) -> Any:
    if not isinstance(given, dict):
        return given
    if "$number" in given:
        return float(given["$number"].lower().replace("infinity", "inf"))
    return int(given["$bigint"]) if "$bigint" in given else None


def values_of(vector: dict[str, Any]) -> dict[str, Any]:
    return {name: value_of(value) for name, value in vector["input"]["values"].items()}


def fields_of(vector: dict[str, Any]) -> tuple[Field, ...]:
    return tuple(Field(name=each["name"], encoding=each["encoding"]) for each in vector["input"]["schema"])


# The generator wrote the JavaScript number 1e21 as 1e+21, which JSON readers take for a fraction: it is whole.
WHOLE = {"uint: number 1e+21": {"x": 10**21}}


@pytest.mark.parametrize("vector", ENCODED, ids=lambda vector: vector["name"])
def test_the_predecessors_records_are_encoded_word_for_word(vector: dict[str, Any]) -> None:
    expected = vector["expected"]
    values = WHOLE.get(vector["name"]) or values_of(vector)
    if "error" in expected or vector["name"] in REFUSED_HERE:
        with pytest.raises(Unencodable):
            records.encode(fields_of(vector), values)
        return
    encoded = records.encode(fields_of(vector), values)
    assert encoded.hex() == expected["hex"]
    assert hashlib.sha256(encoded).hexdigest() == expected["hash"]


@pytest.mark.parametrize("vector", WORDS, ids=lambda vector: vector["name"])
def test_a_word_is_the_predecessors_or_refused_beyond_the_field(vector: dict[str, Any]) -> None:
    number = value_of(vector["input"]["value"])
    if 0 <= number < ORDER:
        assert word("x", number).hex() == vector["expected"]["hex"]
    else:  # Q5
        with pytest.raises(Unencodable):
            word("x", number)


def test_every_named_deviation_is_a_vector_that_the_predecessor_encoded() -> None:
    accepted = {vector["name"] for vector in ENCODED if "error" not in vector["expected"]}
    assert REFUSED_HERE.keys() <= accepted
    assert len(VECTORS) == len(ENCODED) + len(WORDS) + 1


def test_the_record_schemas_are_the_predecessors() -> None:
    theirs = {
        vector["input"]["schemaName"].removesuffix("_SCHEMA"): fields_of(vector)
        for vector in ENCODED
        if vector["input"].get("schemaName", "-") != "-"
    }
    assert dict(RECORDS) == theirs
    assert set(RECORD_NAMES) == set(RECORDS)


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        (
            "VIES",
            {
                "countryCode": "PT",
                "vatNumber": "507172230",
                "valid": True,
                "name": "TYTLE LDA",
                "address": "RUA DO EXEMPLO 123",
            },
            "fb21ad02e07202c221720b68e0f4ff5daaba2e9fe9a0292910d612ebd5480d12",
        ),
        (
            "STRIPE_PAYMENT",
            {
                "operation": "list_charges",
                "accountId": "acct_123",
                "objectType": "list",
                "dataHash": "deadbeef" * 8,
                "totalCount": 25,
                "hasMore": 1,
            },
            "8703b970257e69fd11f88a9c29f30ca168d177149e5d185dd1962bc6f60ae0fc",
        ),
    ],
)
def test_whole_records_have_the_specifications_hashes(name: str, values: dict[str, Any], expected: str) -> None:
    assert hashlib.sha256(records.encode(RECORDS[name], values)).hexdigest() == expected
