"""Step 1 and step 4: COSE_Sign1 (RFC 9052), one spelling, and for each use one algorithm that is known beforehand.

The envelope is not covered by the signature, so nothing in it is free: a bare array of four, or under exactly one tag
18; the protected header exactly the algorithm's and nothing else; unprotected header empty; definite shortest lengths.
The algorithm is compared, never obeyed: ES384 for documents, ES256 for what a session key signs (step 7).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cbor2
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, HashAlgorithm

from tytle_verifier import cbor
from tytle_verifier.errors import CoseError, SignatureError

MAX_PAYLOAD_BYTES = 16_384  # AWS attestation_process.md 3.2.1: payload bstr .size (1..16384)
PROTECTED_ES384: Final = bytes.fromhex("a1013822")  # {1: -35}, the only form AWS has ever signed
P384_ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973
P256_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_TAG_18: Final = b"\xd2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Algorithm:
    """ECDSA on one curve with one hash. `protected` is the only header it has; r and s have `half_bytes` each."""

    name: str
    protected: bytes
    half_bytes: int
    order: int
    hash: type[HashAlgorithm]


ES384: Final = Algorithm(name="ES384", protected=PROTECTED_ES384, half_bytes=48, order=P384_ORDER, hash=SHA384)
ES256: Final = Algorithm(  # {1: -7}, RFC 9053 2.1
    name="ES256", protected=bytes.fromhex("a10126"), half_bytes=32, order=P256_ORDER, hash=SHA256
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sign1:
    """A COSE_Sign1 whose shape was checked and whose signature was NOT: payload 1..16384 bytes, both as received."""

    payload: bytes
    signature: bytes


def decode(document: bytes, algorithm: Algorithm = ES384) -> Sign1:
    """Take the envelope apart. The caller bounds `len(document)`; the signature's length is left to `verify`.

    Raises: CoseError.
    """
    bare = document[1:] if document[:1] == _TAG_18 else document
    try:
        value = cbor.decode(bare, cbor.ENVELOPE)
    except cbor.MalformedCbor as error:
        raise CoseError(f"envelope: {error.problem}", got=error.got, expected=error.expected) from error
    if not isinstance(value, list) or len(value) != 4:
        raise CoseError("not a COSE_Sign1", got=_kind(value), expected="an array of 4")
    protected, unprotected, payload, signature = value
    if protected != algorithm.protected:
        raise CoseError("protected header", got=protected, expected=f"{algorithm.protected.hex()} ({algorithm.name})")
    if unprotected != {}:
        raise CoseError("unprotected header", got=_kind(unprotected), expected="an empty map")
    if not isinstance(payload, bytes) or not 1 <= len(payload) <= MAX_PAYLOAD_BYTES:
        raise CoseError("payload", got=_kind(payload), expected=f"1..{MAX_PAYLOAD_BYTES} bytes")
    if not isinstance(signature, bytes):
        raise CoseError("signature", got=_kind(signature), expected="a byte string")
    return Sign1(payload=payload, signature=signature)


def signed_bytes(payload: bytes, algorithm: Algorithm = ES384) -> bytes:
    """Return RFC 9052's Sig_structure for `payload` under the algorithm's protected header, no external data."""
    return cbor2.dumps(["Signature1", algorithm.protected, b"", payload])


def verify(message: Sign1, key: ec.EllipticCurvePublicKey, algorithm: Algorithm = ES384) -> None:
    """Check the signature over the payload as received with a `key` on the algorithm's curve.

    s > n/2 is accepted: half of AWS's own signatures are so. Hence two documents may differ and say the same, and a
    document's bytes or hash identify nothing. Raises: SignatureError.
    """
    half, length = algorithm.half_bytes, len(message.signature)
    if length != 2 * half:
        raise SignatureError("signature length", got=f"{length} bytes", expected=f"{2 * half}")
    r, s = (int.from_bytes(each, "big") for each in (message.signature[:half], message.signature[half:]))
    if not (0 < r < algorithm.order and 0 < s < algorithm.order):
        raise SignatureError("signature out of range", expected="0 < r, s < n")
    try:
        key.verify(encode_dss_signature(r, s), signed_bytes(message.payload, algorithm), ec.ECDSA(algorithm.hash()))
    except InvalidSignature as error:
        raise SignatureError("the key did not sign this payload") from error


def _kind(value: object) -> str:
    size = f" of {len(value)}" if isinstance(value, bytes | str | list | dict) else ""
    return f"{type(value).__name__}{size}"
