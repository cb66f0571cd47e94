"""What the VAT handlers do with every answer and every parameter: judge a status, read JSON strictly, match a text.

Rule: nothing that was sent or received is repeated in an error.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from enclave_worker.handlers.errors import OperationFailed, ParamsRefused
from enclave_worker.handlers.operation import Params
from wire import jsontext
from wire.errors import MessageError

# A date or an instant as VIES and HMRC write them (RFC 3339, xsd:date), kept as text: 31 bytes fit a field element.
MOMENT = re.compile(r"[0-9TZ:.+-]{8,31}")
MAX_JSON_LEVELS = 32  # ours: the deepest published answer has 3; json alone stops where Python's stack happens to end


def parameter(params: Params, name: str, pattern: re.Pattern[str], meaning: str) -> str:
    """Return the parameter if it is a string that matches `pattern` from end to end.

    Raises:
        ParamsRefused: it is missing, of another type, or does not match; `meaning` says what it must be.
    """
    value = params.get(name)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise ParamsRefused(name, f"must be {meaning}")
    return value


def refused(status: int) -> OperationFailed:
    """Return the error for a status under which no result is documented."""
    if status in (401, 403):
        return OperationFailed("upstream-unauthorised", f"HTTP status {status}")
    if status == 429 or status >= 500:
        return OperationFailed("upstream-unavailable", f"HTTP status {status}")
    return OperationFailed("upstream-fault", f"HTTP status {status}")


def json_object(body: bytes) -> dict[str, Any]:
    """Return the one JSON object of a body: UTF-8, no key twice, no NaN (`wire.jsontext`), at most MAX_JSON_LEVELS.

    Raises:
        OperationFailed: `upstream-malformed`, for anything else.
    """
    try:
        found = jsontext.parse_object(body)
    except MessageError as exc:
        raise OperationFailed("upstream-malformed", "the body is not one JSON object") from exc
    level: list[Any] = [found]
    for _ in range(MAX_JSON_LEVELS):
        level = [inner for outer in level for inner in _inside(outer) if isinstance(inner, dict | list)]
    if level:
        raise OperationFailed("upstream-malformed", f"the JSON has more than {MAX_JSON_LEVELS} levels")
    return found


def _inside(container: dict[str, Any] | list[Any]) -> Iterable[object]:
    return container.values() if isinstance(container, dict) else container


def text(found: Mapping[str, object], name: str) -> str:
    """Return a member that must be there and be a string of well-formed Unicode.

    Raises:
        OperationFailed: `upstream-malformed`.
    """
    try:
        return jsontext.text(name, found.get(name))
    except MessageError as exc:
        raise OperationFailed("upstream-malformed", f"{name} is missing or not a string") from exc


def optional_text(found: Mapping[str, object], name: str) -> str | None:
    """Return a member that may be missing or null, which is None here, and is a string otherwise.

    Raises:
        OperationFailed: `upstream-malformed`.
    """
    return None if found.get(name) is None else text(found, name)


def moment(found: Mapping[str, object], name: str) -> str:
    """Return a member that must be there and look like a date or an instant.

    Raises:
        OperationFailed: `upstream-malformed`.
    """
    value = text(found, name)
    if not MOMENT.fullmatch(value):
        raise OperationFailed("upstream-malformed", f"{name} is no date")
    return value


def optional_moment(found: Mapping[str, object], name: str) -> str | None:
    """Return a member like `moment`, or None where it is missing or null."""
    return None if found.get(name) is None else moment(found, name)
