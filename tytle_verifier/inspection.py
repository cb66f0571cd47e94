"""Decoding without judging: what a reply or document claims. Nothing here is verified, and every result says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime

from tytle_verifier import cose, evidence, statement
from tytle_verifier import document as documents
from tytle_verifier import reply as replies
from tytle_verifier.certificate import Certificate
from tytle_verifier.errors import InputError
from tytle_verifier.session import MAX_MESSAGE_BYTES
from tytle_verifier.verify import MAX_DOCUMENT_BYTES


def claims(data: bytes) -> dict[str, object]:
    """Return what `data` claims as JSON values, bytes as hex. NOT checked: everything. Raises: VerificationError."""
    document = evidence.document_in(data)
    if document is not None:
        return {"verified": False, "document": _document(document)}
    reply = replies.decode(data)
    attestation = reply.attestation
    shown = {"status": reply.status, "headers": dict(reply.headers), "bodyBytes": len(reply.body)}
    return {
        "verified": False,
        "mode": attestation.mode,
        "inclusion": plain(attestation.inclusion),
        "session": None if attestation.session is None else _session(attestation.session),
        "reply": shown,
        "statement": plain(statement.decode(attestation.statement)),
        "document": _document(attestation.document),
    }


def plain(value: object) -> object:
    """Return a frozen value as JSON values: bytes as hex, instants as ISO 8601, certificates as name and window."""
    if isinstance(value, Certificate):
        names = ("common_name", "not_before", "not_after")
        return {name: plain(getattr(value, name)) for name in names}
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, bytes):
        return value.hex()
    return value.isoformat() if isinstance(value, datetime) else value


def _session(message: bytes) -> object:
    if len(message) > MAX_MESSAGE_BYTES:
        raise InputError("session size", got=f"{len(message)} bytes", expected=f"at most {MAX_MESSAGE_BYTES}")
    return plain(statement.decode_user_data(cose.decode(message, cose.ES256).payload))


def _document(data: bytes) -> object:
    if len(data) > MAX_DOCUMENT_BYTES:
        raise InputError("document size", got=f"{len(data)} bytes", expected=f"at most {MAX_DOCUMENT_BYTES}")
    return plain(documents.decode(cose.decode(data).payload, documents.Rules()))
