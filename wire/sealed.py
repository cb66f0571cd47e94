"""A sealed call: bytes that only the enclave can read, and which of its keys they are for.

Here they are bytes and stay so. The parent reads the service's name and routes; what is inside is the business of
`enclave_worker/sealed/`. Format: ARCHITECTURE.md, "Sealed requests".
"""

import base64
from dataclasses import dataclass
from typing import Any

from wire import fields, jsontext
from wire.errors import MessageError

FRAME_TYPE = "sealed"


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedCall:
    """`key_id` is the SHA-256 (32 bytes) of the enclave's public key, `sealed` what was sealed to it."""

    key_id: bytes
    sealed: bytes
    timeout_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedRequest:
    """The body of `POST /attest/sealed`: a sealed call and the name of the service it is for."""

    service: str
    call: SealedCall


def decode_request(payload: bytes) -> SealedRequest:
    """Read the body of `POST /attest/sealed`.

    Raises:
        MessageError: it is none; `field` names the culprit.
    """
    given = jsontext.parse_object(payload)
    fields.only(given, frozenset({"service", "keyId", "sealed", "timeoutMs"}))
    return SealedRequest(service=jsontext.text("service", _given("service", given)), call=_call(given))


def read(given: dict[str, Any]) -> SealedCall:
    """Return the sealed call that a frame's object says.

    Raises:
        MessageError: it says none.
    """
    fields.only(given, frozenset({"type", "keyId", "sealed", "timeoutMs"}))
    return _call(given)


def encode(call: SealedCall) -> bytes:
    """Return the payload of a frame that `read` reads back as `call`."""
    sealed = base64.b64encode(call.sealed)
    timeout = b"" if call.timeout_ms is None else b',"timeoutMs":%d' % call.timeout_ms
    return b'{"type":"sealed","keyId":"%b","sealed":"%b"%b}' % (call.key_id.hex().encode(), sealed, timeout)


def _call(given: dict[str, Any]) -> SealedCall:
    return SealedCall(
        key_id=fields.sha256_bytes("keyId", _given("keyId", given)),
        sealed=fields.base64_bytes("sealed", _given("sealed", given)),
        timeout_ms=fields.timeout_ms(given.get("timeoutMs")),
    )


def _given(name: str, given: dict[str, Any]) -> object:
    if name not in given:
        raise MessageError(name, "missing")
    return given[name]
