"""Proofs of the archive's log (`tytle_verifier.log`, `app.archive.tree`), against RFC 9162 written down as it stands.

1. Accepted proofs are exactly those of the naive tree: of this leaf, at this place, between these heads. Where a head
   lies about its size, which the root does not bind, a proof that is accepted still is one of the tree with that root.
2. What the archive shows is what the naive tree shows, however the log grew.
3. Any bytes are a head or a proof, or an error of the verifier's; what was read says what stands there.

An input chooses a log of up to 70 leaves, a proof in it, and what is wrong with it.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TypeVar

from app.archive import tree
from tests import verifier_naive_tree as naive
from tests.fuzz import mutators
from tests.fuzz.draws import Draws
from tests.fuzz.target import Seeds, Target
from tytle_verifier import log
from tytle_verifier.errors import LogError
from tytle_verifier.inclusion import Inclusion
from tytle_verifier.log import Consistency, Head

MOST_LEAVES = 70
T = TypeVar("T")


@cache
def _leaves() -> tuple[bytes, ...]:
    return tuple(naive.leaf_hash(bytes([index])) for index in range(MOST_LEAVES + 2))


@cache
def _root(size: int) -> bytes:
    return naive.root(_leaves()[:size])


@cache
def _stored() -> Mapping[int, bytes]:
    """Return the archive's hashes of the longest log, which it grew in two steps."""
    hashes: dict[int, bytes] = {}
    for start, end in ((0, 13), (13, MOST_LEAVES)):
        tops = [hashes[place] for place in tree.peaks(0, start)]
        hashes |= dict(tree.grow(start, tops, _leaves()[start:end]))
    return hashes


def _read(places: Sequence[int]) -> Mapping[int, bytes]:
    return {place: _stored()[place] for place in places}


def _inclusion(data: bytes) -> None:
    draws = Draws(data)
    size = 1 + draws.below(MOST_LEAVES)
    index = draws.below(size)
    right = tuple(naive.path(index, _leaves()[:size]))
    assert tree.inclusion(index, size, _read) == right
    assert tree.root(size, _read) == _root(size)
    path = _altered(draws, right)
    claimed = index if draws.flag() else draws.below(MOST_LEAVES)
    said = size if draws.flag() else 1 + draws.below(MOST_LEAVES)
    at = index if draws.flag() else draws.below(MOST_LEAVES)
    of = size if draws.flag() else said
    shown = Inclusion(index=claimed, size=said, path=path)
    accepted = _holds(lambda: log.check_inclusion(_leaves()[at], shown, Head(size=said, root=_root(of))))
    proved = at < of and path == tuple(naive.path(at, _leaves()[:of]))
    if of == said:
        assert accepted is (proved and claimed == at), (at, of, claimed, path)
    elif accepted:  # the head is a lie about its size, which no root of RFC 9162 binds; the proof is none
        assert proved


def _consistency(data: bytes) -> None:
    draws = Draws(data)
    newer = draws.below(MOST_LEAVES + 1)
    older = draws.below(newer + 1)
    right = tuple(naive.proof(older, _leaves()[:newer])) if older else ()
    assert tree.consistency(older, newer, _read) == right
    path = _altered(draws, right)
    before = draws.below(MOST_LEAVES + 1), older
    after = draws.below(MOST_LEAVES + 1), newer
    said = (before[draws.flag()], after[draws.flag()])
    of = (said[0] if draws.flag() else older, said[1] if draws.flag() else newer)
    heads = [Head(size=size, root=_root(real)) for size, real in zip(said, of, strict=True)]
    shown = Consistency(older=said[0], newer=said[1], path=path)
    accepted = _holds(lambda: log.check_consistency(heads[0], heads[1], shown))
    proved = of[0] <= of[1] and path == (tuple(naive.proof(of[0], _leaves()[: of[1]])) if of[0] else ())
    if of == said:
        assert accepted is proved, (said, path)
    elif accepted:  # as above
        assert proved


def _holds(check: Callable[[], None]) -> bool:
    try:
        check()
    except LogError:
        return False
    return True


def _altered(draws: Draws, path: tuple[bytes, ...]) -> tuple[bytes, ...]:
    other = draws.choice((b"", bytes(32), _leaves()[0], _root(2), path[0] if path else bytes(31)))
    at = draws.below(len(path) + 1)
    match draws.below(8):
        case 0:
            return (*path[:at], other, *path[at:])
        case 1:
            return (*path[:at], *path[at + 1 :])
        case 2:
            return (*path[:at], other, *path[at + 1 :])
        case 3:
            return path[::-1]
        case _:
            return path


def _head(data: bytes) -> None:
    read = _decoded(log.decode_head, data)
    if read is not None:
        said = json.loads(data)
        assert (read.size, read.root.hex(), read.time) == (said["size"], said["root"], said["time"])


def _inclusion_read(data: bytes) -> None:
    read = _decoded(log.decode_inclusion, data)
    if read is not None:
        said = json.loads(data)
        assert (read.index, read.size, [node.hex() for node in read.path]) == (
            said["index"],
            said["size"],
            said["path"],
        )


def _consistency_read(data: bytes) -> None:
    read = _decoded(log.decode_consistency, data)
    if read is not None:
        said = json.loads(data)
        assert (read.older, read.newer, [node.hex() for node in read.path]) == (said["from"], said["to"], said["path"])


def _decoded(decode: Callable[[bytes], T], data: bytes) -> T | None:
    try:
        return decode(data)
    except LogError:
        return None


READERS = (_inclusion, _consistency, _head, _inclusion_read, _consistency_read)


def one_input(data: bytes) -> None:
    """Check or read one input as what its first byte says."""
    if data:
        READERS[data[0] % len(READERS)](data[1:])


def seeds() -> Seeds:
    """Proofs that hold and proofs that do not, and each answer about the log."""
    root = _root(3).hex()
    for size in (1, 2, 3, 8, 13, 64, 69):
        yield f"inclusion-{size}", bytes([0, size, size // 2, 0, 0, 7, 1, 1, 1, 1])
        yield f"consistency-{size}", bytes([1, size, size // 2 + 1, 0, 0, 7, 1, 1, 1, 1])
    yield "head", b"\x02" + json.dumps({"size": 3, "root": root, "time": 1}).encode()
    yield "proof", b"\x03" + json.dumps({"index": 1, "size": 3, "root": root, "path": [root, root]}).encode()
    yield "grown", b"\x04" + json.dumps({"from": 1, "to": 3, "path": [root]}).encode()


TARGET = Target(
    one_input=one_input,
    seeds=seeds,
    mutate=mutators.json_behind(1),
    words=(b'"size":', b'"root":"', b'"path":[', b'"from":', b"0" * 64),
    max_bytes=1024,
)
