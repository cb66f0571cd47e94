"""Step 7: the tree of RFC 9162, and the CDDL of statements and user data, one mutant per rule."""

from collections.abc import Callable
from typing import Any

import pytest
import verifier_kit as kit
from hypothesis import given
from hypothesis import strategies as st
from verifier_cases import refused
from verifier_kit import cbor

from tytle_verifier import BindingError, Failure, NoResult, Response, Result, statement
from tytle_verifier.inclusion import MAX_TREE_SIZE, Inclusion, leaf_hash, node_hash, root_of

LEAVES = [leaf_hash(bytes([n])) for n in range(40)]


def test_hashes_are_those_of_rfc_9162() -> None:
    assert leaf_hash(b"") == kit.sha256(b"\x00")
    assert node_hash(b"l" * 32, b"r" * 32) == kit.sha256(b"\x01" + b"l" * 32 + b"r" * 32)


@pytest.mark.parametrize("size", [*range(1, 20), 31, 32, 33, 40])
def test_every_leaf_of_every_tree_leads_to_the_root_of_the_recursive_definition(size: int) -> None:
    leaves = LEAVES[:size]
    for index in range(size):
        proof = Inclusion(index=index, size=size, path=tuple(kit.path(index, leaves)))
        assert root_of(leaves[index], proof) == kit.tree(leaves)


def leads_elsewhere(leaf: bytes, proof: Inclusion, root: bytes) -> bool:
    try:
        return root_of(leaf, proof) != root
    except BindingError:
        return True


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 13])
def test_no_other_position_size_or_path_proves_a_leaf(size: int) -> None:
    leaves, root = LEAVES[:size], kit.tree(LEAVES[:size])
    for index in range(size):
        path = tuple(kit.path(index, leaves))
        others = [
            *(Inclusion(index=i, size=size, path=path) for i in range(size) if i != index),
            *(Inclusion(index=index, size=size, path=path[:cut]) for cut in range(len(path))),
            Inclusion(index=index, size=size, path=(*path, bytes(32))),
            *(Inclusion(index=index, size=size, path=(*path[:n], bytes(32), *path[n + 1 :])) for n in range(len(path))),
        ]
        assert [proof for proof in others if not leads_elsewhere(leaves[index], proof, root)] == []
        assert leads_elsewhere(leaf_hash(b"other"), Inclusion(index=index, size=size, path=path), root)


def test_an_inner_node_is_no_leaf() -> None:
    inner = node_hash(LEAVES[0], LEAVES[1])
    assert leaf_hash(LEAVES[0] + LEAVES[1]) != inner


@pytest.mark.parametrize(("index", "size"), [(1, 1), (-1, 1), (0, 0), (2, 2), (0, MAX_TREE_SIZE + 1)])
def test_an_index_lies_below_its_size(index: int, size: int) -> None:
    refused(7, "inclusion index", root_of, LEAVES[0], Inclusion(index=index, size=size))


def test_a_path_is_of_hashes() -> None:
    refused(7, "32 bytes", root_of, LEAVES[0], Inclusion(index=0, size=2, path=(b"short",)))


@given(st.integers(0, 70), st.integers(0, 70), st.lists(st.binary(min_size=32, max_size=32), max_size=8))
def test_any_proof_gives_a_root_or_an_error_of_this_room(index: int, size: int, path: list[bytes]) -> None:
    leads_elsewhere(LEAVES[0], Inclusion(index=index, size=size, path=tuple(path)), b"")


def test_a_statement_is_read_as_it_was_written() -> None:
    read = statement.decode(cbor(kit.statement()))
    outcome = read.answer.outcome
    assert isinstance(outcome, Response)
    assert (read.service, read.time_ms, read.challenge, read.seq) == ("vies", kit.SIGNED_MS - 40, kit.CHALLENGE, 7)
    assert read.answer.request.headers[1] == ("Authorization", None)
    assert outcome.headers[2] == ("set-cookie", b"b=\xe9")


def test_a_failure_is_read() -> None:
    made = kit.statement()
    kit.failed(made)
    assert statement.decode(cbor(made)).answer.outcome == Failure(kind="timeout", detail="no first byte within 20 s")


def test_a_result_is_read_and_frozen() -> None:
    result = {"operation": "o", "schema": "s", "fields": bytes(32), "values": {"a": [1, {"b": None}]}}
    read = statement.decode(cbor({**kit.statement(), "result": result})).result
    assert isinstance(read, Result)
    assert read.values["a"] == (1, {"b": None})
    with pytest.raises(TypeError):
        read.values["a"] = 1  # type: ignore[index]


def test_that_there_is_no_result_is_read() -> None:
    result = {"operation": "o", "schema": "s", "error": "upstream-fault"}
    read = statement.decode(cbor({**kit.statement(), "result": result})).result
    assert read == NoResult(operation="o", schema="s", error="upstream-fault")


def whole() -> dict[str, Any]:
    result = {"operation": "o", "schema": "s", "fields": bytes(32), "values": {}}
    return {**kit.statement(), "result": result}


Place = Callable[[dict[str, Any]], dict[str, Any]]
PLACES: dict[str, Place] = {
    "statement": lambda made: made,
    "exchange": lambda made: made["exchanges"][0],
    "request": lambda made: made["exchanges"][0]["request"],
    "request body": lambda made: made["exchanges"][0]["request"]["body"],
    "response": lambda made: made["exchanges"][0]["response"],
    "response body": lambda made: made["exchanges"][0]["response"]["body"],
    "upstream": lambda made: made["exchanges"][0]["upstream"],
    "result": lambda made: made["result"],
}
OPTIONAL = {"challenge", "result", "cipher", "certificate", "spki"}


KEYS = [(place, key) for place in PLACES for key in PLACES[place](whole())]


@pytest.mark.parametrize(("place", "key"), [(place, key) for place, key in KEYS if key not in OPTIONAL])
def test_no_key_may_be_missing(place: str, key: str) -> None:
    made = whole()
    del PLACES[place](made)[key]
    refused(7, "statement", statement.decode, cbor(made))


@pytest.mark.parametrize("place", PLACES)
def test_no_map_takes_another_key(place: str) -> None:
    made = whole()
    PLACES[place](made)["surprise"] = 1
    refused(7, "unknown key", statement.decode, cbor(made))


@pytest.mark.parametrize(("place", "key"), KEYS)
def test_every_value_has_exactly_one_type(place: str, key: str) -> None:
    for wrong in ([b"x", 1, 2], {"x": 1}, 1, "xyz", b"x", True, None):
        made = whole()
        target = PLACES[place](made)
        if type(wrong) is type(target[key]) or (key, wrong) == ("tls", None):
            continue
        target[key] = wrong
        refused(7, "statement", statement.decode, cbor(made))


LIMITS: list[tuple[str, Place, Any]] = [
    ("profile", PLACES["statement"], {"profile": "tytle/attested-fetch/v2"}),
    ("manifest", PLACES["statement"], {"manifest": bytes(31)}),
    ("boot", PLACES["statement"], {"boot": bytes(15)}),
    ("boot", PLACES["statement"], {"boot": bytes(17)}),
    ("seq", PLACES["statement"], {"seq": -1}),
    ("time", PLACES["statement"], {"time": -1}),
    ("challenge", PLACES["statement"], {"challenge": bytes(15)}),
    ("challenge", PLACES["statement"], {"challenge": bytes(65)}),
    ("exchanges", PLACES["statement"], {"exchanges": []}),
    ("either", PLACES["exchange"], {"failure": {"kind": "k", "detail": "d"}}),
    ("headers", PLACES["request"], {"headers": [["name"]]}),
    ("headers", PLACES["request"], {"headers": [["name", b"v", b"w"]]}),
    ("headers", PLACES["request"], {"headers": [["name", "text"]]}),
    ("headers", PLACES["request"], {"headers": [[b"name", b"v"]]}),
    ("headers", PLACES["request"], {"headers": [{"name": b"v"}]}),
    ("headers", PLACES["response"], {"headers": [["name", None]]}),
    ("sha256", PLACES["response body"], {"sha256": bytes(33)}),
    ("length", PLACES["response body"], {"length": -1}),
    ("spki", PLACES["upstream"], {"spki": bytes(20)}),
    ("values", PLACES["result"], {"values": {1: 2}}),
    ("either", PLACES["result"], {"error": "upstream-fault"}),
]


@pytest.mark.parametrize(("problem", "place", "change"), LIMITS)
def test_a_statement_outside_the_cddl_is_refused(problem: str, place: Place, change: dict[str, Any]) -> None:
    made = whole()
    place(made).update(change)
    refused(7, problem, statement.decode, cbor(made))


def test_an_exchange_has_an_outcome() -> None:
    made = kit.statement()
    del made["exchanges"][0]["response"]
    refused(7, "either", statement.decode, cbor(made))


@pytest.mark.parametrize(
    "change",
    [
        {"root": bytes(31)},
        {"size": 0},
        {"size": -1},
        {"size": "1"},
        {"fields": bytes(31)},
        {"fields": None},
        {"profile": "other"},
        {"extra": 1},
    ],
)
def test_user_data_outside_the_cddl_is_refused(change: dict[str, Any]) -> None:
    made = {"profile": statement.PROFILE, "root": bytes(32), "size": 1, **change}
    refused(7, "user_data", statement.decode_user_data, cbor(made))


def test_user_data_and_statements_are_bounded() -> None:
    refused(7, "size", statement.decode_user_data, bytes(513))
    refused(7, "size", statement.decode, bytes(1_048_577))


NOT_DETERMINISTIC = {
    "open map": lambda said: b"\xbf" + said[1:] + b"\xff",
    "long head": lambda said: b"\xb8" + bytes([said[0] & 31]) + said[1:],
    "trailing byte": lambda said: said + b"\x00",
    "tag": lambda said: b"\xd9\xd9\xf7" + said,
    "array": lambda said: b"\x81" + said,
    "key order": lambda said: said[:1] + said[said.index(b"\x64time") :] + said[1 : said.index(b"\x64time")],
}


@pytest.mark.parametrize("name", NOT_DETERMINISTIC)
def test_a_statement_in_another_encoding_is_refused(name: str) -> None:
    refused(7, "statement", statement.decode, NOT_DETERMINISTIC[name](cbor(kit.statement())))


@given(st.binary(max_size=100))
def test_any_bytes_give_a_statement_or_an_error_of_this_room(data: bytes) -> None:
    for read in (statement.decode, statement.decode_user_data):
        with pytest.raises(BindingError):
            read(data)


@given(st.data())
def test_any_damage_gives_a_statement_or_an_error_of_this_room(data: st.DataObject) -> None:
    said = bytearray(cbor(whole()))
    for at in data.draw(st.lists(st.integers(0, len(said) - 1), min_size=1, max_size=3)):
        said[at] ^= data.draw(st.integers(1, 255))
    try:
        statement.decode(bytes(said))
    except BindingError:
        return
