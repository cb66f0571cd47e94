"""Step 7: the Merkle tree of RFC 9162 (Certificate Transparency v2) with SHA-256.

Leaves and inner nodes are hashed under different first bytes, so that neither can pass for the other. A tree of one
leaf has that leaf's hash as its root: a document for one statement and one for a batch have the same proof.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from tytle_verifier.errors import BindingError

HASH_BYTES = 32
MAX_TREE_SIZE = 2**32  # ours; a batch is what waited while the NSM was busy, a few hundred at most


@dataclass(frozen=True, slots=True, kw_only=True)
class Inclusion:
    """Where a leaf stands: its 0-based `index` in a tree of `size` leaves, and the sibling hashes, lowest first.

    The default is the only leaf of a tree of one.
    """

    index: int = 0
    size: int = 1
    path: tuple[bytes, ...] = ()


def leaf_hash(entry: bytes) -> bytes:
    """Return SHA-256(0x00 || entry), 32 bytes (RFC 9162 section 2.1.1)."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return SHA-256(0x01 || left || right), 32 bytes (RFC 9162 section 2.1.1)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_of(leaf: bytes, inclusion: Inclusion) -> bytes:
    """Return the root that `inclusion` leads to from the 32-byte leaf hash `leaf` (RFC 9162 section 2.1.3.2).

    The caller compares it. Raises: BindingError where the proof has the wrong shape for its index and size.
    """
    if not 0 <= inclusion.index < inclusion.size <= MAX_TREE_SIZE:
        raise BindingError("inclusion index", got=f"{inclusion.index} of {inclusion.size}", expected="index below size")
    if any(len(sibling) != HASH_BYTES for sibling in inclusion.path):
        raise BindingError("inclusion path", expected=f"hashes of {HASH_BYTES} bytes")
    node, last, result = inclusion.index, inclusion.size - 1, leaf
    for sibling in inclusion.path:
        if last == 0:
            raise BindingError("inclusion path too long", got=len(inclusion.path))
        if node & 1 or node == last:
            result = node_hash(sibling, result)
            while node and not node & 1:
                node, last = node >> 1, last >> 1
        else:
            result = node_hash(result, sibling)
        node, last = node >> 1, last >> 1
    if last != 0:
        raise BindingError("inclusion path too short", got=len(inclusion.path))
    return result
