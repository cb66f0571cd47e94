"""Step 8: the schemas under which queries are answered, as this verifier knows them. A literal table.

A field is written `name encoding`, or `name encoding?` where it may be null. The predecessor's records come first:
every field of theirs may be null. A policy may bring more (VERIFICATION.md, "Policy files"). `make page` takes what is
added here into the page.
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
_STRIPE_PAGE: Final = (
    *("stripeAccount shortString?", "query sha256?", "limit uint?", "startingAfter sha256?", "endingBefore sha256?"),
    *("count uint", "hasMore boolean", "firstId sha256?", "lastId sha256?", "livemode boolean?", "dataHash sha256"),
)
_STRIPE_OBJECT: Final = ("stripeAccount shortString?", "query sha256?", "id sha256", "found boolean")
_STRIPE_PAYMENT: Final = ("currency shortString?", "status shortString?", "livemode boolean?", "dataHash sha256")
_VERSIONED: Final[Mapping[str, tuple[str, ...]]] = {
    "tytle/vies-check-vat/v1": (
        *("countryCode shortString", "vatNumber shortString", "valid boolean"),
        *("name sha256?", "address sha256?", "requestDate shortString?"),
    ),
    "tytle/hmrc-lookup/v1": (
        *("vatNumber shortString", "valid boolean", "name sha256?"),
        *(f"addressLine{number} sha256?" for number in range(1, 6)),
        *("addressPostcode sha256?", "addressCountryCode shortString?", "processingDate shortString?"),
    ),
    "tytle/stripe-list-charges/v1": _STRIPE_PAGE,
    "tytle/stripe-list-customers/v1": _STRIPE_PAGE,
    "tytle/stripe-list-invoices/v1": _STRIPE_PAGE,
    "tytle/stripe-get-payment-intent/v1": (*_STRIPE_OBJECT, "amount uint?", "amountReceived uint?", *_STRIPE_PAYMENT),
    "tytle/stripe-get-account/v1": (
        *_STRIPE_OBJECT,
        *("country shortString?", "defaultCurrency shortString?", "chargesEnabled boolean?", "payoutsEnabled boolean?"),
        *("detailsSubmitted boolean?", "dataHash sha256"),
    ),
    "tytle/stripe-get-charge/v1": (
        *_STRIPE_OBJECT,
        *("amount uint?", "amountCaptured uint?", "amountRefunded uint?"),
        *_STRIPE_PAYMENT,
    ),
    "tytle/monerium-order-with-balance/v1": (
        *("orderId sha256", "found boolean", "kind shortString?", "state shortString?", "amount shortString?"),
        *("currency shortString?", "chain shortString?", "address sha256?", "contract sha256?", "blockNumber uint?"),
        *("blockHash sha256?", "blockTime uint?", "balance uint?", "dataHash sha256"),
    ),
    "tytle/sicae-lookup/v1": (
        "nif shortString",
        "found boolean",
        "answer shortString",
        "name sha256?",
        "cae1Code shortString?",
        "cae1Desc sha256?",
        "cae2Count uint?",
        "cae2Complete boolean?",
        "cae2Code1 shortString?",
        "cae2Desc1 sha256?",
        "cae2Code2 shortString?",
        "cae2Desc2 sha256?",
        "cae2Code3 shortString?",
        "cae2Desc3 sha256?",
    ),
}
"""Ours, as `services/NAME.toml` declares them; a test compares the two. `make page` takes them into the page."""

SCHEMAS: Final[Mapping[str, Schema]] = MappingProxyType(
    {
        **{name: _record(name, listed) for name, listed in _RECORDS.items()},
        **{name: parse(name, lines) for name, lines in _VERSIONED.items()},
    }
)
