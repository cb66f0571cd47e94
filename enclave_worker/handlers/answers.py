"""Reading a JSON answer: its status, its one object, and that object's fields, each of one type.

Rule: nothing is converted. What is not exactly of the documented type is `upstream-malformed`; nothing of an answer is
repeated in an error. JSON's integers are exact here, and a float is never taken for one, not even `1.0`.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from enclave_worker.handlers.errors import OperationFailed
from enclave_worker.handlers.operation import Got
from wire import jsontext
from wire.errors import MessageError

# ours: 4 MiB, the most that a rule lets through, have some 340,000 where they are written as Stripe writes; a page of
# 100 objects of the stand-in has 3,800. So many take some 50 MiB at most.
MAX_PARTS: Final = 400_000
MAX_DEPTH: Final = 32  # ours: objects and lists in one another; an expanded Stripe object has about ten
ANY_TEXT: Final = re.compile(r"[^\ud800-\udfff]*")  # half a surrogate pair is no text
# A date or an instant as RFC 3339 and xsd:date write them, kept as text: 31 bytes fit a field element.
MOMENT: Final = re.compile(r"[0-9TZ:.+-]{8,31}")
MOST: Final = 2**63 - 1  # what the upstreams' own integers fit, amounts and times; longer ones are no number of theirs


def check_status(got: Got) -> None:
    """Return if the status is 200, the only one under which a result comes.

    Raises:
        OperationFailed: unavailable for 429 and 5xx, unauthorised for 401 and 403, a fault for any other 4xx, and
            malformed for the rest, such as another 2xx or a redirect.
    """
    if got.status != 200:
        raise failure(got.status)


def failure(status: int, *, other: str = "upstream-malformed") -> OperationFailed:
    """Return the error for a status under which no result comes; `other` is the code for what is no 4xx or 5xx."""
    code = other
    if status == 429 or status >= 500:
        code = "upstream-unavailable"
    elif status in (401, 403):
        code = "upstream-unauthorised"
    elif 400 <= status < 500:
        code = "upstream-fault"
    return OperationFailed(code, f"the upstream answered with status {status}")


def read_object(body: bytes) -> "Answer":
    """Return the one JSON object of `body`: UTF-8, no key twice, no NaN, at most `MAX_DEPTH` deep, `MAX_PARTS` parts.

    Raises:
        OperationFailed: malformed, anything else.
    """
    try:
        value = jsontext.parse_object(body, most=MAX_PARTS)
    except MessageError:
        raise OperationFailed("upstream-malformed", "the body is not one JSON object") from None
    level: list[object] = [value]
    for _ in range(MAX_DEPTH):
        level = [inner for each in level for inner in _inside(each) if isinstance(inner, dict | list)]
    if level:
        raise OperationFailed("upstream-malformed", f"the JSON is nested more than {MAX_DEPTH} deep")
    return Answer(value)


@dataclass(frozen=True, slots=True)
class Answer:
    """A JSON object, read field by field. A getter named `..._or_none` takes a missing field and null as absent.

    Each getter raises OperationFailed (malformed) for anything that is not of its type.
    """

    entries: Mapping[str, object]

    def has(self, key: str) -> bool:
        """Whether the field is there and not null."""
        return self.entries.get(key) is not None

    def text(self, key: str, pattern: re.Pattern[str] = ANY_TEXT) -> str:
        """The text at `key`, all of which fits `pattern`."""
        value = self.entries.get(key)
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise _malformed(key, "a text of its documented form")
        return value

    def text_or_none(self, key: str, pattern: re.Pattern[str] = ANY_TEXT) -> str | None:
        """The same, or None."""
        return self.text(key, pattern) if self.has(key) else None

    def whole(self, key: str) -> int:
        """The integer from 0 to `MOST` at `key`."""
        value = self.entries.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MOST:
            raise _malformed(key, "a whole number")
        return value

    def whole_or_none(self, key: str) -> int | None:
        """The same, or None."""
        return self.whole(key) if self.has(key) else None

    def flag(self, key: str) -> bool:
        """The boolean at `key`."""
        value = self.entries.get(key)
        if not isinstance(value, bool):
            raise _malformed(key, "true or false")
        return value

    def flag_or_none(self, key: str) -> bool | None:
        """The same, or None."""
        return self.flag(key) if self.has(key) else None

    def child(self, key: str) -> "Answer":
        """The object at `key`."""
        return _object(key, self.entries.get(key))

    def children(self, key: str) -> tuple["Answer", ...]:
        """The list of objects at `key`, in order."""
        values = self.entries.get(key)
        if not isinstance(values, list):
            raise _malformed(key, "a list")
        return tuple(_object(f"{key}[{index}]", value) for index, value in enumerate(values))


def _inside(value: object) -> Iterable[object]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _object(place: str, value: object) -> Answer:
    if not isinstance(value, dict):
        raise _malformed(place, "an object")
    return Answer(value)


def _malformed(place: str, expected: str) -> OperationFailed:
    return OperationFailed("upstream-malformed", f"{place} is not {expected}")
