"""JSON that an enclave sent, read without strictness: a stranger's word, and older workers are to be understood."""

import json
from typing import Any

from wire import jsontext
from wire.errors import MessageError


def decoded(payload: bytes) -> Any:
    """Return the JSON value that `payload` is, of at most `jsontext.MAX_PARTS` parts.

    Raises:
        ValueError: it is anything else.
    """
    try:
        jsontext.check_parts(payload)
        return json.loads(payload.decode())
    except (MessageError, RecursionError) as exc:
        raise ValueError("JSON of too many parts or levels") from exc


def json_object(payload: bytes) -> dict[str, Any] | None:
    """Return the JSON object that `payload` is, or None for anything else."""
    try:
        said = decoded(payload)
    except ValueError:
        return None
    return said if isinstance(said, dict) else None
