"""Reading a caller's parameters. Rule: an error names the parameter and what it must be, and repeats nothing of it."""

import re

from enclave_worker.handlers.errors import ParamsRefused
from enclave_worker.handlers.operation import Params


def text(params: Params, name: str, pattern: re.Pattern[str], meaning: str) -> str:
    """Return the parameter if it is a text that matches `pattern` from end to end.

    Raises:
        ParamsRefused: it is missing, of another type, or does not match; `meaning` says what it must be.
    """
    value = params.get(name)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise ParamsRefused(name, f"must be {meaning}")
    return value
