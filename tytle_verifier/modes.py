"""Step 7, first half: how each mode lets a document vouch for user data. A literal table; an unknown mode is refused.

A mode turns a reply's evidence into the `UserData` that some verified key signed. `document` and `batch` find it in the
document itself and differ in its nonce; in `session` the document vouches for a key, and that key signed it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from tytle_verifier import session, statement
from tytle_verifier.document import Document
from tytle_verifier.errors import BindingError
from tytle_verifier.reply import Attestation
from tytle_verifier.statement import UserData

SESSION: Final = "session"
NONCE_BYTES = 32  # SHA-256 of the legacy fields, compared in step 9
Mode = Callable[[Document, Attestation], UserData]


def signed_user_data(document: Document, attestation: Attestation) -> UserData:
    """Return the user data that the evidence signs under the reply's mode. Raises: BindingError."""
    mode = MODES.get(attestation.mode)
    if mode is None:
        raise BindingError("unknown mode", got=attestation.mode, expected=" or ".join(MODES))
    if attestation.mode != SESSION and attestation.session is not None:
        raise BindingError(f"session in mode {attestation.mode}", got="a message", expected="none")
    return mode(document, attestation)


def _document(document: Document, _: Attestation) -> UserData:
    """One document for one statement; its nonce binds the legacy fields."""
    data = _in_document(document)
    if data.size != 1:
        raise BindingError("user_data.size in mode document", got=data.size, expected=1)
    if document.nonce is None or len(document.nonce) != NONCE_BYTES:
        raise BindingError("document nonce in mode document", got=document.nonce, expected=f"{NONCE_BYTES} bytes")
    return data


def _batch(document: Document, _: Attestation) -> UserData:
    """One document for many statements; no nonce could fit them all."""
    if document.nonce is not None:
        raise BindingError("document nonce in mode batch", got=document.nonce, expected="none")
    return _in_document(document)


def _session(document: Document, attestation: Attestation) -> UserData:
    """One document for the key of one worker process, and that key's signature for each statement."""
    if document.nonce is not None:
        raise BindingError("document nonce in mode session", got=document.nonce, expected="none")
    if attestation.session is None:
        raise BindingError("session", got="none", expected="a message that the session's key signed")
    data = session.signed_user_data(document, attestation.session)
    if data.size != 1:
        raise BindingError("user_data.size in mode session", got=data.size, expected=1)
    return data


def _in_document(document: Document) -> UserData:
    if document.user_data is None:
        raise BindingError("the document has no user_data", expected="a map that commits to the statement")
    return statement.decode_user_data(document.user_data)


MODES: Final[Mapping[str, Mode]] = MappingProxyType({"document": _document, "batch": _batch, SESSION: _session})
