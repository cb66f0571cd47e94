"""JSON that an enclave sent, read without strictness: a stranger's word, and older workers are to be understood."""

import json
from typing import Any


def json_object(payload: bytes) -> dict[str, Any] | None:
    """Return the JSON object that `payload` is, or None for anything else."""
    try:
        said = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) else None
