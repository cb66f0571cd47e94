"""`[[operations]]`: one mutant per rule of the format, and garbage. The rest of a manifest: test_policy_manifest."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policy.errors import ManifestError
from policy.manifest import load
from policy.operations import MAX_CALLS, MAX_FIELDS, Declaration, Field, Schema

TOP = """\
name = "example"
cid = 16
port = 5000
ecr_tag = "example"
pcr0_parameter = "/tytle/{env}/enclave/example/pcr0"

[[upstreams]]
host = "api.example"
proxy_port = 8443
tls = true

[[upstreams.rules]]
method = "GET"
path = "/items"
max_response_bytes = 1000

"""
OPERATION = """\
[[operations]]
name = "example.find_item"
hosts = ["api.example"]
max_calls = 2
record = "VIES"
schema = "tytle/example-find-item/v1"
fields = [
  { name = "id", encoding = "shortString" },
  { name = "itemName", encoding = "sha256", optional = true },
]
"""


def manifest(*operations: str) -> bytes:
    return (TOP + "\n".join(operations)).encode()


def test_an_operation_is_read_whole() -> None:
    fields = (Field(name="id", encoding="shortString"), Field(name="itemName", encoding="sha256", optional=True))
    schema = Schema(id="tytle/example-find-item/v1", fields=fields)
    expected = Declaration(
        name="example.find_item", hosts=frozenset({"api.example"}), max_calls=2, record="VIES", schema=schema
    )
    assert load(manifest(OPERATION)).operations == (expected,)


def test_a_manifest_without_operations_answers_no_query() -> None:
    assert load(manifest()).operations == ()


def test_a_record_is_optional() -> None:
    (operation,) = load(manifest(OPERATION.replace('record = "VIES"\n', ""))).operations
    assert operation.record is None


def test_two_operations_may_share_a_schema_that_is_the_same() -> None:
    other = OPERATION.replace("find_item", "get_item")
    first, second = load(manifest(OPERATION, other)).operations
    assert first.schema == second.schema


MUTANTS = [
    ("name", 'name = "example.find_item"\n', ""),
    ("name", '"example.find_item"', '"Example.find"'),
    ("name", '"example.find_item"', '""'),
    ("name", '"example.find_item"', f'"{"a" * 65}"'),
    ("name", '"example.find_item"', "7"),
    ("hosts", '["api.example"]', "[]"),
    ("hosts", '["api.example"]', '["other.example"]'),
    ("hosts", '["api.example"]', '"api.example"'),
    ("max_calls", "max_calls = 2", "max_calls = 0"),
    ("max_calls", "max_calls = 2", f"max_calls = {MAX_CALLS + 1}"),
    ("max_calls", "max_calls = 2", "max_calls = true"),
    ("record", '"VIES"', '"vies"'),
    ("schema", "/v1", ""),
    ("schema", "/v1", "/v0"),
    ("schema", "/v1", "/v01"),
    ("schema", "tytle/", "Tytle/"),
    ("schema", "tytle/example", "tytle//example"),
    ("fields", OPERATION[OPERATION.index("fields") :], "fields = []\n"),
    ("fields[0].name", '"id"', '"Id"'),
    ("fields[0].name", '"id"', '"item-id"'),
    ("fields[0].encoding", '"shortString"', '"felt"'),
    ("fields[1].optional", "optional = true", 'optional = "yes"'),
    ("fields[1].source", "optional = true", "source = true"),
    ("fields", '"itemName"', '"id"'),
    ("policies", "max_calls = 2", "max_calls = 2\npolicies = []"),
]


@pytest.mark.parametrize(("at", "good", "bad"), MUTANTS)
def test_one_wrong_thing_in_an_operation_is_refused_with_its_place(at: str, good: str, bad: str) -> None:
    assert good in OPERATION
    with pytest.raises(ManifestError) as caught:
        load(manifest(OPERATION.replace(good, bad, 1)))
    assert caught.value.at == f"operations[0].{at}"


def test_more_fields_than_a_schema_may_have_are_refused() -> None:
    lines = "".join(f'{{ name = "f{index}", encoding = "uint" }},\n' for index in range(MAX_FIELDS + 1))
    start = OPERATION[: OPERATION.index("fields")]
    with pytest.raises(ManifestError, match=r"operations\[0\].fields"):
        load(manifest(f"{start}fields = [\n{lines}]\n"))


def test_two_operations_of_one_name_are_refused() -> None:
    with pytest.raises(ManifestError, match="the same name"):
        load(manifest(OPERATION, OPERATION))


def test_one_schema_id_is_one_list_of_fields() -> None:
    other = OPERATION.replace("find_item", "get_item").replace("optional = true", "optional = false")
    with pytest.raises(ManifestError, match=r"operations\[1\].fields"):
        load(manifest(OPERATION, other))


def test_an_empty_list_of_operations_is_refused() -> None:
    with pytest.raises(ManifestError, match="operations"):
        load(b"operations = []\n" + manifest())


@given(st.text(max_size=300))
def test_any_text_for_operations_gives_declarations_or_the_rooms_error(text: str) -> None:
    try:
        load(manifest("[[operations]]\n" + text))
    except ManifestError:
        return
