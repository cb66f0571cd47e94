"""Mode `session`: a key of one worker process, vouched for by one document, signs the statements (VERIFICATION.md).

The document's `public_key` is the key, and its `user_data` says what the key is for: this service, this manifest, this
boot. The key signs the same user data map that a document would, in a COSE_Sign1 under ES256. Its word counts from the
document's signed time until the document's leaf certificate ends; the time of an answer is the enclave's own clock's.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from tytle_verifier import committed, cose, statement
from tytle_verifier.document import Document
from tytle_verifier.errors import BindingError, CoseError, SignatureError, StatementError, TimeError
from tytle_verifier.policy import Release
from tytle_verifier.shape import Fields
from tytle_verifier.statement import Statement, UserData
from tytle_verifier.when import Live, Time, check_age, from_ms

PROFILE: Final = "tytle/attested-session/v1"
MAX_MESSAGE_BYTES = 1024  # ours: a user data map of 512 at most, a signature and their heads
MAX_EARLY_MS = 300_000  # ours: a statement may wait for the document that its session begins with


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What a session's document vouches for: one service, manifest (SHA-256) and boot (16 bytes)."""

    service: str
    manifest: bytes
    boot: bytes

    def check(self, said: Statement) -> str:
        """Refuse a statement of another service, manifest or process. Raises: BindingError."""
        for name in ("service", "manifest", "boot"):
            got, expected = getattr(said, name), getattr(self, name)
            if got != expected:
                raise BindingError(f"{name} of another session", got=got, expected=expected)
        return f"signed by the session key of boot {self.boot.hex()}, for which the document vouches"


def of(document: Document) -> Session:
    """Read what the document says that its key is for. Raises: BindingError."""
    if document.user_data is None:
        raise BindingError("the session's document has no user_data", expected="what its key is for")
    name = "the session's user_data"
    return committed.decode(name, document.user_data, committed.MAX_USER_DATA_BYTES, _session)


def _session(value: object) -> Session:
    fields = Fields(value, "", required=("profile", "service", "manifest", "boot"))
    committed.check_profile(fields, PROFILE)
    return Session(
        service=fields.text("service"), manifest=fields.sha256("manifest"), boot=fields.octets("boot", 16, 16)
    )


def signed_user_data(document: Document, message: bytes) -> UserData:
    """Return the user data in `message`, which the document's key signed. Raises: BindingError."""
    if len(message) > MAX_MESSAGE_BYTES:
        raise BindingError("session size", got=f"{len(message)} bytes", expected=f"at most {MAX_MESSAGE_BYTES}")
    try:
        sign1 = cose.decode(message, cose.ES256)
        cose.verify(sign1, _key(document.public_key), cose.ES256)
    except (CoseError, SignatureError) as error:
        raise BindingError(f"session: {error.problem}", got=error.got, expected=error.expected) from error
    return statement.decode_user_data(sign1.payload)


def check_time(said: Statement, document: Document, release: Release) -> str:
    """Compare the statement's time with its document's and with the release's window. Raises: StatementError."""
    end = document.certificate.not_after
    if not document.timestamp_ms - MAX_EARLY_MS <= said.time_ms <= _ms(end):
        window = f"{document.timestamp_ms - MAX_EARLY_MS} to {_ms(end)} ms"
        raise StatementError("statement time outside the session", got=f"{said.time_ms} ms", expected=window)
    at = from_ms(said.time_ms)
    if not release.covers(at):
        raise StatementError(f"release {release.commit} does not cover the statement's time", got=at.isoformat())
    return f"statement time {at.isoformat()}, by the enclave's clock, within the session"


def check_fresh(said: Statement, time: Time, max_age: timedelta | None) -> tuple[str, ...]:
    """In live time, compare the time of a statement within its session with the clock. Raises: StatementError."""
    if not isinstance(time, Live):
        return ()
    try:
        return (check_age(time, from_ms(said.time_ms), max_age),)
    except TimeError as error:
        problem = f"statement: {error.problem}"
        raise StatementError(problem, got=error.got, expected=error.expected) from error


def _ms(instant: datetime) -> int:
    return (instant - from_ms(0)) // timedelta(milliseconds=1)


def _key(encoded: bytes | None) -> ec.EllipticCurvePublicKey:
    """Read a P-256 key in the one DER form that the enclave writes. Raises: BindingError."""
    expected = "SubjectPublicKeyInfo of a P-256 key"
    try:
        key = load_der_public_key(encoded or b"")
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BindingError("the session's public_key", got=encoded or "none", expected=expected) from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise BindingError("the session's public_key", got=encoded, expected=expected)
    if key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) != encoded:
        raise BindingError("the session's public_key", got=encoded, expected=f"{expected}, as DER has it")
    return key
