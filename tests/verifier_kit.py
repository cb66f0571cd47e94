"""Genuine evidence made for tests: an own P-384 PKI, an own deterministic CBOR encoder, an own reply writer.

Nothing of tytle_verifier is used, so that both sides can be wrong only independently. A test changes one thing with
a hook and the rest stays consistent: hooks on the statement run before it is hashed, hooks on the reply run last.
"""

import base64
import hashlib
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA384, HashAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

SIGNED_MS = 1_772_366_405_123  # 2026-03-01T12:00:05.123Z
SIGNED_AT = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=SIGNED_MS)
MODULE_ID = "i-0123456789abcdef0-enc0123456789abcdef"
COMMIT = "c0ffee" + "0" * 34
PCRS = {0: b"\x10" * 48, 1: b"\x11" * 48, 2: b"\x12" * 48, 3: b"\x13" * 48, 4: b"\x14" * 48, 8: bytes(48)}
CHALLENGE = b"sixteen bytes or more"
MANIFEST = hashlib.sha256(b"the manifest in the image").digest()
BODY = b'{"valid":true,"name":"Caf\xc3\xa9"}'
URL = "https://ec.europa.eu/taxation_customs/vies/rest-api/check-vat-number?x=1"
HEADERS = [("Content-Type", "application/json"), ("Authorization", "Bearer secret"), ("X-Trace", 'a"b')]
ASKED = b'{"countryCode":"PT"}'

Hook = Callable[[dict[str, Any]], None]


def nothing(_: dict[str, Any]) -> None:
    """A hook that changes nothing."""


# --- deterministic CBOR, RFC 8949 4.2.1 ----------------------------------------------------------------------------


def head(major: int, n: int) -> bytes:
    if n < 24:
        return bytes([major << 5 | n])
    for info, form in ((24, ">B"), (25, ">H"), (26, ">I"), (27, ">Q")):
        if n < 1 << (8 * struct.calcsize(form)):
            return bytes([major << 5 | info]) + struct.pack(form, n)
    raise OverflowError(n)


def cbor(value: Any) -> bytes:
    match value:
        case None:
            return b"\xf6"
        case bool():
            return b"\xf5" if value else b"\xf4"
        case int():
            return head(0, value) if value >= 0 else head(1, -1 - value)
        case bytes():
            return head(2, len(value)) + value
        case str():
            return head(3, len(value.encode())) + value.encode()
        case list() | tuple():
            return head(4, len(value)) + b"".join(map(cbor, value))
        case dict():
            pairs = sorted((cbor(k), cbor(v)) for k, v in value.items())
            return head(5, len(value)) + b"".join(k + v for k, v in pairs)
    raise TypeError(value)


# --- PKI -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Holder:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)


def usage(**on: bool) -> x509.KeyUsage:
    names = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    names += ("key_cert_sign", "crl_sign", "encipher_only", "decipher_only")
    return x509.KeyUsage(**{name: on.get(name, False) for name in names})


def certify(
    name: str,
    issuer: Holder | None,
    *,
    lifetime: timedelta,
    extensions: list[tuple[x509.ExtensionType, bool]],
    start: datetime = SIGNED_AT - timedelta(seconds=5),
    algorithm: HashAlgorithm | None = None,
    curve: ec.EllipticCurve | None = None,
) -> Holder:
    key = ec.generate_private_key(curve or ec.SECP384R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + lifetime)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return Holder(builder.sign(issuer.key if issuer else key, algorithm or SHA384()), key)


def authority(name: str, issuer: Holder | None, depth: int | None, days: float, **more: Any) -> Holder:
    extensions = [(x509.BasicConstraints(ca=True, path_length=depth), True), (usage(key_cert_sign=True), True)]
    return certify(name, issuer, lifetime=timedelta(days=days), **{"extensions": extensions, **more})


def leaf(issuer: Holder, **more: Any) -> Holder:
    extensions = [(x509.BasicConstraints(ca=False, path_length=None), True), (usage(digital_signature=True), False)]
    name = f"{MODULE_ID}.eu-west-1.aws"
    return certify(name, issuer, lifetime=timedelta(hours=3), **{"extensions": extensions, **more})


def tls_feature(number: int) -> tuple[x509.ExtensionType, bool]:
    """The extension of RFC 7633 with one feature; cryptography itself only writes 5 and 17."""
    oid = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.24")
    return x509.UnrecognizedExtension(oid, bytes([0x30, 3, 2, 1, number])), False


@cache
def odd_leaf() -> Holder:
    """A leaf that holds in everything but a TLS feature that nobody has defined: a library may fail to read it."""
    extensions = [(x509.BasicConstraints(ca=False, path_length=None), True), (usage(digital_signature=True), False)]
    return leaf(pki().instance, extensions=[*extensions, tls_feature(7)])


@dataclass(frozen=True)
class Pki:
    """Root, regional, zonal, instance and leaf, shaped like AWS's."""

    root: Holder
    regional: Holder
    zonal: Holder
    instance: Holder
    leaf: Holder

    @property
    def cabundle(self) -> list[bytes]:
        return [holder.der for holder in (self.root, self.regional, self.zonal, self.instance)]


@cache
def pki() -> Pki:
    early = SIGNED_AT - timedelta(hours=1)
    root = authority("aws.nitro-enclaves", None, None, 10_000, start=early)
    regional = authority("regional", root, 2, 20, start=early)
    zonal = authority("zonal", regional, 1, 6, start=early)
    instance = authority("instance", zonal, 0, 1, start=early)
    return Pki(root, regional, zonal, instance, leaf(instance))


# --- documents -------------------------------------------------------------------------------------------------------


def fields(**changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "module_id": MODULE_ID,
        "digest": "SHA384",
        "timestamp": SIGNED_MS,
        "pcrs": dict(PCRS),
        "certificate": pki().leaf.der,
        "cabundle": pki().cabundle,
        "public_key": None,
        "user_data": None,
        "nonce": None,
    }
    return {**made, **changes}


def sign(payload: bytes, key: ec.EllipticCurvePrivateKey | None = None) -> bytes:
    protected = bytes.fromhex("a1013822")
    message = cbor(["Signature1", protected, b"", payload])
    r, s = decode_dss_signature((key or pki().leaf.key).sign(message, ec.ECDSA(SHA384())))
    return cbor([protected, {}, payload, r.to_bytes(48, "big") + s.to_bytes(48, "big")])


def document(key: ec.EllipticCurvePrivateKey | None = None, **changes: Any) -> bytes:
    return sign(cbor(fields(**changes)), key)


# --- statements and replies ------------------------------------------------------------------------------------------


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def digest(body: bytes) -> dict[str, Any]:
    return {"sha256": sha256(body), "length": len(body)}


def exchange() -> dict[str, Any]:
    secret = {"Authorization"}
    return {
        "request": {
            "method": "POST",
            "url": URL,
            "headers": [[name, None if name in secret else value.encode()] for name, value in HEADERS],
            "body": digest(ASKED),
        },
        "response": {
            "status": 200,
            "headers": [["Content-Type", b"application/json"], ["Set-Cookie", b"a=1"], ["set-cookie", b"b=\xe9"]],
            "body": digest(BODY),
            "framing": "content-length",
        },
        "upstream": {"tls": "TLSv1.3", "cipher": "TLS_AES_256_GCM_SHA384", "certificate": b"c" * 32, "spki": b"s" * 32},
        "attempts": 1,
    }


def statement() -> dict[str, Any]:
    return {
        "profile": "tytle/attested-fetch/v1",
        "service": "vies",
        "manifest": MANIFEST,
        "id": "call-1",
        "boot": bytes(range(16)),
        "seq": 7,
        "time": SIGNED_MS - 40,
        "challenge": CHALLENGE,
        "exchanges": [exchange()],
    }


def failed(made: dict[str, Any]) -> None:
    """A statement hook: the fetch failed."""
    outcome = made["exchanges"][-1]
    outcome["failure"] = {"kind": "timeout", "detail": "no first byte within 20 s"}
    del outcome["response"]
    outcome["upstream"] = {"tls": None}


def join(headers: list[list[Any]]) -> dict[str, str]:
    names = dict.fromkeys(name.lower() for name, _ in headers)
    return {n: ", ".join(v.decode("latin-1") for name, v in headers if name.lower() == n) for n in names}


def node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right)


def tree(leaves: list[bytes]) -> bytes:
    """RFC 9162 2.1.1, by its recursive definition."""
    if len(leaves) == 1:
        return leaves[0]
    k = 1 << (len(leaves) - 1).bit_length() - 1
    return node(tree(leaves[:k]), tree(leaves[k:]))


def path(index: int, leaves: list[bytes]) -> list[bytes]:
    """RFC 9162 2.1.3.1, by its recursive definition."""
    if len(leaves) == 1:
        return []
    k = 1 << (len(leaves) - 1).bit_length() - 1
    if index < k:
        return [*path(index, leaves[:k]), tree(leaves[k:])]
    return [*path(index - k, leaves[k:]), tree(leaves[:k])]


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def legacy(made: dict[str, Any], body: bytes) -> dict[str, Any]:
    asked = made["exchanges"][-1]["request"]
    known = {name: value.decode() for name, value in asked["headers"] if value is not None}
    stringified = json.dumps(known, separators=(",", ":"), ensure_ascii=False)
    endpoint = asked["url"].partition("://")[2].partition("?")[0]
    response, seconds = sha256(body).hex(), made["time"] // 1000
    return {
        "attestationId": "enc-01234567-89ab-4cde-8f01-23456789abcd",
        "responseHash": response,
        "requestHash": sha256(f"{asked['url']}|{asked['method']}|{stringified}".encode()).hex(),
        "apiEndpoint": endpoint,
        "apiMethod": asked["method"],
        "timestamp": seconds,
        "nonce": sha256(f"{response}|{endpoint}|{seconds}".encode()).hex(),
    }


def reply(
    *,
    on_statement: Hook = nothing,
    on_bytes: Callable[[bytes], bytes] = bytes,
    on_user_data: Hook = nothing,
    on_document: Hook = nothing,
    on_reply: Hook = nothing,
    body: bytes = BODY,
    others: tuple[bytes, ...] | None = None,
) -> bytes:
    """A parent's reply as JSON. `others` are the leaf hashes in front of ours: given, the mode is batch."""
    made = statement()
    on_statement(made)
    outcome = made["exchanges"][-1] if made["exchanges"] else exchange()
    body = b"" if "failure" in outcome else body
    said = on_bytes(cbor(made))
    leaves = [*(others or ()), sha256(b"\x00" + said)]
    index = len(leaves) - 1
    user_data: dict[str, Any] = {"profile": made["profile"], "root": tree(leaves), "size": len(leaves)}
    on_user_data(user_data)
    old = legacy(made, body) if made["exchanges"] else legacy(statement(), body)
    signed = fields(user_data=cbor(user_data), nonce=bytes.fromhex(old["nonce"]) if others is None else None)
    on_document(signed)
    response = outcome.get("response", {"status": 504, "headers": []})
    attestation = {
        **old,
        "nsmDocument": b64(sign(cbor(signed))),
        "pcrs": {f"pcr{i}": signed["pcrs"].get(i, b"").hex() for i in range(3)},
        "statement": b64(said),
        "mode": "document" if others is None else "batch",
    }
    if others is not None:
        attestation["inclusion"] = {"index": index, "size": len(leaves), "path": [b64(h) for h in path(index, leaves)]}
    whole = {
        "success": "response" in outcome,
        "status": response["status"],
        "headers": join(response["headers"]),
        "rawBody": body.decode(),
        "bodyEncoding": "utf-8",
        "attestation": attestation,
    }
    on_reply(whole)
    return json.dumps(whole, separators=(",", ":")).encode()
