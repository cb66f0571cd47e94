"""`[[operations]]` of a manifest: the questions that a service answers, and how an answer becomes field elements.

What is declared here is enforced: an operation that no code of the image can run keeps the worker from starting, one
that is not declared is refused, calls beyond `max_calls` or to other hosts are not made, and values that do not fit
`fields` are not handed out. What has no such code (reasons, descriptions) is a comment.
"""

import re
from dataclasses import dataclass

from policy.errors import ManifestError
from policy.tables import Table

ENCODINGS = ("shortString", "sha256", "uint", "boolean")
RECORDS = ("VIES", "SICAE", "STRIPE_PAYMENT", "MONERIUM_PAYMENT")  # the predecessor's schemas, by its names
MAX_CALLS = 8  # ours: the longest known operation needs three; each can hold a response of 8 MiB
MAX_FIELDS = 32  # ours: the predecessor's longest record has six

_OPERATION = re.compile(r"(?=.{1,64}$)[a-z][a-z0-9]*(?:[._][a-z0-9]+)*")
_SCHEMA = re.compile(r"(?=.{1,64}$)[a-z0-9]+(?:[/-][a-z0-9]+)*/v[1-9][0-9]{0,3}")
_FIELD = re.compile(r"[a-z][A-Za-z0-9]{0,39}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One value of a schema: its name, one of `ENCODINGS`, and whether it may be absent (null)."""

    name: str
    encoding: str
    optional: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """A versioned list of fields; field elements follow in this order. Another list is another version."""

    id: str
    fields: tuple[Field, ...]

    @property
    def definition(self) -> str:
        """The schema in one text: its id, then `name encoding` or `name encoding?` per field, each line ended by LF."""
        lines = (f"{field.name} {field.encoding}{'?' if field.optional else ''}" for field in self.fields)
        return "".join(f"{line}\n" for line in (self.id, *lines))


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """One operation: the upstream `hosts` it may ask, at most `max_calls` times, and what its answers look like.

    `record` is the predecessor's schema that an answer can be given in as well, None where there is none.
    """

    name: str
    hosts: frozenset[str]
    max_calls: int
    record: str | None
    schema: Schema


def read(tables: tuple[Table, ...], *, hosts: frozenset[str]) -> tuple[Declaration, ...]:
    """Read the operations of a manifest whose upstreams are `hosts`.

    Raises:
        ManifestError: as `manifest.load`; two operations of one name, or two lists of fields under one schema id.
    """
    declared = tuple(_declaration(table, hosts) for table in tables)
    schemas: dict[str, Schema] = {}
    for index, each in enumerate(declared):
        if any(each.name == other.name for other in declared[:index]):
            raise ManifestError("operations", "two operations have the same name")
        if schemas.setdefault(each.schema.id, each.schema) != each.schema:
            raise ManifestError(f"operations[{index}].fields", f"differ from another operation's {each.schema.id}")
    return declared


def _declaration(table: Table, hosts: frozenset[str]) -> Declaration:
    table.only("name", "hosts", "max_calls", "record", "schema", "fields")
    return Declaration(
        name=_matching(table, "name", _OPERATION, "service.operation in a-z, 0-9, '.' and '_', at most 64 characters"),
        hosts=_hosts(table, hosts),
        max_calls=table.number("max_calls", least=1, most=MAX_CALLS),
        record=_one_of(table, "record", RECORDS) if "record" in table.entries else None,
        schema=Schema(
            id=_matching(table, "schema", _SCHEMA, "a name of at most 64 characters that ends in a version like /v1"),
            fields=_fields(table),
        ),
    )


def _hosts(table: Table, known: frozenset[str]) -> frozenset[str]:
    hosts = frozenset(table.texts("hosts"))
    if not hosts or not hosts <= known:
        raise ManifestError(table.place("hosts"), "expected at least one, each the host of an upstream above")
    return hosts


def _fields(table: Table) -> tuple[Field, ...]:
    fields = tuple(_field(each) for each in table.tables("fields"))
    names = {field.name for field in fields}
    if len(fields) > MAX_FIELDS or len(names) != len(fields):
        raise ManifestError(table.place("fields"), f"expected at most {MAX_FIELDS}, each name once")
    return fields


def _field(table: Table) -> Field:
    table.only("name", "encoding", "optional")
    return Field(
        name=_matching(table, "name", _FIELD, "a camelCase name of at most 40 letters and digits"),
        encoding=_one_of(table, "encoding", ENCODINGS),
        optional=table.flag("optional") if "optional" in table.entries else False,
    )


def _matching(table: Table, key: str, pattern: "re.Pattern[str]", expected: str) -> str:
    text = table.text(key)
    if not pattern.fullmatch(text):
        raise ManifestError(table.place(key), f"expected {expected}")
    return text


def _one_of(table: Table, key: str, choices: tuple[str, ...]) -> str:
    text = table.text(key)
    if text not in choices:
        raise ManifestError(table.place(key), f"expected one of {', '.join(choices)}")
    return text
