"""The Merkle tree of RFC 9162 (2.1.1, 2.1.3.1) with SHA-256: many statements under one root, a path for each.

Leaves are `statement.leaf_hash`. Built level by level: a node without a neighbour moves up as it is, which gives the
RFC's tree, whose left part is the largest power of two.
"""

import hashlib
from collections.abc import Sequence

NODE_PREFIX = b"\x01"


def root_and_paths(leaves: Sequence[bytes]) -> tuple[bytes, tuple[tuple[bytes, ...], ...]]:
    """Return the root of at least one leaf hash, and for each leaf its siblings, lowest first.

    Raises:
        ValueError: there is no leaf.
    """
    if not leaves:
        raise ValueError("a tree has at least one leaf")
    levels = [list(leaves)]
    while len(levels[-1]) > 1:
        levels.append(_above(levels[-1]))
    return levels[-1][0], tuple(_path(levels, index) for index in range(len(leaves)))


def _above(level: list[bytes]) -> list[bytes]:
    pairs = zip(level[::2], level[1::2], strict=False)  # the last, if odd, has no neighbour
    nodes = [hashlib.sha256(NODE_PREFIX + left + right).digest() for left, right in pairs]
    return nodes + level[len(nodes) * 2 :]


def _path(levels: list[list[bytes]], index: int) -> tuple[bytes, ...]:
    path = []
    for level in levels[:-1]:
        sibling = index ^ 1
        if sibling < len(level):
            path.append(level[sibling])
        index >>= 1
    return tuple(path)
