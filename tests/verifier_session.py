"""Genuine answers in mode session made for tests, beside `verifier_kit`: an own P-256 key, an own signer of messages.

Nothing of tytle_verifier or the worker is used. A test changes one thing and the rest stays consistent: what the key is
for follows from the statement, the message from its user data.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import verifier_kit as kit
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, HashAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from verifier_kit import Hook, cbor, nothing

PROFILE = "tytle/attested-session/v1"
PROTECTED = bytes.fromhex("a10126")  # {1: -7}


@cache
def key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def public(of: ec.EllipticCurvePrivateKey | None = None) -> bytes:
    return (of or key()).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def sign(
    payload: bytes,
    by: ec.EllipticCurvePrivateKey | None = None,
    *,
    protected: bytes = PROTECTED,
    digest: HashAlgorithm | None = None,
) -> bytes:
    structure = cbor(["Signature1", protected, b"", payload])
    half = ((by or key()).curve.key_size + 7) // 8
    r, s = decode_dss_signature((by or key()).sign(structure, ec.ECDSA(digest or SHA256())))
    return cbor([protected, {}, payload, r.to_bytes(half, "big") + s.to_bytes(half, "big")])


def purpose(made: dict[str, Any]) -> dict[str, Any]:
    """What the key is for, where the statement is this one."""
    return {"profile": PROFILE, **{name: made[name] for name in ("service", "manifest", "boot")}}


def hooks(
    *,
    signer: Callable[[bytes], bytes] = sign,
    on_statement: Hook = nothing,
    on_purpose: Hook = nothing,
    on_document: Hook = nothing,
    on_message: Callable[[bytes], bytes] = bytes,
    on_reply: Hook = nothing,
    **more: Any,
) -> dict[str, Any]:
    """The hooks that make of `kit.reply`, or of `verifier_queries.reply`, an answer in mode session.

    `signer` makes the message from the user data, `on_message` changes it; the others run after ours.
    """
    held: dict[str, Any] = {}

    def state(made: dict[str, Any]) -> None:
        on_statement(made)
        held["purpose"] = purpose(made)

    def vouch(signed: dict[str, Any]) -> None:
        on_purpose(held["purpose"])
        held["payload"] = signed["user_data"]
        signed.update(user_data=cbor(held["purpose"]), public_key=public())
        on_document(signed)

    def show(whole: dict[str, Any]) -> None:
        proof = whole["attestation"]
        del proof["inclusion"]
        proof.update(mode="session", nonce=None, session=kit.b64(on_message(signer(held["payload"]))))
        on_reply(whole)

    return {"others": (), "on_statement": state, "on_document": vouch, "on_reply": show, **more}


def reply(**changes: Any) -> bytes:
    """The kit's reply in mode session."""
    return kit.reply(**hooks(**changes))
