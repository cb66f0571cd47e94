"""What a request to Stripe asked, read from its URL and headers: only URLs that the operation itself makes are read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from tytle_verifier.derive.trace import Call, Header
from tytle_verifier.errors import DerivationError

HOST: Final = "https://api.stripe.com"
HEADERS: Final = {
    "authorization": Header(secret=True),
    "stripe-version": Header(value="2025-12-15.clover"),
    "stripe-account": Header(optional=True),
}
MAX_PARAMETERS: Final = 32
_ACCOUNT = re.compile("acct_[A-Za-z0-9]{1,26}")
_RESOURCE = re.compile("[a-z]{2,8}_[A-Za-z0-9_]{1,55}")
_NAME = re.compile(r"[a-z_]{1,40}(?:\[[a-z0-9_]{0,20}\])?")
_LIMIT = re.compile("[1-9][0-9]?|100")
_SIDE = re.compile("(?:[A-Za-z0-9._~-]|%[0-9A-F]{2})*")
_ESCAPE = re.compile("%([0-9A-F]{2})")
_PLAIN = re.compile("[A-Za-z0-9._~-]")
_CURSORS: Final = frozenset({"starting_after", "ending_before"})
_MAX_VALUE_CHARACTERS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The question: `query` exactly as sent, None if there is none; `limit`, `after`, `before` are a list's."""

    account: str | None
    resource: str
    query: str | None
    limit: int | None
    after: str | None
    before: str | None


def is_list_url(url: str, path: str) -> bool:
    """Say whether `url` is one that a list under `path` asks."""
    place, query = _split(url)
    asked = _parameters(query)
    return place == HOST + path and asked is not None and _pages(asked)


def is_object_url(url: str, path: str) -> bool:
    """Say whether `url` is one that asks for an object under `path`."""
    place, query = _split(url)
    resource = place.removeprefix(HOST + path)
    known = place.startswith(HOST + path) and _RESOURCE.fullmatch(resource) is not None
    return known and _parameters(query) is not None


def read(call: Call) -> Asked:
    """Return what a call, whose URL passed, asked. Raises: DerivationError."""
    accounts = [value for name, value in call.request.headers if name.lower() == "stripe-account"]
    account = accounts[0].decode("latin-1") if accounts and accounts[0] is not None else None
    if account is not None and not _ACCOUNT.fullmatch(account):
        raise DerivationError("request header Stripe-Account of call 1 is none", expected=account)
    place, query = _split(call.request.url)
    parameters = _parameters(query) or {}
    limit = parameters.get("limit", "")
    return Asked(
        account=account,
        resource=place.rpartition("/")[2],
        query=query,
        limit=int(limit) if _LIMIT.fullmatch(limit) else None,
        after=parameters.get("starting_after"),
        before=parameters.get("ending_before"),
    )


def _split(url: str) -> tuple[str, str | None]:
    place, mark, query = url.partition("?")
    return place, query if mark else None


def _parameters(query: str | None) -> dict[str, str] | None:
    """Return the parameters, decoded; None where no operation writes such a query."""
    if query is None:
        return {}
    pairs = [pair.partition("=") for pair in query.split("&")]
    decoded = [(_decoded(name), _decoded(value)) for name, mark, value in pairs if mark]
    made = {name: value for name, value in decoded if name is not None and value is not None}
    fits = len(made) == len(pairs) <= MAX_PARAMETERS and all(map(_NAME.fullmatch, made))
    shaped = all(1 <= len(value) <= _MAX_VALUE_CHARACTERS and value.isprintable() for value in made.values())
    return made if fits and shaped else None


def _pages(asked: dict[str, str]) -> bool:
    """Say whether the parameters name one page: a limit of Stripe's if any, and not both cursors."""
    return _LIMIT.fullmatch(asked.get("limit", "1")) is not None and not asked.keys() >= _CURSORS


def _decoded(side: str) -> str | None:
    """Return a side decoded; None where it is not UTF-8, or not escaped exactly where it must be."""
    if not _SIDE.fullmatch(side):
        return None
    escaped = [int(code, 16) for code in _ESCAPE.findall(side)]
    if any(_PLAIN.fullmatch(chr(byte)) for byte in escaped):
        return None
    data = _ESCAPE.sub(lambda match: chr(int(match[1], 16)), side).encode("latin-1")
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None
