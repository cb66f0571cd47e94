"""The log's tree: RFC 9162's known answers, the naive tree, and how little is read."""

import hashlib
import random
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from verifier_ct_vectors import CONSISTENCY, DATA, EMPTY_ROOT, INCLUSION, ROOTS
from verifier_naive_tree import leaf_hash, path, proof, root

from app.archive import tree
from tytle_verifier import log
from tytle_verifier.inclusion import Inclusion
from tytle_verifier.log import Consistency, Head


class Stored:
    """The hashes of a tree, by place; `reads` counts those that were read, `asked` how often."""

    def __init__(self, leaves: Sequence[bytes], *, groups: Sequence[int] = ()) -> None:
        self.hashes: dict[int, bytes] = {}
        self.reads = self.asked = 0
        size = 0
        for group in [*groups, len(leaves)]:
            self.append(size, leaves[size : size + group])
            size = min(len(leaves), size + group)

    def append(self, size: int, leaves: Sequence[bytes]) -> None:
        places = tree.peaks(0, size)
        tops = self(places)
        for place, node in tree.grow(size, [tops[place] for place in places], leaves):
            assert place == len(self.hashes)  # dense, and nothing is written twice
            self.hashes[place] = node

    def __call__(self, places: Sequence[int]) -> Mapping[int, bytes]:
        self.reads += len(places)
        self.asked += 1
        return {place: self.hashes[place] for place in places}


CT = Stored([leaf_hash(data) for data in DATA])


def test_the_roots_are_those_of_certificate_transparency() -> None:
    assert {size: tree.root(size, CT).hex() for size in ROOTS} == ROOTS
    assert tree.root(0, CT).hex() == EMPTY_ROOT


@pytest.mark.parametrize(("index", "size"), INCLUSION)
def test_an_inclusion_proof_is_that_of_certificate_transparency(index: int, size: int) -> None:
    assert [node.hex() for node in tree.inclusion(index, size, CT)] == INCLUSION[index, size]


@pytest.mark.parametrize(("older", "newer"), CONSISTENCY)
def test_a_consistency_proof_is_that_of_certificate_transparency(older: int, newer: int) -> None:
    assert [node.hex() for node in tree.consistency(older, newer, CT)] == CONSISTENCY[older, newer]


@given(st.lists(st.binary(max_size=4), max_size=70), st.lists(st.integers(0, 9), max_size=9), st.data())
def test_the_tree_is_the_naive_one_however_it_grew(
    data: list[bytes], groups: list[int], choices: st.DataObject
) -> None:
    leaves = [leaf_hash(each) for each in data]
    stored = Stored(leaves, groups=groups)
    size = choices.draw(st.integers(0, len(leaves)))
    assert tree.root(size, stored) == root(leaves[:size])
    if size:
        index = choices.draw(st.integers(0, size - 1))
        assert list(tree.inclusion(index, size, stored)) == path(index, leaves[:size])
        older = choices.draw(st.integers(1, size))
        assert list(tree.consistency(older, size, stored)) == proof(older, leaves[:size])


def test_the_empty_log_is_the_beginning_of_every_log() -> None:
    assert tree.consistency(0, 8, CT) == ()


def test_a_log_of_100_000_leaves_is_grown_and_proved_with_a_logarithmic_number_of_hashes() -> None:
    size = 100_000
    leaves = [hashlib.sha256(index.to_bytes(4, "big")).digest() for index in range(size)]
    stored = Stored(leaves, groups=[*range(1, 300), 20_000, 1, 30_000])
    levels = size.bit_length()  # 17
    whole = Head(size=size, root=tree.root(size, stored))
    chosen = random.Random(7)  # noqa: S311  the same leaves in every run
    for at in [0, 1, 65_535, 65_536, 99_999, *(chosen.randrange(size) for _ in range(50))]:
        stored.reads = stored.asked = 0
        inclusion = tree.inclusion(at, size, stored)
        assert (stored.asked, stored.reads <= 2 * levels) == (1, True)
        log.check_inclusion(leaves[at], Inclusion(index=at, size=size, path=inclusion), whole)
        stored.reads = stored.asked = 0
        consistency = tree.consistency(at + 1, size, stored)
        assert (stored.asked, stored.reads <= 2 * levels) == (1, True)
        older = Head(size=at + 1, root=tree.root(at + 1, stored))
        log.check_consistency(older, whole, Consistency(older=at + 1, newer=size, path=consistency))
    stored.reads = 0
    stored.append(size, [leaves[0]])
    assert stored.reads <= levels
    assert len(stored.hashes) <= 2 * (size + 1)
