"""The callers of this parent, read from TOML: `[[tokens]]` and `[[clients]]`.

A token is 256 random bits, so its plain SHA-256 may lie in a file that others can read: there is nothing to guess, and
no salt or slow hash would add to that. A password would need both; there are none here.
"""

import datetime as dt
import hmac
import math
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256

from app.callers.caller import FETCH, SCOPES, Caller, Certificate
from app.limits.values import Limits
from policy.errors import ManifestError
from policy.tables import Table

MAX_FILE_BYTES = 1024 * 1024  # ours: about 5,000 entries
MAX_CALLERS = 1000  # ours: below limits.table.MAX_NAMES, with room for services and for the names of former reloads
DEFAULT_CONCURRENT = 48  # ours: half of one process's threads; on a host with two processes a quarter
_MOST = 1_000_000
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_SAN = re.compile(r"(?:DNS|URI|email):[!-~]{1,255}")
_SHORTLIST_BYTES = 4  # of a digest: what a dictionary compares before compare_digest does
_LIMIT_KEYS = ("services", "scopes", "rate", "burst", "concurrent", "expires")


class CallersError(Exception):
    """The file of callers cannot be used. The message names the place, never a value."""

    advice = "Correct the file; `python -m app.tokens check FILE` says whether it can be used."


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A caller and the SHA-256 (32 bytes) of its token."""

    digest: bytes
    caller: Caller


@dataclass(frozen=True, slots=True, kw_only=True)
class Callers:
    """All who may ask. `certificates` is by SHA-256 of the DER, `names` by subjectAltName."""

    tokens: tuple[Token, ...]
    certificates: Mapping[bytes, Caller]
    names: Mapping[str, Caller]
    shortlists: Mapping[bytes, tuple[Token, ...]] = field(init=False)

    def __post_init__(self) -> None:
        if not self.all:
            raise ValueError("no callers: every request would be refused")
        lists: dict[bytes, tuple[Token, ...]] = {}
        for token in self.tokens:
            prefix = token.digest[:_SHORTLIST_BYTES]
            lists[prefix] = (*lists.get(prefix, ()), token)
        object.__setattr__(self, "shortlists", lists)

    @property
    def all(self) -> tuple[Caller, ...]:
        """Every caller once, tokens first."""
        return (*(token.caller for token in self.tokens), *self.certificates.values(), *self.names.values())

    def of_token(self, token: str) -> Caller | None:
        """Return whose token it is.

        Takes as long for one as for another: what is looked up is the start of a digest, which says nothing about the
        token, and digests are compared by hmac.compare_digest.
        """
        digest = sha256(token.encode()).digest()
        for known in self.shortlists.get(digest[:_SHORTLIST_BYTES], ()):
            if hmac.compare_digest(known.digest, digest):
                return known.caller
        return None

    def of_certificate(self, certificate: Certificate) -> Caller | None:
        """Return whose certificate it is: by its digest, or else by the one subjectAltName that is listed."""
        known = self.certificates.get(certificate.digest)
        if known is not None:
            return known
        named = [self.names[name] for name in certificate.names if name in self.names]
        return named[0] if len(named) == 1 else None


def load(data: bytes, *, services: Iterable[str]) -> Callers:
    """Read a file of callers. `services` are the names that may stand in it.

    Raises:
        CallersError: not TOML, unknown or missing keys, wrong types, values out of range, duplicates, nobody at all.
    """
    try:
        top = Table(at="", entries=_parse(data))
        top.only("tokens", "clients")
        tokens = top.tables("tokens") if "tokens" in top.entries else ()
        clients = top.tables("clients") if "clients" in top.entries else ()
        if not 1 <= len(tokens) + len(clients) <= MAX_CALLERS:
            raise CallersError(f"expected 1 to {MAX_CALLERS} [[tokens]] and [[clients]]")
        return _callers(tokens, clients, frozenset(services))
    except ManifestError as exc:
        raise CallersError(str(exc)) from exc


def _parse(data: bytes) -> dict[str, object]:
    if len(data) > MAX_FILE_BYTES:
        raise CallersError(f"over {MAX_FILE_BYTES} bytes")
    try:
        return tomllib.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as exc:  # not its text, which quotes the file
        raise CallersError("not TOML in UTF-8") from exc


def _callers(tokens: Iterable[Table], clients: Iterable[Table], services: frozenset[str]) -> Callers:
    names: set[str] = set()
    digests: set[str] = set()
    known: list[Token] = []
    certificates: dict[bytes, Caller] = {}
    sans: dict[str, Caller] = {}
    for table in tokens:
        table.only("name", "sha256", *_LIMIT_KEYS)
        known.append(Token(digest=_digest(table, digests), caller=_caller(table, names, services)))
    for table in clients:
        table.only("name", "sha256", "san", *_LIMIT_KEYS)
        if ("sha256" in table.entries) == ("san" in table.entries):
            raise ManifestError(table.at, "expected either sha256 or san")
        caller = _caller(table, names, services)
        if "sha256" in table.entries:
            certificates[_digest(table, digests)] = caller
        else:
            sans[_once(table, "san", _SAN, digests, "DNS:, URI: or email: and a name")] = caller
    return Callers(tokens=tuple(known), certificates=certificates, names=sans)


def _caller(table: Table, names: set[str], services: frozenset[str]) -> Caller:
    return Caller(
        name=_once(table, "name", _NAME, names, "a name of a-z, 0-9, . _ -"),
        services=_among(table, "services", services) if "services" in table.entries else None,
        scopes=_among(table, "scopes", frozenset(SCOPES)) if "scopes" in table.entries else frozenset({FETCH}),
        limits=_limits(table),
        expires=_expiry(table),
    )


def _limits(table: Table) -> Limits:
    rate = _rate(table) if "rate" in table.entries else None
    burst = max(1, math.ceil(rate)) if rate is not None else 1
    if "burst" in table.entries:
        if rate is None:
            raise ManifestError(table.place("burst"), "means nothing without a rate")
        burst = table.number("burst", least=1, most=_MOST)
    concurrent = DEFAULT_CONCURRENT
    if "concurrent" in table.entries:
        concurrent = table.number("concurrent", least=1, most=_MOST)
    return Limits(rate=rate, burst=burst, concurrent=concurrent)


def _rate(table: Table) -> float:
    value = table.entries["rate"]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.001 <= value <= _MOST:
        raise ManifestError(table.place("rate"), f"expected a number from 0.001 to {_MOST} (questions per second)")
    return float(value)


def _expiry(table: Table) -> float | None:
    value = table.entries.get("expires")
    if value is None:
        return None
    if isinstance(value, dt.datetime) and value.tzinfo is not None:
        return value.timestamp()
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        return dt.datetime(value.year, value.month, value.day, tzinfo=dt.UTC).timestamp()
    raise ManifestError(table.place("expires"), "expected a date (its first instant in UTC) or a time with an offset")


def _among(table: Table, key: str, known: frozenset[str]) -> frozenset[str]:
    chosen = frozenset(table.texts(key))
    if not chosen or chosen - known:
        raise ManifestError(table.place(key), f"expected some of {', '.join(sorted(known))}")
    return chosen


def _digest(table: Table, seen: set[str]) -> bytes:
    return bytes.fromhex(_once(table, "sha256", _DIGEST, seen, "64 hexadecimal digits in lower case"))


def _once(table: Table, key: str, form: re.Pattern[str], taken: set[str], expected: str) -> str:
    """Return the text at `key`, which follows `form` and is not `taken`; it is then."""
    text = table.text(key)
    if not form.fullmatch(text):
        raise ManifestError(table.place(key), f"expected {expected}")
    if text in taken:
        raise ManifestError(table.place(key), "another entry has the same one")
    taken.add(text)
    return text
