"""HPKE as it is used here: one suite, single shot, and an `info` that says what a message is for.

The suite is X-Wing (ML-KEM-768 and X25519: draft-connolly-cfrg-xwing-kem), HKDF-SHA256, AES-256-GCM. `info` names
profile, direction, service and key, so that a message opens as what it was sealed to be and as nothing else; an
answer's names its request too.
"""

import hashlib

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

PROFILE = b"tytle/sealed-fetch/v1"
SUITE_NAME = "X-Wing/HKDF-SHA256/AES-256-GCM"
OVERHEAD_BYTES = 1136  # X-Wing's ciphertext (1120) and the tag of AES-GCM (16)

_SUITE = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
_PROBE = X25519PrivateKey.from_private_bytes(bytes(32))  # no secret: any scalar tells points of low order from others
_MLKEM_BYTES = 1184  # FIPS 203: the encapsulation key of ML-KEM-768
_X25519_BYTES = 32
PUBLIC_KEY_BYTES = _MLKEM_BYTES + _X25519_BYTES


class NotSealed(Exception):
    """Bytes are no public key, or do not open under the given key and info."""


def generate() -> tuple[MLKEM768X25519PrivateKey, bytes]:
    """Return a new private key, and its public key in X-Wing's encoding: ML-KEM-768's bytes, then X25519's."""
    lattice, curve = MLKEM768PrivateKey.generate(), X25519PrivateKey.generate()
    public = lattice.public_key().public_bytes_raw() + curve.public_key().public_bytes_raw()
    return MLKEM768X25519PrivateKey(lattice, curve), public


def public_key(data: bytes) -> MLKEM768X25519PublicKey:
    """Read a public key of 1216 bytes. Raises: NotSealed."""
    if len(data) != PUBLIC_KEY_BYTES:
        raise NotSealed("a public key has 1216 bytes")
    try:
        lattice = MLKEM768PublicKey.from_public_bytes(data[:_MLKEM_BYTES])
        curve = X25519PublicKey.from_public_bytes(data[_MLKEM_BYTES:])
        _PROBE.exchange(curve)  # a point of low order shows only when it is used, and nothing could be sealed to it
        return MLKEM768X25519PublicKey(lattice, curve)
    except ValueError as exc:
        raise NotSealed("not a public key") from exc


def request_info(service: str, key_id: bytes) -> bytes:
    """Return the info of a request. No part holds a NUL but the key id, which has 32 bytes and is the last."""
    return b"\0".join((PROFILE, b"request", service.encode("ascii"), key_id))


def answer_info(service: str, key_id: bytes, sealed_request: bytes) -> bytes:
    """Return the info of the answer to `sealed_request`, which was sealed to the key `key_id`."""
    return b"\0".join((PROFILE, b"answer", service.encode("ascii"), key_id)) + hashlib.sha256(sealed_request).digest()


def seal(plaintext: bytes, key: MLKEM768X25519PublicKey, info: bytes) -> bytes:
    """Return `plaintext` sealed, 1136 bytes longer."""
    return _SUITE.encrypt(plaintext, key, info)


def unseal(sealed: bytes, key: MLKEM768X25519PrivateKey, info: bytes) -> bytes:
    """Return the plaintext. Raises: NotSealed, whatever the reason."""
    try:
        return _SUITE.decrypt(sealed, key, info)
    except (InvalidTag, ValueError) as exc:
        raise NotSealed("does not open") from exc
