"""Fields that more than one message has, each read from JSON by one function with one grammar."""

import base64
import binascii
import re
import string

from wire import jsontext
from wire.errors import MessageError

MIN_CHALLENGE_BYTES = 16  # 128 bits: guessing or repeating one is out of reach
MAX_CHALLENGE_BYTES = 64
MAX_ID_CHARS = 128
MAX_TIMEOUT_MS = 120_000  # twice the predecessor's longest wait
MODES = ("document", "batch", "session")
DEFAULT_MODE = "document"
_VISIBLE = re.compile("[!-~]+")


def identifier(value: object) -> str | None:
    """Return an `id`: visible ASCII without blanks, or None where there is none. Raises: MessageError."""
    if value is None or value == "":
        return None
    text = jsontext.text("id", value)
    if len(text) > MAX_ID_CHARS or not _VISIBLE.fullmatch(text):
        raise MessageError("id", f"must be 1 to {MAX_ID_CHARS} visible ASCII characters without blanks")
    return text


def challenge(value: object) -> bytes | None:
    """Return a `challenge`: base64 of 16 to 64 bytes, or None where there is none. Raises: MessageError."""
    if value is None:
        return None
    data = base64_bytes("challenge", value)
    if not MIN_CHALLENGE_BYTES <= len(data) <= MAX_CHALLENGE_BYTES:
        raise MessageError("challenge", f"must be {MIN_CHALLENGE_BYTES} to {MAX_CHALLENGE_BYTES} bytes in base64")
    return data


def timeout_ms(value: object) -> int | None:
    """Return a `timeoutMs`, or None where there is none. Raises: MessageError."""
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_TIMEOUT_MS:
        raise MessageError("timeoutMs", f"must be a whole number from 1 to {MAX_TIMEOUT_MS}")
    return value


def mode(value: object) -> str:
    """Return a `mode`, the default one where there is none. Raises: MessageError."""
    if value is None:
        return DEFAULT_MODE
    text = jsontext.text("mode", value)
    if text not in MODES:
        raise MessageError("mode", f"must be one of: {', '.join(MODES)}")
    return text


def base64_bytes(field: str, value: object) -> bytes:
    """Return what standard, padded, canonical base64 stands for. Raises: MessageError."""
    text = jsontext.text(field, value)
    problem = "is not standard base64 with padding"
    try:
        data = binascii.a2b_base64(text, strict_mode=True)
    except ValueError as exc:  # binascii.Error is one
        raise MessageError(field, problem) from exc
    if base64.b64encode(data[(len(data) - 1) // 3 * 3 :]).decode() != text[-4:]:  # stray bits before the padding
        raise MessageError(field, problem)
    return data


def sha256_bytes(field: str, value: object) -> bytes:
    """Return the 32 bytes of a SHA-256 in lower-case hex. Raises: MessageError."""
    text = jsontext.text(field, value)
    if len(text) != 64 or not set(text) <= set(string.digits + "abcdef"):
        raise MessageError(field, "must be 64 lower-case hex digits")
    return bytes.fromhex(text)


def only(fields: dict[str, object], known: frozenset[str]) -> None:
    """Refuse every field that is not `known`. Raises: MessageError, whose text quotes at most 64 characters."""
    unknown = sorted(fields.keys() - known)
    if unknown:
        raise MessageError(ascii(unknown[0][:64]), "unknown field")
