"""Reading a caller's parameters. Rule: an error names the parameter and what it must be, and repeats nothing of it."""

import re
from typing import Final

from enclave_worker.handlers.errors import ParamsRefused
from enclave_worker.handlers.operation import Params

# RFC 6750, section 2.1, with no more padding than base64 has; our length, under that of all headers.
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]{1,4096}={0,2}")


def text(params: Params, name: str, pattern: re.Pattern[str], meaning: str) -> str:
    """Return the parameter if it is a text that matches `pattern` from end to end.

    Raises:
        ParamsRefused: it is missing, of another type, or does not match; `meaning` says what it must be.
    """
    value = params.get(name)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise ParamsRefused(name, f"must be {meaning}")
    return value


def bearer_token(params: Params, name: str) -> str:
    """Return the parameter if it is an OAuth 2.0 bearer token. Raises: ParamsRefused."""
    return text(params, name, _TOKEN, "an OAuth 2.0 bearer token")
