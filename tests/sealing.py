"""A client of sealed requests for tests of the enclave's half. The relying party's own half is in tytle_verifier."""

import base64
import hashlib
import json
import time
from dataclasses import dataclass, field
from typing import Any

import cbor2
from cryptography.hazmat.primitives.hpke import MLKEM768X25519PrivateKey

from enclave_worker.sealed import envelope, padding
from enclave_worker.worker import Worker


@dataclass(kw_only=True)
class Sealer:
    """Seals to `key` (a public key) for `service`; every part can be made wrong."""

    key: bytes
    service: str = "test"
    time_ms: int | None = None
    private: MLKEM768X25519PrivateKey = field(init=False)
    sealed: bytes = b""

    @property
    def key_id(self) -> bytes:
        return hashlib.sha256(self.key).digest()

    def inside(self, request: Any, **changed: Any) -> dict[str, Any]:
        self.private, public = envelope.generate()
        now = self.time_ms if self.time_ms is not None else time.time_ns() // 1_000_000
        return {"time": now, "replyKey": base64.b64encode(public).decode(), "request": request, **changed}

    def seal(self, request: Any, **changed: Any) -> bytes:
        return self.seal_bytes(json.dumps(self.inside(request, **changed)).encode())

    def seal_bytes(self, inside: bytes) -> bytes:
        return self.seal_padded(padding.pad(inside, least=padding.LEAST_REQUEST_BYTES))

    def seal_padded(self, padded: bytes) -> bytes:
        info = envelope.request_info(self.service, self.key_id)
        self.sealed = envelope.seal(padded, envelope.public_key(self.key), info)
        return self.sealed

    def frame(self, sealed: bytes | None = None, **fields: Any) -> bytes:
        data = base64.b64encode(self.sealed if sealed is None else sealed).decode()
        return json.dumps({"type": "sealed", "keyId": self.key_id.hex(), "sealed": data, **fields}).encode()

    def open(self, reply: bytes) -> dict[str, Any]:
        """Open the answer to what was sealed last."""
        sealed = base64.b64decode(json.loads(reply)["sealed"])
        info = envelope.answer_info(self.service, self.key_id, self.sealed)
        padded = envelope.unseal(sealed, self.private, info)
        answer: dict[str, Any] = json.loads(padding.unpad(padded, least=padding.LEAST_ANSWER_BYTES))
        return answer


def sealing_key(worker: Worker) -> dict[str, Any]:
    """Return what the worker's identity says of its key, without checking it."""
    reply = json.loads(worker.answer(b'{"type":"identity"}'))
    sealing: dict[str, Any] = cbor2.loads(base64.b64decode(reply["identity"]))["sealing"]
    return sealing


def sealer(worker: Worker, **fields: Any) -> Sealer:
    return Sealer(key=sealing_key(worker)["key"], **fields)
