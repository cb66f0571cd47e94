"""What the log commits to: an attestationId and the SHA-256 of the reply that was handed out under it.

    entry = "tytle/archive/v1" || attestationId (40 bytes of ASCII) || SHA-256(reply), 88 bytes
    leaf  = SHA-256(0x00 || entry)                                                  RFC 9162 2.1.1

There is no time and no index in it, so that whoever holds a reply computes its leaf from nothing else.
"""

import hashlib
import re
from dataclasses import dataclass

from app.said import decoded

PROFILE = b"tytle/archive/v1"
LEAF_PREFIX = b"\x00"
ID = re.compile(r"enc-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


class NotArchivable(Exception):
    """The reply carries an attestation without a usable attestationId."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A reply to be stored: `id` is its attestationId, `caller` who asked (None without authentication)."""

    id: str
    digest: bytes  # SHA-256 of `reply`
    leaf: bytes
    caller: str | None
    reply: bytes


def leaf_hash(attestation_id: str, digest: bytes) -> bytes:
    """Return the 32-byte leaf of a reply whose SHA-256 is `digest`."""
    return hashlib.sha256(LEAF_PREFIX + PROFILE + attestation_id.encode("ascii") + digest).digest()


def read(reply: bytes, caller: str | None) -> Entry | None:
    """Return what is to be stored of a reply, or None where there is nothing: it is sealed, or not attested.

    Raises:
        NotArchivable: it is attested under no id of the form `enc-UUID`.
    """
    try:
        value = decoded(reply)
    except ValueError:
        return None
    if not isinstance(value, dict) or "sealed" in value or value.get("attestation") is None:
        return None
    attestation = value["attestation"]
    attestation_id = attestation.get("attestationId") if isinstance(attestation, dict) else None
    if not isinstance(attestation_id, str) or not ID.fullmatch(attestation_id):
        raise NotArchivable("the attestation has no attestationId of the form enc-UUID")
    digest = hashlib.sha256(reply).digest()
    leaf = leaf_hash(attestation_id, digest)
    return Entry(id=attestation_id, digest=digest, leaf=leaf, caller=caller, reply=reply)
