"""The ways in which a secret may be written down: one value, many byte strings to look for."""

import base64
import json
from collections.abc import Iterator
from urllib.parse import quote, quote_plus


def forms(secret: str | bytes) -> dict[bytes, str]:
    """Return every spelling that is looked for, with its name. Text is looked for as UTF-8 and as Python keeps it.

    Base64 is looked for at all three alignments, without the characters that depend on what stands before and behind.
    """
    text, data = (secret, secret.encode()) if isinstance(secret, str) else (None, secret)
    named = [*_of_bytes(data), *(_of_text(text) if text is not None else ())]
    return {form: name for name, form in reversed(named)}  # where two are equal, the plainer name stays


def _of_bytes(data: bytes) -> Iterator[tuple[str, bytes]]:
    yield "raw", data
    yield "hex", data.hex().encode()
    yield "hex", data.hex().upper().encode()
    for alignment in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield f"base64 at {alignment}", _inner(encode(bytes(alignment) + data), alignment, len(data))
    escaped = "".join(f"%{byte:02x}" for byte in data).encode()
    yield "percent", escaped
    yield "percent", escaped.upper()
    yield "percent", quote(data, safe="").encode()
    yield "percent", quote_plus(data).encode()


def _inner(encoded: bytes, alignment: int, size: int) -> bytes:
    first = -(-alignment * 8 // 6)
    last = (alignment + size) * 8 // 6
    return encoded[first:last]


def _of_text(text: str) -> Iterator[tuple[str, bytes]]:
    for name in ("utf-16-le", "utf-16-be", "utf-32-le"):
        yield name, text.encode(name).strip(b"\0")  # zeros at the ends would make the search slow
    for ascii_only in (True, False):
        escaped = _in_json(text, ascii_only)
        yield "JSON", escaped.encode()
        yield "JSON in JSON", _in_json(escaped, ascii_only).encode()
    everything = "".join(f"\\u{unit:04x}" for unit in _units(text))
    yield "JSON", everything.encode()


def _in_json(text: str, ascii_only: bool) -> str:
    return json.dumps(text, ensure_ascii=ascii_only)[1:-1]


def _units(text: str) -> Iterator[int]:
    data = text.encode("utf-16-be")
    return (int.from_bytes(data[at : at + 2]) for at in range(0, len(data), 2))
