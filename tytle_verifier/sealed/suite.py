"""The one suite: HPKE (RFC 9180) base mode, single shot, X-Wing with HKDF-SHA256 and AES-256-GCM; no other is spoken.

Base mode does not say who sealed. The enclave cannot tell one asker from another; an answer can come from nobody but
the enclave, because the reply key is inside the request and nowhere else.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    Suite,
)

from tytle_verifier.errors import SealedAnswerError

NAME: Final = "X-Wing/HKDF-SHA256/AES-256-GCM"
PROFILE: Final = "tytle/sealed-fetch/v1"
_MLKEM_KEY_BYTES = 1184  # FIPS 203, table 3
KEY_BYTES = _MLKEM_KEY_BYTES + 32  # draft-connolly-cfrg-xwing-kem: ML-KEM-768 public key, then X25519 public key
OVERHEAD_BYTES = 1120 + 16  # the encapsulated key before the ciphertext, the tag behind it
_SUITE: Final = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKey:
    """A key that can be sealed to; `encoded` is its 1216 bytes on the wire, `id` their SHA-256."""

    encoded: bytes = field(repr=False)
    id: bytes
    key: MLKEM768X25519PublicKey = field(repr=False)

    def seal(self, plaintext: bytes, info: bytes) -> bytes:
        """Return `plaintext` sealed to this key, 1136 bytes longer."""
        return _SUITE.encrypt(plaintext, self.key, info)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyKey:
    """A key pair for one answer. `encoded` is its public half on the wire."""

    encoded: bytes = field(repr=False)
    key: MLKEM768X25519PrivateKey = field(repr=False)

    def unseal(self, sealed: bytes, info: bytes) -> bytes:
        """Return what was sealed. Raises: SealedAnswerError, the same one whatever is wrong."""
        try:
            return _SUITE.decrypt(sealed, self.key, info)
        except (InvalidTag, ValueError) as error:
            raise SealedAnswerError("the answer does not open", got=f"{len(sealed)} bytes") from error


def public_key(encoded: bytes) -> PublicKey:
    """Read a public key. Raises: ValueError for another size, or for one that nothing can be sealed to."""
    if len(encoded) != KEY_BYTES:
        raise ValueError(f"a key has {KEY_BYTES} bytes, not {len(encoded)}")
    lattice = MLKEM768PublicKey.from_public_bytes(encoded[:_MLKEM_KEY_BYTES])
    curve = X25519PublicKey.from_public_bytes(encoded[_MLKEM_KEY_BYTES:])
    made = PublicKey(encoded=encoded, id=hashlib.sha256(encoded).digest(), key=MLKEM768X25519PublicKey(lattice, curve))
    made.seal(b"", b"")  # a point of low order shows only when it is used
    return made


def reply_key() -> ReplyKey:
    """Make a key pair for one answer."""
    lattice, curve = MLKEM768PrivateKey.generate(), X25519PrivateKey.generate()
    encoded = lattice.public_key().public_bytes_raw() + curve.public_key().public_bytes_raw()
    return ReplyKey(encoded=encoded, key=MLKEM768X25519PrivateKey(lattice, curve))


def request_info(service: str, key_id: bytes) -> bytes:
    """Return HPKE's `info` of a request: service and key cannot be exchanged for others."""
    return b"\0".join((PROFILE.encode(), b"request", service.encode(), key_id))


def answer_info(service: str, key_id: bytes, sealed_request: bytes) -> bytes:
    """Return HPKE's `info` of an answer: of the enclave that was asked, to exactly these sealed bytes."""
    said = hashlib.sha256(sealed_request).digest()
    return b"\0".join((PROFILE.encode(), b"answer", service.encode(), key_id + said))
