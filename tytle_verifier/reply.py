"""Step 0: a parent's JSON reply -> frozen values (VERIFICATION.md, "Formats").

Everything here is what an untrusted courier wrote. Unknown keys are refused, so that nothing unverified sits beside
what is verified.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tytle_verifier import jsontext
from tytle_verifier.errors import InputError, NotAttested
from tytle_verifier.inclusion import Inclusion
from tytle_verifier.shape import Fields, WrongShape
from tytle_verifier.statement import Value

MAX_REPLY_BYTES = 16 * 1024 * 1024  # the largest frame between parent and enclave
_ATTESTATION = (
    *("attestationId", "responseHash", "requestHash", "apiEndpoint", "apiMethod", "timestamp"),
    *("nsmDocument", "pcrs", "nonce", "statement", "mode"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attestation:
    """The reply's `attestation`: `document` and `statement` as bytes, the rest as claimed and NOT checked.

    `timestamp` is in seconds; `pcrs` holds PCR0, 1, 2 as text; `nonce` is None only where the reply says null.
    """

    id: str
    response_hash: str
    request_hash: str
    endpoint: str
    method: str
    timestamp: int
    document: bytes
    pcrs: tuple[str, str, str]
    nonce: str | None
    statement: bytes
    mode: str
    inclusion: Inclusion
    session: bytes | None = None
    bn254_hash: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownValues:
    """What a reply shows of a query: values, field elements as base64, the texts behind digests, or an error's code.

    All None in the answer to a fetch.
    """

    result: Mapping[str, Value] | None = None
    elements: str | None = None
    texts: tuple[tuple[str, str], ...] | None = None
    code: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A parent's reply. `body` is the bytes that rawBody and bodyEncoding spell; headers keep the reply's order.

    `error` is a text of the courier: NOT checked by any step. What only the answer to a query has is in `values`.
    """

    success: bool
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    error: str | None
    attestation: Attestation
    values: ShownValues


def decode(data: bytes) -> Reply:
    """Read a reply of at most 16 MiB. Raises: NotAttested, InputError."""
    if not 1 <= len(data) <= MAX_REPLY_BYTES:
        raise InputError("reply size", got=f"{len(data)} bytes", expected=f"1..{MAX_REPLY_BYTES}")
    value = jsontext.decode(data, "reply")
    if isinstance(value, dict) and value.get("attestation") is None:
        raise NotAttested("the reply carries no attestation", got=value.get("error"))
    try:
        return _reply(value)
    except WrongShape as error:
        raise InputError(f"reply: {error.problem}", got=error.got, expected=error.expected) from error


def _reply(value: object) -> Reply:
    required = ("success", "status", "headers", "rawBody", "attestation")
    optional = ("bodyEncoding", "error", "result", "bn254", "bn254Headers", "code")
    fields = Fields(value, "", required=required, optional=optional)
    return Reply(
        success=fields.flag("success"),
        status=fields.natural("status"),
        headers=fields.texts("headers"),
        body=body_bytes(fields, "rawBody"),
        error=fields.maybe("error", fields.text),
        attestation=_attestation(fields.raw("attestation")),
        values=ShownValues(
            result=fields.maybe("result", fields.scalars),
            elements=fields.maybe("bn254", fields.text),
            texts=fields.maybe("bn254Headers", fields.texts),
            code=fields.maybe("code", fields.text),
        ),
    )


def body_bytes(fields: Fields, key: str) -> bytes:
    """Return the bytes of the text under `key`, as `bodyEncoding` says: `utf-8` (also if absent) or `base64`."""
    encoding = fields.text("bodyEncoding") if "bodyEncoding" in fields else "utf-8"
    if encoding not in ("utf-8", "base64"):
        raise WrongShape("bodyEncoding", got=encoding, expected="utf-8 or base64")
    return (jsontext.utf8 if encoding == "utf-8" else jsontext.from_base64)(fields.text(key), key)


def _attestation(value: object) -> Attestation:
    fields = Fields(value, "attestation", required=_ATTESTATION, optional=("inclusion", "session", "bn254Hash"))
    pcrs = Fields(fields.raw("pcrs"), "attestation.pcrs", required=("pcr0", "pcr1", "pcr2"))
    return Attestation(
        id=fields.text("attestationId"),
        response_hash=fields.text("responseHash"),
        request_hash=fields.text("requestHash"),
        endpoint=fields.text("apiEndpoint"),
        method=fields.text("apiMethod"),
        timestamp=fields.natural("timestamp"),
        document=_base64(fields, "nsmDocument"),
        pcrs=(pcrs.text("pcr0"), pcrs.text("pcr1"), pcrs.text("pcr2")),
        nonce=None if fields.raw("nonce") is None else fields.text("nonce"),
        statement=_base64(fields, "statement"),
        mode=fields.text("mode"),
        inclusion=fields.maybe("inclusion", lambda key: _inclusion(fields.raw(key))) or Inclusion(),
        session=fields.maybe("session", lambda key: _base64(fields, key)),
        bn254_hash=fields.maybe("bn254Hash", fields.text),
    )


def _base64(fields: Fields, key: str) -> bytes:
    return jsontext.from_base64(fields.text(key), fields.place(key))


def _inclusion(value: object) -> Inclusion:
    fields = Fields(value, "attestation.inclusion", required=("index", "size", "path"))
    return Inclusion(
        index=fields.natural("index"),
        size=fields.natural("size", least=1),
        path=fields.each("path", _sibling),
    )


def _sibling(value: object, where: str) -> bytes:
    if type(value) is not str:
        raise WrongShape(where, got=type(value).__name__, expected="base64 text")
    return jsontext.from_base64(value, where)
