"""Answers without evidence -> exceptions. Nothing here is verified, so nothing here becomes an answer."""

from __future__ import annotations

from requests import PreparedRequest

from tytle_verifier import jsontext
from tytle_verifier.adapter.errors import DeadlinePassed, KeyRetired, NoAnswer, NotVerified, Refused, Unavailable
from tytle_verifier.errors import InputError, NotAttested, NotOpened, UnknownKey

_TRANSIENT = frozenset({408, 429})


def of_parent(status: int, data: bytes, request: PreparedRequest) -> NoAnswer:
    """Return the exception for an answer of the parent whose HTTP status is not 200, whatever is in it."""
    fields = _object(data)
    said = fields.get("error", f"{len(data)} bytes that are not this API's JSON")
    return _by_status(status, str(said), _code(fields), request)


def of_enclave(data: bytes, error: NotAttested, request: PreparedRequest) -> NoAnswer:
    """Return the exception for a reply without attestation: a refusal, or a success that nobody vouches for."""
    return refusal(data, request) or NotVerified(error, request=request)


def refusal(data: bytes, request: PreparedRequest) -> NoAnswer | None:
    """Return the exception for an enclave's refusal, None where `data` is none."""
    fields = _object(data)
    status, said = fields.get("status"), fields.get("error", "no reason given")
    if fields.get("success") is not False or type(status) is not int or not 400 <= status <= 599:
        return None
    return _by_status(status, str(said), _code(fields), request)


def of_unopened(error: NotOpened, request: PreparedRequest) -> NoAnswer:
    """Return the exception for a sealed call that is said not to have been opened."""
    if isinstance(error, UnknownKey):
        return KeyRetired(error.status, error.said, error.code, request=request)
    return _by_status(error.status, error.said, error.code, request)


def _by_status(status: int, said: str, code: str | None, request: PreparedRequest) -> NoAnswer:
    if status == 504:
        return DeadlinePassed(status, said, code, request=request)
    declined = 400 <= status <= 499 and status not in _TRANSIENT
    return (Refused if declined else Unavailable)(status, said, code, request=request)


def _code(fields: dict[str, object]) -> str | None:
    code = fields.get("code")
    return code if isinstance(code, str) else None


def _object(data: bytes) -> dict[str, object]:
    try:
        value = jsontext.decode(data, "parent's answer")
    except InputError:
        return {}
    return value if isinstance(value, dict) else {}
