"""Members of a JSON object, each of one exact form (DERIVATIONS.md, P1). Nothing is converted."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, TypeVar

from tytle_verifier.derive.trace import malformed

ID: Final = re.compile(r"[\x21-\x7e]{1,255}")
CURRENCY: Final = re.compile("[a-z]{3}")
WORD: Final = re.compile("[a-z][a-z_]{0,30}")
COUNTRY: Final = re.compile("[A-Z]{2}")
MAX_WHOLE: Final = 2**63 - 1
_Read = TypeVar("_Read")
Members = dict[str, object]
Kind = Callable[[Members, str], str | int | bool]


def whole(members: Members, name: str) -> int:
    """Return a number without fraction and exponent, 0 to 2^63 - 1. Raises: Unanswered."""
    value = members.get(name)
    if type(value) is not int or not 0 <= value <= MAX_WHOLE:
        raise malformed(f"{name} is no whole number")
    return value


def flag(members: Members, name: str) -> bool:
    """Return true or false. Raises: Unanswered."""
    value = members.get(name)
    if not isinstance(value, bool):
        raise malformed(f"{name} is neither true nor false")
    return value


def matching(pattern: re.Pattern[str]) -> Callable[[Members, str], str]:
    """Return what reads a text all of which matches `pattern`. It raises: Unanswered."""

    def read(members: Members, name: str) -> str:
        value = members.get(name)
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise malformed(f"{name} has another form")
        return value

    return read


def optional(read: Callable[[Members, str], _Read], members: Members, name: str) -> _Read | None:
    """Return None for a member that is missing or null, else what `read` reads. Raises: Unanswered."""
    return None if members.get(name) is None else read(members, name)
