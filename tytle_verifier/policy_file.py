"""A policy as TOML: `services/NAME.pcrs.toml` (VERIFICATION.md, "Policy files"). Unknown keys are refused."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TypeVar

from tytle_verifier import schemas
from tytle_verifier.errors import PolicyError
from tytle_verifier.policy import KNOWN_TLS, Policy, Release, TlsDemands
from tytle_verifier.schemas import Schema
from tytle_verifier.shape import Fields, WrongShape

MAX_POLICY_BYTES = 1_048_576  # ours: thousands of releases
_Made = TypeVar("_Made")
_PCR = re.compile(r"pcr([0-9]|[12][0-9]|3[01])")
_HEX = re.compile(r"([0-9a-f]{2})+")
_RELEASE_KEYS = ("manifest", "not_before", "not_after", "revoked")


def load(data: bytes) -> Policy:
    """Read a policy from the bytes of its file. Raises: PolicyError."""
    if len(data) > MAX_POLICY_BYTES:
        raise PolicyError(f"policy: more than {MAX_POLICY_BYTES} bytes")
    try:
        return _policy(tomllib.loads(data.decode()))
    except PolicyError:
        raise
    except WrongShape as error:
        raise PolicyError(f"policy: {error.detail}") from error
    except (ValueError, RecursionError) as error:
        raise PolicyError(f"policy is not TOML: {error}") from error


def _policy(table: dict[str, object]) -> Policy:
    optional = ("urls", "methods", "require_challenge", "max_age_seconds", "tls", "pcrs", "schemas", "modes", "sealed")
    fields = Fields(table, "", required=("service", "releases"), optional=optional)
    return Policy(
        service=fields.text("service"),
        releases=fields.each("releases", _release),
        pcrs=fields.maybe("pcrs", lambda key: _allow_sets(fields, key)) or {},
        urls=fields.maybe("urls", lambda key: _texts(fields, key)) or (),
        methods=frozenset(fields.maybe("methods", lambda key: _texts(fields, key)) or ()),
        modes=frozenset(fields.maybe("modes", lambda key: _texts(fields, key)) or ()),
        require_challenge=fields.maybe("require_challenge", fields.flag) or False,
        max_age=fields.maybe("max_age_seconds", lambda key: _seconds(fields, key)),
        tls=fields.maybe("tls", lambda key: _tls(fields.raw(key))) or TlsDemands(),
        schemas=fields.maybe("schemas", lambda key: _schemas(fields, key)) or {},
        sealed=fields.text("sealed") if "sealed" in fields else "optional",
    )


def _release(value: object, where: str) -> Release:
    pcrs = sorted(filter(_PCR.fullmatch, value)) if isinstance(value, dict) else []
    fields = Fields(value, where, required=("commit", "pcr0", "pcr1", "pcr2"), optional=(*_RELEASE_KEYS, *pcrs))
    return Release(
        commit=fields.text("commit"),
        pcrs={int(key[3:]): _hex(fields.raw(key), fields.place(key)) for key in pcrs},
        manifest=fields.maybe("manifest", lambda key: _hex(fields.raw(key), fields.place(key))),
        not_before=fields.maybe("not_before", lambda key: _instant(fields, key)),
        not_after=fields.maybe("not_after", lambda key: _instant(fields, key)),
        revoked=fields.maybe("revoked", fields.flag) or False,
    )


def _tls(value: object) -> TlsDemands:
    fields = Fields(value, "tls", required=(), optional=("versions", "spki", "plain_http_hosts"))
    return TlsDemands(
        versions=frozenset(_texts(fields, "versions")) if "versions" in fields else KNOWN_TLS,
        spki=frozenset(_some(fields, "spki", _hex)) if "spki" in fields else frozenset(),
        plain_http_hosts=frozenset(_texts(fields, "plain_http_hosts")) if "plain_http_hosts" in fields else frozenset(),
    )


def _allow_sets(fields: Fields, key: str) -> dict[int, frozenset[bytes]]:
    table = fields.of(key, dict)
    sets = Fields(table, key, required=(), optional=filter(_PCR.fullmatch, table))
    return {int(name[3:]): frozenset(_some(sets, name, _hex)) for name in table}


def _schemas(fields: Fields, key: str) -> dict[str, Schema]:
    table = fields.of(key, dict)
    lists = Fields(table, key, required=(), optional=table)
    return {name: schemas.parse(name, _texts(lists, name)) for name in table}


def _texts(fields: Fields, key: str) -> tuple[str, ...]:
    return _some(fields, key, _text)


def _some(fields: Fields, key: str, read: Callable[[object, str], _Made]) -> tuple[_Made, ...]:
    """Read a list; an empty one is an error, for an empty allow-set would mean "anything" or "nothing" by chance."""
    made = fields.each(key, read)
    if not made:
        raise WrongShape(fields.place(key), got="an empty list", expected="no list at all, or one with entries")
    return made


def _text(value: object, where: str) -> str:
    if type(value) is not str:
        raise WrongShape(f"{where}: type", got=type(value).__name__, expected="str")
    return value


def _hex(value: object, where: str) -> bytes:
    text = _text(value, where)
    if not _HEX.fullmatch(text):
        raise WrongShape(where, got=text, expected="lower-case hex")
    return bytes.fromhex(text)


def _instant(fields: Fields, key: str) -> datetime:
    value = fields.raw(key)
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise WrongShape(fields.place(key), got=value, expected="a TOML date-time with its offset")
    return value


def _seconds(fields: Fields, key: str) -> timedelta:
    seconds = fields.natural(key, least=1)
    if seconds > 10**9:
        raise WrongShape(fields.place(key), got=seconds, expected="at most 10^9")
    return timedelta(seconds=seconds)
