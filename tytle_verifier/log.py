"""The archive's log: was this reply kept, and was nothing dropped since (VERIFICATION.md, "The archive's log").

Proofs of RFC 9162 over heads that the relying party keeps itself. Nobody signs a head: it is as good as the memory of
whoever saw it. What this says about a reply is where it is stored, never that it is true: that is for `verify_reply`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from tytle_verifier import inclusion, jsontext, reply
from tytle_verifier.errors import InputError, LogError, VerificationError
from tytle_verifier.inclusion import HASH_BYTES, Inclusion, leaf_hash, node_hash
from tytle_verifier.shape import Fields, WrongShape

ENTRY_PROFILE = b"tytle/archive/v1"
HEAD_PROFILE = b"tytle/archive/head/v1"
EMPTY_ROOT = hashlib.sha256(b"").digest()
MAX_SIZE = inclusion.MAX_TREE_SIZE
MAX_FILE_BYTES = 65_536  # ours: a path has at most 64 hashes of 64 digits
_ID = re.compile(r"enc-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """A log at one `size` in leaves. `time` is hearsay: when its last leaf was stored, in ms since 1970, or None."""

    size: int
    root: bytes
    time: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Consistency:
    """What shows that the first `older` leaves begin the first `newer`: the hashes, lowest first."""

    older: int
    newer: int
    path: tuple[bytes, ...]


def leaf_of(data: bytes) -> bytes:
    """Return the leaf hash of a reply, of exactly these bytes. The reply is decoded and NOT verified.

    Raises: InputError, NotAttested, LogError where its attestationId cannot be in a log.
    """
    attestation_id = reply.decode(data).attestation.id
    if not _ID.fullmatch(attestation_id):
        raise LogError("attestationId", got=attestation_id, expected="enc- and a UUID")
    return leaf_hash(ENTRY_PROFILE + attestation_id.encode() + hashlib.sha256(data).digest())


def check_inclusion(leaf: bytes, proof: Inclusion, head: Head) -> None:
    """Check that the log had this leaf when it had this head. Raises: LogError."""
    if proof.size != head.size:
        raise LogError("the proof is for another head", got=f"size {proof.size}", expected=f"size {head.size}")
    try:
        root = inclusion.root_of(leaf, proof)
    except VerificationError as error:
        raise LogError(error.problem, got=error.got, expected=error.expected) from error
    if root != head.root:
        raise LogError("the proof leads to another root: this reply is not at this place", got=root, expected=head.root)


def check_consistency(older: Head, newer: Head, proof: Consistency) -> None:
    """Check that the log only grew from one head to the other (RFC 9162 2.1.4.2). Raises: LogError."""
    if (proof.older, proof.newer) != (older.size, newer.size):
        got, expected = f"{proof.older} to {proof.newer}", f"{older.size} to {newer.size}"
        raise LogError("the proof is for other heads", got=got, expected=expected)
    if older.size > newer.size:
        raise LogError("the log has become shorter", got=newer.size, expected=f"at least {older.size}")
    if older.size in (0, newer.size):
        expected_root = newer.root if older.size else EMPTY_ROOT
        if proof.path or older.root != expected_root:
            raise LogError("history was rewritten: other roots", got=older.root, expected=expected_root)
        return
    before, after = _roots(older, newer, proof.path)
    if before != older.root:
        raise LogError("history was rewritten: the older root does not follow", got=before, expected=older.root)
    if after != newer.root:
        raise LogError("history was rewritten: the newer root does not follow", got=after, expected=newer.root)


def challenge_for(head: Head) -> bytes:
    """Return 32 bytes to ask an enclave's identity with: its signed document then is younger than this head."""
    return hashlib.sha256(HEAD_PROFILE + head.size.to_bytes(8, "big") + head.root).digest()


def decode_head(data: bytes) -> Head:
    """Read the answer to `GET /log/head`. Raises: LogError."""
    fields = _object(data, "size", "root", "time")
    try:
        time = None if fields.raw("time") is None else fields.natural("time")
        head = Head(size=_size(fields, "size"), root=_hash(fields.raw("root"), "root"), time=time)
    except WrongShape as error:
        raise LogError(error.problem, got=error.got, expected=error.expected) from error
    if head.size == 0 and head.root != EMPTY_ROOT:
        raise LogError("root of the empty log", got=head.root, expected=EMPTY_ROOT)
    return head


def decode_inclusion(data: bytes) -> Inclusion:
    """Read the answer to `GET /log/proof`; the root in it is not used. Raises: LogError."""
    fields = _object(data, "index", "size", "root", "path")
    try:
        _hash(fields.raw("root"), "root")
        path = fields.each("path", _hash)
        return Inclusion(index=_size(fields, "index"), size=_size(fields, "size"), path=path)
    except WrongShape as error:
        raise LogError(error.problem, got=error.got, expected=error.expected) from error


def decode_consistency(data: bytes) -> Consistency:
    """Read the answer to `GET /log/consistency`. Raises: LogError."""
    fields = _object(data, "from", "to", "path")
    try:
        return Consistency(older=_size(fields, "from"), newer=_size(fields, "to"), path=fields.each("path", _hash))
    except WrongShape as error:
        raise LogError(error.problem, got=error.got, expected=error.expected) from error


def _roots(older: Head, newer: Head, path: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Return the roots of both heads as they follow from the path; 0 < older.size < newer.size."""
    node, last = older.size - 1, newer.size - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    hashes = [older.root, *path] if older.size & (older.size - 1) == 0 else [*path]
    if not hashes or (len(hashes) == 1 and last):
        raise LogError("consistency path too short", got=len(path))
    before = after = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            raise LogError("consistency path too long", got=len(path))
        if node & 1 or node == last:
            before, after = node_hash(sibling, before), node_hash(sibling, after)
            while node and not node & 1:
                node, last = node >> 1, last >> 1
        else:
            after = node_hash(after, sibling)
        node, last = node >> 1, last >> 1
    if last:
        raise LogError("consistency path too short", got=len(path))
    return before, after


def _object(data: bytes, *keys: str) -> Fields:
    if len(data) > MAX_FILE_BYTES:
        raise LogError(
            "size of an answer about the log", got=f"{len(data)} bytes", expected=f"at most {MAX_FILE_BYTES}"
        )
    try:
        return Fields(jsontext.decode(data, "the log's answer"), "", required=keys)
    except (InputError, WrongShape) as error:
        raise LogError(error.problem, got=error.got, expected=error.expected) from error


def _size(fields: Fields, key: str) -> int:
    size = fields.natural(key)
    if size > MAX_SIZE:
        raise WrongShape(fields.place(key), got=size, expected=f"at most {MAX_SIZE}")
    return size


def _hash(value: object, where: str) -> bytes:
    if type(value) is not str or not _HASH.fullmatch(value):
        raise WrongShape(where, got=value, expected=f"{HASH_BYTES} bytes in lower-case hex")
    return bytes.fromhex(value)
