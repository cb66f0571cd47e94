"""The predecessor's formulas, kept so that its clients go on working. Proof lies in the statement, not here.

`H` is lower-case hex SHA-256 over UTF-8; the response hash, H(body), is taken over the raw bytes, which for valid UTF-8
is what the predecessor hashed. The request hash has known weaknesses (its parts are joined without escaping
and the body is not in it), which is why a verifier reads the statement first.
"""

import hashlib
import re
from collections.abc import Iterable

from wire import jsontext

_INDEX = re.compile(r"0|[1-9][0-9]{0,9}")
_MAX_INDEX = 2**32 - 2  # the largest array index: ECMA-262, 6.1.7


def request_hash(url: str, method: str, headers: Iterable[tuple[str, str]]) -> str:
    """Return H(url|method|JSON.stringify(headers)). The caller has removed secret headers."""
    return _hash("|".join((url, method, stringify(headers))))


def nonce(response_hash: str, endpoint: str, timestamp: int) -> str:
    """Return H(responseHash|apiEndpoint|timestamp), `timestamp` in Unix seconds."""
    return _hash("|".join((response_hash, endpoint, str(timestamp))))


def stringify(headers: Iterable[tuple[str, str]]) -> str:
    """Return what JavaScript's JSON.stringify makes of an object with these members.

    JavaScript puts members whose names are array indexes first, in ascending order, and keeps the others as inserted.
    """
    members = dict(headers)
    indexes = sorted(filter(_is_index, members), key=int)
    names = [*indexes, *(name for name in members if name not in indexes)] if indexes else members
    return jsontext.dump({name: members[name] for name in names}).decode()


def _is_index(name: str) -> bool:
    return bool(_INDEX.fullmatch(name)) and int(name) <= _MAX_INDEX


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
