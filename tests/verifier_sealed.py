"""An enclave that sealed requests can be sent to, with keys of its own, and a hostile parent in front of it.

Written from VERIFICATION.md, "Sealed requests", and not from tytle_verifier: a second implementation of the other side.
The kit's PKI signs its identity. A test replaces one thing and the rest stays genuine.
"""

import base64
import hashlib
import json
import math
import re
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import requests
import responses
import verifier_kit as kit
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from verifier_cases import ROOT, policy
from verifier_parent import HOST, PARENT, Upstream, reply_to

from tytle_verifier import Live, Request, load_request
from tytle_verifier.adapter import AttestedAdapter, attest_only

SUITE = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
SUITE_NAME = "X-Wing/HKDF-SHA256/AES-256-GCM"
PROFILE = b"tytle/sealed-fetch/v1"
IDENTITY = "tytle/enclave-identity/v1"
BOOT = bytes(range(16))
HOUR_MS = 3_600_000
LEAST = {"request": 4096, "answer": 16_384}


@dataclass
class Key:
    """An X-Wing key pair as its two halves make it."""

    lattice: MLKEM768PrivateKey = field(default_factory=MLKEM768PrivateKey.generate)
    curve: X25519PrivateKey = field(default_factory=X25519PrivateKey.generate)

    @property
    def public(self) -> bytes:
        return self.lattice.public_key().public_bytes_raw() + self.curve.public_key().public_bytes_raw()

    @property
    def id(self) -> bytes:
        return hashlib.sha256(self.public).digest()

    def open(self, sealed: bytes, info: bytes) -> bytes:
        return SUITE.decrypt(sealed, hpke.MLKEM768X25519PrivateKey(self.lattice, self.curve), info)


def seal_to(public: bytes, plain: bytes, info: bytes) -> bytes:
    lattice = MLKEM768PublicKey.from_public_bytes(public[:1184])
    curve = X25519PublicKey.from_public_bytes(public[1184:])
    return SUITE.encrypt(plain, hpke.MLKEM768X25519PublicKey(lattice, curve), info)


def info(direction: str, service: str, key_id: bytes, sealed_request: bytes | None = None) -> bytes:
    more = b"" if sealed_request is None else hashlib.sha256(sealed_request).digest()
    return PROFILE + b"\0" + direction.encode() + b"\0" + service.encode() + b"\0" + key_id + more


def bucket(length: int, least: int) -> int:
    """Padme, as its paper writes it."""
    if length <= least:
        return least
    e = math.floor(math.log2(length))
    s = math.floor(math.log2(e)) + 1
    last = e - s
    return length if length % 2**last == 0 else (length // 2**last + 1) * 2**last


def container(data: bytes, least: int) -> bytes:
    size = bucket(4 + len(data), least)
    return len(data).to_bytes(4, "big") + data + bytes(size - 4 - len(data))


def content(plain: bytes, least: int) -> bytes:
    length = int.from_bytes(plain[:4], "big")
    assert len(plain) == bucket(4 + length, least)
    assert not any(plain[4 + length :])
    return plain[4 : 4 + length]


class Refusal(Exception):
    """What an enclave says when it does not open a call."""

    def __init__(self, status: int, code: str) -> None:
        self.body = {"success": False, "status": status, "headers": {}, "rawBody": "", "error": "not opened"}
        self.body |= {"code": code}
        super().__init__(code)


@dataclass(frozen=True)
class Opened:
    """What an enclave has found in a sealed call."""

    inside: dict[str, Any]
    info: bytes

    @property
    def reply_key(self) -> bytes:
        return base64.b64decode(self.inside["replyKey"])

    def seal(self, reply: bytes) -> bytes:
        return seal_to(self.reply_key, container(reply, LEAST["answer"]), self.info)


@dataclass
class SealedEnclave:
    """Holds keys, shows its identity, opens calls. `now_ms` is its clock, which a test moves."""

    service: str = "vies"
    boot: bytes = BOOT
    now_ms: int = kit.SIGNED_MS
    until_ms: int = kit.SIGNED_MS + HOUR_MS
    key: Key = field(default_factory=Key)
    old: list[Key] = field(default_factory=list)
    seen: set[bytes] = field(default_factory=set)
    opened: list[dict[str, Any]] = field(default_factory=list)
    on_identity: kit.Hook = kit.nothing
    on_user_data: kit.Hook = kit.nothing
    on_document: kit.Hook = kit.nothing

    def identity(self) -> dict[str, Any]:
        sealing = {"suite": SUITE_NAME, "key": self.key.public, "until": self.until_ms}
        return {
            "profile": IDENTITY,
            "service": self.service,
            "manifest": kit.MANIFEST,
            "boot": self.boot,
            "report": [["entropy", "nsm-hwrng"], ["clock", "0.2 s"]],
            "sealing": sealing,
        }

    def show(self, challenge: bytes | None) -> bytes:
        made = self.identity()
        self.on_identity(made)
        said = kit.cbor(made)
        key = (made.get("sealing") or {"key": b""})["key"]
        bound = {"profile": IDENTITY, "identity": kit.sha256(said), "key": kit.sha256(key)}
        self.on_user_data(bound)
        signed = kit.fields(user_data=kit.cbor(bound), nonce=challenge, timestamp=self.now_ms)
        self.on_document(signed)
        whole = {"success": True, "service": self.service, "identity": kit.b64(said)}
        whole |= {"nsmDocument": kit.b64(kit.sign(kit.cbor(signed))), "pcrs": {"pcr0": kit.PCRS[0].hex()}}
        return json.dumps(whole).encode()

    def rotate(self, *, keep: bool = True) -> None:
        """A new key from now on; the old one is still taken, or forgotten as after a restart."""
        self.old = [self.key] if keep else []
        self.key, self.until_ms = Key(), self.now_ms + HOUR_MS

    def open(self, body: dict[str, Any]) -> Opened:
        key = next((key for key in (self.key, *self.old) if key.id.hex() == body["keyId"]), None)
        if key is None or body["service"] != self.service:
            raise Refusal(409, "sealed.unknown-key")
        sealed = base64.b64decode(body["sealed"], validate=True)
        try:
            plain = key.open(sealed, info("request", self.service, key.id))
        except InvalidTag:
            raise Refusal(400, "sealed.unreadable") from None
        inside = json.loads(content(plain, LEAST["request"]))
        assert inside.keys() == {"time", "replyKey", "request"}
        if abs(inside["time"] - self.now_ms) > 300_000:
            raise Refusal(400, "sealed.stale")
        if inside["replyKey"] in self.seen:
            raise Refusal(409, "sealed.replayed")
        self.seen.add(inside["replyKey"])
        self.opened.append(inside)
        return Opened(inside, info("answer", self.service, key.id, sealed))


def answered(enclave: SealedEnclave, opened: Opened) -> bytes:
    """The kit's reply to what was opened, signed by this enclave at its time."""
    asked = load_request(json.dumps(opened.inside["request"]).encode())
    return reply_to(asked, Upstream(), **signed_by(enclave))


def signed_by(enclave: SealedEnclave) -> dict[str, kit.Hook]:
    def on_statement(made: dict[str, Any]) -> None:
        made.update(boot=enclave.boot, time=enclave.now_ms - 40, service=enclave.service)

    return {"on_statement": on_statement, "on_document": lambda signed: signed.update(timestamp=enclave.now_ms)}


@dataclass
class HostileParent:
    """Answers what sealed requests need. Everything that reached it is in `received`.

    A test replaces `identify` (challenge -> body), `reply` (what an enclave answers) or `post` (body -> body).
    """

    mock: responses.RequestsMock
    enclave: SealedEnclave = field(default_factory=SealedEnclave)
    received: list[requests.PreparedRequest] = field(default_factory=list)
    identify: Callable[[bytes], bytes] | None = None
    reply: Callable[[Opened], bytes] | None = None
    post: Callable[[dict[str, Any]], bytes] | None = None

    def __post_init__(self) -> None:
        self.mock.add_callback(responses.GET, re.compile(f"{PARENT}/enclaves/.*"), callback=self._identity)
        self.mock.add_callback(responses.POST, re.compile(f"{PARENT}/attest/.*"), callback=self._attest)

    @property
    def questions(self) -> int:
        return sum(one.method == "GET" for one in self.received)

    @property
    def posts(self) -> list[dict[str, Any]]:
        return [json.loads(one.body or b"") for one in self.received if one.method == "POST"]

    @property
    def paths(self) -> list[str]:
        return [(one.url or "").removeprefix(PARENT).partition("?")[0] for one in self.received]

    def everything(self) -> bytes:
        """All bytes of all requests that came, with what base64 in them spells."""
        parts = [f"{one.method} {one.url} {dict(one.headers)}".encode() + _bytes(one.body) for one in self.received]
        sealed = [base64.b64decode(post["sealed"]) for post in self.posts if "sealed" in post]
        return b"".join(parts + sealed)

    def now(self) -> Live:
        return Live(now=kit.SIGNED_AT + timedelta(milliseconds=self.enclave.now_ms - kit.SIGNED_MS))

    def adapter(self, **changes: Any) -> AttestedAdapter:
        return AttestedAdapter(**{"parent": PARENT, "policy": policy(), "root": ROOT, "clock": self.now, **changes})

    def session(self, **changes: Any) -> requests.Session:
        return attest_only(requests.Session(), {HOST: self.adapter(**changes)})

    def answer(self, body: dict[str, Any]) -> bytes:
        """What the enclave answers to the body of a sealed call."""
        try:
            opened = self.enclave.open(body)
        except Refusal as refusal:
            return json.dumps(refusal.body).encode()
        reply = self.reply(opened) if self.reply else answered(self.enclave, opened)
        return json.dumps({"sealed": kit.b64(opened.seal(reply))}).encode()

    def _identity(self, prepared: requests.PreparedRequest) -> tuple[int, dict[str, str], bytes]:
        self.received.append(prepared)
        url = urllib.parse.urlsplit(prepared.url or "")
        challenge = base64.urlsafe_b64decode(urllib.parse.parse_qs(str(url.query))["challenge"][0])
        assert str(url.path) == "/enclaves/vies/identity"
        return 200, {}, (self.identify or self.enclave.show)(challenge)

    def _attest(self, prepared: requests.PreparedRequest) -> tuple[int, dict[str, str], bytes]:
        self.received.append(prepared)
        return 200, {}, (self.post or self.answer)(json.loads(prepared.body or b""))


def asked(opened: dict[str, Any]) -> Request:
    """What an enclave was asked, from the inside of a sealed call."""
    return load_request(json.dumps(opened["request"]).encode())


def _bytes(body: object) -> bytes:
    return body if isinstance(body, bytes) else str(body or "").encode()
