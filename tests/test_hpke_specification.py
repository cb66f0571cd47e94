"""Both halves' HPKE against the specifications: X-Wing and RFC 9180, written out here and held to a published vector.

The vector is the one of MLKEM768-X25519 (KEM 0x647a, X-Wing) with HKDF-SHA256 in the test vectors of
draft-ietf-hpke-pq, as the package `cryptography_vectors` 50.0.2 has them. Its AEAD is ChaCha20-Poly1305, ours is
AES-256-GCM: what is written out here gives the vector's key and nonce, and then opens what ours sealed, and seals what
ours opens.
"""

import hashlib
import hmac
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hpke import MLKEM768X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from enclave_worker.sealed import envelope
from tytle_verifier.sealed import suite

VECTOR = json.loads((Path(__file__).parent / "hpke_pq_vector.json").read_text())
KEM, HKDF_SHA256, AES_256_GCM, CHACHA20_POLY1305 = 0x647A, 1, 2, 3  # RFC 9180 7.2, 7.3; draft-ietf-hpke-pq
LABEL = bytes.fromhex("5c2e2f2f5e5c")  # draft-connolly-cfrg-xwing-kem, XWingLabel
INFO = b"some info"


def vector(name: str) -> bytes:
    return bytes.fromhex(VECTOR[name])


def keys(seed: bytes) -> tuple[MLKEM768PrivateKey, X25519PrivateKey]:
    """X-Wing's expandDecapsulationKey: SHAKE256 of 32 bytes gives FIPS 203's d and z, and X25519's key."""
    expanded = hashlib.shake_256(seed).digest(96)
    return MLKEM768PrivateKey.from_seed_bytes(expanded[:64]), X25519PrivateKey.from_private_bytes(expanded[64:])


def encoded(curve: X25519PublicKey) -> bytes:
    return curve.public_bytes(Encoding.Raw, PublicFormat.Raw)


def combine(lattice_secret: bytes, curve_secret: bytes, ephemeral: bytes, curve_key: bytes) -> bytes:
    return hashlib.sha3_256(lattice_secret + curve_secret + ephemeral + curve_key + LABEL).digest()


def decapsulate(enc: bytes, lattice: MLKEM768PrivateKey, curve: X25519PrivateKey) -> bytes:
    """X-Wing's Decapsulate."""
    secret = curve.exchange(X25519PublicKey.from_public_bytes(enc[1088:]))
    return combine(lattice.decapsulate(enc[:1088]), secret, enc[1088:], encoded(curve.public_key()))


def encapsulate(public: bytes) -> tuple[bytes, bytes]:
    """X-Wing's Encapsulate: the shared secret, and what carries it."""
    ephemeral = X25519PrivateKey.generate()
    secret = ephemeral.exchange(X25519PublicKey.from_public_bytes(public[1184:]))
    lattice_secret, carried = MLKEM768PublicKey.from_public_bytes(public[:1184]).encapsulate()
    sent = encoded(ephemeral.public_key())
    return combine(lattice_secret, secret, sent, public[1184:]), carried + sent


def key_and_nonce(shared: bytes, info: bytes, *, aead: int) -> tuple[bytes, bytes]:
    """KeySchedule of RFC 9180 5.1, base mode, HKDF-SHA256; keys of 32 bytes and nonces of 12."""
    identifier = b"HPKE" + b"".join(number.to_bytes(2, "big") for number in (KEM, HKDF_SHA256, aead))

    def extract(salt: bytes, label: bytes, data: bytes) -> bytes:
        return hmac.digest(salt or bytes(32), b"HPKE-v1" + identifier + label + data, "sha256")

    def expand(secret: bytes, label: bytes, data: bytes, length: int) -> bytes:
        said = length.to_bytes(2, "big") + b"HPKE-v1" + identifier + label + data
        return hmac.digest(secret, said + b"\1", "sha256")[:length]  # at most one block is asked for

    context = b"\0" + extract(b"", b"psk_id_hash", b"") + extract(b"", b"info_hash", info)
    secret = extract(shared, b"secret", b"")
    return expand(secret, b"key", context, 32), expand(secret, b"base_nonce", context, 12)


def test_the_formulas_here_are_those_of_the_published_vector() -> None:
    assert (VECTOR["mode"], VECTOR["kem_id"], VECTOR["kdf_id"]) == (0, KEM, HKDF_SHA256)
    shared = decapsulate(vector("enc"), *keys(vector("skRm")))
    assert shared == vector("shared_secret")
    assert key_and_nonce(shared, vector("info"), aead=VECTOR["aead_id"]) == (vector("key"), vector("base_nonce"))
    assert VECTOR["aead_id"] == CHACHA20_POLY1305


def test_the_drafts_first_seed_gives_the_drafts_first_key() -> None:
    """draft-connolly-cfrg-xwing-kem, appendix C: the ends of the first vector's public key."""
    lattice, curve = keys(bytes.fromhex("7f9c2ba4e88f827d616045507605853ed73b8093f6efbc88eb1a6eacfa66ef26"))
    public = lattice.public_key().public_bytes_raw() + encoded(curve.public_key())
    assert public[:16].hex() == "e2236b35a8c24b39b10aa1323a96a919"
    assert public[-28:].hex() == "eff389b27dce59844570216223593d4ba32d9abac8cd049040ef6534"


def test_a_public_key_is_encoded_as_the_published_one() -> None:
    lattice, curve = keys(vector("skRm"))
    assert lattice.public_key().public_bytes_raw() + encoded(curve.public_key()) == vector("pkRm")
    assert suite.public_key(vector("pkRm")).id == hashlib.sha256(vector("pkRm")).digest()
    private = MLKEM768X25519PrivateKey(lattice, curve)
    for sealed in (
        envelope.seal(b"to a published key", envelope.public_key(vector("pkRm")), INFO),
        suite.public_key(vector("pkRm")).seal(b"to a published key", INFO),
    ):
        assert envelope.unseal(sealed, private, INFO) == b"to a published key"


@pytest.mark.parametrize(
    "seal",
    [
        lambda plain, key: envelope.seal(plain, envelope.public_key(key), INFO),
        lambda plain, key: suite.public_key(key).seal(plain, INFO),
    ],
    ids=["enclave", "verifier"],
)
def test_what_is_sealed_opens_by_the_specifications(seal: Callable[[bytes, bytes], bytes]) -> None:
    lattice, curve = keys(vector("skRm"))
    sealed = seal(b"plain", vector("pkRm"))
    key, nonce = key_and_nonce(decapsulate(sealed[:1120], lattice, curve), INFO, aead=AES_256_GCM)
    assert AESGCM(key).decrypt(nonce, sealed[1120:], b"") == b"plain"


def test_what_is_sealed_by_the_specifications_opens() -> None:
    lattice, curve = keys(os.urandom(32))
    public = lattice.public_key().public_bytes_raw() + encoded(curve.public_key())
    shared, enc = encapsulate(public)
    key, nonce = key_and_nonce(shared, INFO, aead=AES_256_GCM)
    sealed = enc + AESGCM(key).encrypt(nonce, b"plain", b"")
    private = MLKEM768X25519PrivateKey(lattice, curve)
    assert envelope.unseal(sealed, private, INFO) == b"plain"
    assert suite.ReplyKey(encoded=public, key=private).unseal(sealed, INFO) == b"plain"


def test_both_halves_make_keys_in_this_encoding() -> None:
    private, public = envelope.generate()
    made = suite.reply_key()
    for encoding, opens in ((public, private), (made.encoded, made.key)):
        shared, enc = encapsulate(encoding)
        key, nonce = key_and_nonce(shared, INFO, aead=AES_256_GCM)
        assert envelope.unseal(enc + AESGCM(key).encrypt(nonce, b"plain", b""), opens, INFO) == b"plain"
