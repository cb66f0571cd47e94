"""Step 8: the schemas under which queries are answered, as this verifier knows them. A literal table.

A field is written `name encoding`, or `name encoding?` where it may be null. The predecessor's records come first:
every field of theirs may be null. A policy may bring more (VERIFICATION.md, "Policy files").
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from tytle_verifier.errors import PolicyError

ENCODINGS: Final = frozenset({"shortString", "sha256", "uint", "boolean"})
_LINE = re.compile(r"(?P<name>[a-z][A-Za-z0-9]{0,39}) (?P<encoding>[a-zA-Z0-9]+)(?P<optional>\??)")
_ID = re.compile(r"(?=.{1,64}$)[a-z0-9]+(?:[/-][a-z0-9]+)*/v[1-9][0-9]{0,3}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One value: its name, how it becomes an element, and whether it may be null."""

    name: str
    encoding: str
    optional: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """Fields in the order of their elements. `versioned` elements begin with definition and time; a record's do not."""

    id: str
    fields: tuple[Field, ...]
    versioned: bool

    @property
    def definition(self) -> str:
        """The text whose SHA-256 is the first element: the id, then the fields, one line each."""
        rows = [f"{field.name} {field.encoding}{'?' * field.optional}" for field in self.fields]
        return "\n".join([self.id, *rows, ""])


def parse(name: str, lines: Iterable[str]) -> Schema:
    """Read a versioned schema. Raises: PolicyError."""
    if not _ID.fullmatch(name):
        raise PolicyError(f"schema {name!r}: an id ends in its version, as in tytle/vies-check-vat/v1")
    fields = tuple(_field(name, line) for line in lines)
    if not fields or len({field.name for field in fields}) != len(fields):
        raise PolicyError(f"schema {name}: no field, or two of one name")
    return Schema(id=name, fields=fields, versioned=True)


def _field(schema: str, line: str) -> Field:
    match = _LINE.fullmatch(line)
    if match is None or match["encoding"] not in ENCODINGS:
        raise PolicyError(f"schema {schema}: {line!r} is not `name encoding`, with ? where it may be null")
    return Field(name=match["name"], encoding=match["encoding"], optional=bool(match["optional"]))


def _record(name: str, listed: str) -> Schema:
    pairs = (line.split() for line in listed.split(", "))
    fields = tuple(Field(name=field, encoding=encoding, optional=True) for field, encoding in pairs)
    return Schema(id=name, fields=fields, versioned=False)


_RECORDS: Final = {
    "VIES": "countryCode shortString, vatNumber shortString, valid uint, name sha256, address sha256",
    "SICAE": "nif shortString, name sha256, cae1Code shortString, cae1Desc sha256, "
    "cae2Code shortString, cae2Desc sha256",
    "STRIPE_PAYMENT": "operation shortString, accountId shortString, objectType shortString, dataHash sha256, "
    "totalCount uint, hasMore uint",
    "MONERIUM_PAYMENT": "orderId sha256, state shortString, orderAmount shortString, currency shortString, "
    "balance uint, dataHash sha256",
}
_VERSIONED: Final[Mapping[str, str]] = {}
"""Ours, as `services/NAME.toml` declares them, and as the page has them; tests compare."""

SCHEMAS: Final[Mapping[str, Schema]] = MappingProxyType(
    {
        **{name: _record(name, listed) for name, listed in _RECORDS.items()},
        **{name: parse(name, listed.split(", ")) for name, listed in _VERSIONED.items()},
    }
)
