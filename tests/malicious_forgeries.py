"""Lies that are signed: by code of the attacker's in a genuine enclave, by a root of the attacker's, by another key.

Whoever plays parent can have enclaves of its own. They hold every secret of theirs and sign what they are told; only
their PCRs (or their root) are not those that a relying party pins.
"""

import base64
import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from devstack.soft_nsm import SoftNsm
from nsm import client
from tests.malicious_parent import Act, NotHere, Passage
from tests.malicious_world import OTHER_IMAGE, World

FETCH = "tytle/attested-fetch/v1"
LIE = b'{"valid":true,"name":"A LIE"}'


def deterministic(value: object) -> bytes:
    return cbor2.dumps(value, canonical=True)


def forged(name: str, module: Callable[[World], SoftNsm], *, lying: bool = True) -> Act:
    """Return the act that has `module` sign a statement in the reply's mode, with a lie in it unless told otherwise."""

    def do(passage: Passage) -> None:
        reply, proof, statement = _parts(passage)
        if lying:
            _lie(reply, proof, statement)
        data = deterministic(statement)
        proof["statement"] = base64.b64encode(data).decode()
        nonce = bytes.fromhex(proof["nonce"]) if proof["mode"] == "document" else None
        user_data = _user_data(data)
        proof.pop("inclusion", None)
        if proof["mode"] == "session":
            _own_session(proof, statement, user_data, module(passage.parent.world))
        else:
            signed = client.attest(module(passage.parent.world).exchange, nonce=nonce, user_data=user_data)
            proof["nsmDocument"] = base64.b64encode(signed.document).decode()
        passage.put(reply)

    return Act(name=f"forged: {name}", do=do)


def _parts(passage: Passage) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    reply = passage.json()
    if passage.kind != "fetch" or not isinstance(reply.get("attestation"), dict):
        raise NotHere
    try:
        return reply, reply["attestation"], cbor2.loads(base64.b64decode(reply["attestation"]["statement"]))
    except (KeyError, ValueError, TypeError, cbor2.CBORDecodeError) as error:
        raise NotHere from error


def _lie(reply: dict[str, Any], proof: dict[str, Any], statement: dict[str, Any]) -> None:
    response = statement["exchanges"][-1].get("response")
    if response is None:
        raise NotHere
    response["body"] = {"sha256": hashlib.sha256(LIE).digest(), "length": len(LIE)}
    response["headers"] = [each for each in response["headers"] if each[0].lower() != "content-length"]
    reply["headers"].pop("content-length", None)
    reply["rawBody"] = LIE.decode()
    proof["responseHash"] = hashlib.sha256(LIE).hexdigest()
    legacy = "|".join((proof["responseHash"], proof["apiEndpoint"], str(proof["timestamp"])))
    if proof["nonce"] is not None:
        proof["nonce"] = hashlib.sha256(legacy.encode()).hexdigest()


def _user_data(statement: bytes) -> bytes:
    return deterministic({"profile": FETCH, "root": hashlib.sha256(b"\0" + statement).digest(), "size": 1})


def _own_session(proof: dict[str, Any], statement: dict[str, Any], user_data: bytes, nsm: SoftNsm) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    vouched = {name: statement[name] for name in ("service", "manifest", "boot")}
    signed = client.attest(
        nsm.exchange,
        user_data=deterministic({"profile": "tytle/attested-session/v1", **vouched}),
        public_key=key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    )
    proof["nsmDocument"] = base64.b64encode(signed.document).decode()
    proof["session"] = base64.b64encode(_sign1(key, user_data)).decode()


def _sign1(key: ec.EllipticCurvePrivateKey, payload: bytes) -> bytes:
    protected = bytes.fromhex("a10126")
    signature = key.sign(cbor2.dumps(["Signature1", protected, b"", payload]), ec.ECDSA(hashes.SHA256()))
    r, s = decode_dss_signature(signature)
    return cbor2.dumps([protected, {}, payload, r.to_bytes(32, "big") + s.to_bytes(32, "big")])


def _signed_by_nobody(passage: Passage) -> None:
    """The genuine document with the lie's user data and nonce in it, under its genuine certificate and signature."""
    reply, proof, statement = _parts(passage)
    try:
        protected, unprotected, payload, signature = cbor2.loads(base64.b64decode(proof["nsmDocument"]))
        fields = cbor2.loads(payload)
    except (KeyError, ValueError, TypeError, cbor2.CBORDecodeError) as error:
        raise NotHere from error
    _lie(reply, proof, statement)
    data = deterministic(statement)
    proof["statement"] = base64.b64encode(data).decode()
    proof.pop("inclusion", None)
    if proof["mode"] == "session":
        key = ec.generate_private_key(ec.SECP256R1())
        fields["public_key"] = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        proof["session"] = base64.b64encode(_sign1(key, _user_data(data))).decode()
    else:
        fields["user_data"] = _user_data(data)
        fields["nonce"] = bytes.fromhex(proof["nonce"]) if proof["nonce"] else None
    made = cbor2.dumps([protected, unprotected, cbor2.dumps(fields), signature])
    proof["nsmDocument"] = base64.b64encode(made).decode()
    passage.put(reply)


def _session_of_another_key(passage: Passage) -> None:
    """The genuine document of a session, and a message that a key of the attacker's signed."""
    reply, proof, statement = _parts(passage)
    if proof["mode"] != "session":
        raise NotHere
    _lie(reply, proof, statement)
    data = deterministic(statement)
    proof["statement"] = base64.b64encode(data).decode()
    proof["session"] = base64.b64encode(_sign1(ec.generate_private_key(ec.SECP256R1()), _user_data(data))).decode()
    passage.put(reply)


def _identity_for_an_answer(passage: Passage) -> None:
    """A genuine document of the pinned code, asked for as an identity under the nonce of the answer made up."""
    reply, proof, statement = _parts(passage)
    if proof["mode"] != "document":
        raise NotHere
    _lie(reply, proof, statement)
    proof["statement"] = base64.b64encode(deterministic(statement)).decode()
    challenge = base64.b64encode(bytes.fromhex(proof["nonce"])).decode()
    shown = json.loads(passage.parent.world.exchange("vies", {"type": "identity", "challenge": challenge})[0])
    proof["nsmDocument"] = shown["nsmDocument"]
    passage.put(reply)


FORGERIES: Sequence[Act] = (
    forged("other code says so", lambda world: SoftNsm(pki=world.pki, pcrs=OTHER_IMAGE)),
    forged("debug mode says so", lambda world: SoftNsm(pki=world.pki, debug=True)),
    forged("a root of the attacker's says so", lambda world: SoftNsm(pki=world.attacker)),
    forged("the truth, by other code", lambda world: SoftNsm(pki=world.pki, pcrs=OTHER_IMAGE), lying=False),
    Act(name="forged: a document that nobody signed", do=_signed_by_nobody),
    Act(name="forged: a session's message by another key", do=_session_of_another_key),
    Act(name="forged: an identity for an answer", do=_identity_for_an_answer),
)
