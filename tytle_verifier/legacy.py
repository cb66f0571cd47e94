"""Step 9: the fields of the predecessor's format, recomputed from what is attested and compared as text.

They add no proof. They are checked because programs written for them look at nothing else.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping

from tytle_verifier import url
from tytle_verifier.document import Document
from tytle_verifier.errors import LegacyError
from tytle_verifier.reply import Reply
from tytle_verifier.statement import Result, SentRequest, Statement

_ATTESTATION_ID = re.compile(r"enc-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_INDEX = re.compile(r"0|[1-9][0-9]{0,9}")
_MAX_INDEX = 2**32 - 2  # ECMA-262: the largest array index


def response_hash(body: bytes) -> str:
    """Return hex SHA-256 of the raw body bytes."""
    return hashlib.sha256(body).hexdigest()


def request_hash(sent: SentRequest) -> str:
    """Return hex SHA-256 of `url|method|JSON.stringify(headers)`, withheld headers left out, caller's order."""
    known = ((name, value.decode("latin-1")) for name, value in sent.headers if value is not None)
    return hashlib.sha256(f"{sent.url}|{sent.method}|{json_object(known)}".encode()).hexdigest()


def json_object(pairs: Iterable[tuple[str, str]]) -> str:
    """Return what JavaScript's JSON.stringify writes for an object given these text properties in this order.

    Names that are array indexes come first, ascending; the others as given (ECMA-262, OrdinaryOwnPropertyKeys).
    """
    ordered = sorted(pairs, key=lambda pair: (0, int(pair[0])) if _is_index(pair[0]) else (1, 0))
    return "{" + ",".join(f"{_quoted(name)}:{_quoted(value)}" for name, value in ordered) + "}"


def nonce(response: str, endpoint: str, timestamp: int) -> str:
    """Return hex SHA-256 of `responseHash|apiEndpoint|timestamp`; `timestamp` in seconds."""
    return hashlib.sha256(f"{response}|{endpoint}|{timestamp}".encode()).hexdigest()


def check(reply: Reply, statement: Statement, document: Document) -> tuple[str, ...]:
    """Compare every legacy field; return the report's lines. Raises: LegacyError."""
    given, sent = reply.attestation, statement.answer.request
    response, endpoint, seconds = response_hash(reply.body), url.parse(sent.url).endpoint, statement.time_ms // 1000
    expected = nonce(response, endpoint, seconds)
    _same("responseHash", given.response_hash, response)
    _same("requestHash", given.request_hash, request_hash(sent))
    _same("apiEndpoint", given.endpoint, endpoint)
    _same("apiMethod", given.method, sent.method)
    _same("bn254Hash", given.bn254_hash, _elements_hash(statement))
    _same("timestamp", given.timestamp, seconds)
    if not _ATTESTATION_ID.fullmatch(given.id):
        raise LegacyError("attestationId", got=given.id, expected="enc- and a UUID of version 4")
    if document.nonce is not None:
        _same("the document's nonce", document.nonce.hex(), expected)
    if document.nonce is not None or given.nonce is not None:
        _same("nonce", given.nonce, expected)
    _check_pcrs(given.pcrs, document.pcrs)
    bound = "nonce as signed" if document.nonce is not None else "no nonce in this mode"
    return "responseHash, requestHash, apiEndpoint, apiMethod, timestamp", bound, "pcrs echo"


def _elements_hash(statement: Statement) -> str | None:
    return statement.result.fields.hex() if isinstance(statement.result, Result) else None


def _same(name: str, got: str | int | None, expected: str | int | None) -> None:
    if got != expected:
        named = ("null" if value is None else value for value in (got, expected))
        raise LegacyError(name, got=next(named), expected=next(named))


def _check_pcrs(given: tuple[str, str, str], signed: Mapping[int, bytes]) -> None:
    for index, text in enumerate(given):
        _same(f"pcrs.pcr{index}", text, signed.get(index, b"").hex())


def _is_index(name: str) -> bool:
    return _INDEX.fullmatch(name) is not None and int(name) <= _MAX_INDEX


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
