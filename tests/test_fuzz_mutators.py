"""The fuzzer waits for a mutator as long as it takes: it must end whatever it is given, and still make mutants."""

import json
from collections.abc import Callable

import cbor2
import pytest

from tests.fuzz import mutators
from tests.fuzz.target import Mutator

OF_THE_BYTES = b"made of the bytes"


def mutants(mutate: Mutator, data: bytes) -> set[bytes]:
    return {mutate(data, 4096, seed, lambda _data, _most: OF_THE_BYTES) for seed in range(100)}


def shared(levels: int) -> bytes:
    """Return a list of lists, each of which holds the one before it twice: 2 to the `levels` parts in a few bytes."""
    lists: list[object] = [["innermost"]]
    for _ in range(levels):
        lists.append([lists[-1], lists[-1]])
    return cbor2.dumps(lists, value_sharing=True)


@pytest.mark.parametrize(
    ("before", "after"),
    [(b"", b""), (b"\xa1", b"\x00"), (b"\xd9\x03\xe8", b""), (b"\xd9\x01\x02", b"")],
    ids=["plain", "as a key", "in an unknown tag", "in a set"],
)
def test_cbor_with_shared_values_is_mutated_as_bytes(before: bytes, after: bytes) -> None:
    item = before + shared(3) + after
    assert cbor2.loads(item)
    assert mutants(mutators.cbor_behind(1), b"\x00" + item) == {OF_THE_BYTES}


def test_cbor_with_maps_as_keys_of_keys_is_mutated_as_bytes() -> None:
    item = b"\xa1" * 9 + b"\x00" * 10
    assert cbor2.loads(item)
    assert mutants(mutators.cbor_behind(1), b"\x00" + item) == {OF_THE_BYTES}


@pytest.mark.parametrize(
    ("mutate", "loads", "dumps"),
    [
        (mutators.cbor_behind(1), cbor2.loads, cbor2.dumps),
        (mutators.json_behind(1), json.loads, lambda value: json.dumps(value).encode()),
    ],
    ids=["cbor", "json"],
)
def test_any_other_value_has_mutants_that_are_values(
    mutate: Mutator, loads: Callable[[bytes], object], dumps: Callable[[object], bytes]
) -> None:
    value = {"key": [1, "text", {"inner": None}]}
    made = mutants(mutate, b"\x07" + dumps(value)) - {OF_THE_BYTES}
    assert {each[:1] for each in made} == {b"\x07"}
    read = [loads(each[1:]) for each in made]
    assert len(read) > 20
