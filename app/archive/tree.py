"""The Merkle tree of RFC 9162 (2.1) over an append-only sequence of hashes: growth and proofs in O(log n).

Stored is the hash of each complete subtree, once: `level` 0 are leaves, `number` counts subtrees of a level from the
left. A subtree's hash is written when its last leaf is, right behind the hashes below it, so that places are dense and
nothing is ever changed. What is incomplete, at the right edge, is folded from at most log2(n) stored hashes.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

NODE_PREFIX = b"\x01"
EMPTY_ROOT = hashlib.sha256(b"").digest()  # RFC 9162 2.1.1: the tree without leaves

Read = Callable[[Sequence[int]], Mapping[int, bytes]]  # the stored hashes at these places
Range = tuple[int, int]  # leaves from the first up to, and without, the second


def place(level: int, number: int) -> int:
    """Return where the hash of a complete subtree is stored, counted from 0."""
    last_leaf = ((number + 1) << level) - 1
    return 2 * last_leaf - last_leaf.bit_count() + level


def peaks(first: int, end: int) -> list[int]:
    """Return the places of the complete subtrees that leaves `first` to `end` fall into, largest first.

    `first` must be a multiple of the smallest power of two that is not below the number of leaves.
    """
    found = []
    while first < end:
        level = (end - first).bit_length() - 1
        found.append(place(level, first >> level))
        first += 1 << level
    return found


def fold(hashes: Sequence[bytes]) -> bytes:
    """Return the root over the hashes at `peaks`, in their order."""
    if not hashes:
        return EMPTY_ROOT
    root = hashes[-1]
    for left in reversed(hashes[:-1]):
        root = _node(left, root)
    return root


def grow(size: int, tops: Sequence[bytes], leaves: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield the places and hashes that `leaves` add to a tree of `size`, whose peaks have the hashes `tops`."""
    stack = list(tops)
    for leaf in leaves:
        node, level = leaf, 0
        yield place(0, size), node
        while size >> level & 1:
            node, level = _node(stack.pop(), node), level + 1
            yield place(level, size >> level), node
        stack.append(node)
        size += 1


def root(size: int, read: Read) -> bytes:
    """Return the root of the first `size` leaves."""
    return _roots([(0, size)], read)[0]


def inclusion(index: int, size: int, read: Read) -> tuple[bytes, ...]:
    """Return PATH(index, D_size) of RFC 9162 2.1.3.1, lowest sibling first; `index` is below `size`."""
    siblings, first, end = [], 0, size
    while end - first > 1:
        middle = first + _split(end - first)
        if index < middle:
            siblings.append((middle, end))
            end = middle
        else:
            siblings.append((first, middle))
            first = middle
    return _roots(siblings[::-1], read)


def consistency(older: int, newer: int, read: Read) -> tuple[bytes, ...]:
    """Return PROOF(older, D_newer) of RFC 9162 2.1.4.1; empty where older is 0 or newer, and never above it."""
    if older == 0:
        return ()
    ranges, first, end = [], 0, newer
    while older != end:
        middle = first + _split(end - first)
        if older <= middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((first, middle))
            first = middle
    if first > 0:  # otherwise the whole older tree, whose root the asker holds
        ranges.append((first, end))
    return _roots(ranges[::-1], read)


def _split(leaves: int) -> int:
    """Return the largest power of two below `leaves`, which is at least 2."""
    return 1 << (leaves - 1).bit_length() - 1


def _roots(ranges: Sequence[Range], read: Read) -> tuple[bytes, ...]:
    """Return the root over each range, with one read."""
    places = [peaks(first, end) for first, end in ranges]
    hashes = read([place for found in places for place in found])
    return tuple(fold([hashes[place] for place in found]) for found in places)


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(NODE_PREFIX + left + right).digest()
