"""The predecessor's schemas, word for word: no schema, no time, one zero word for null, empty, zero and false alike.

Kept for circuits that were made for them; `versioned` is what to use. What the predecessor silently changed (NULs,
half surrogate pairs, fractions) is refused here: rows Q1 to Q5 of ARCHITECTURE.md.
"""

import re
from types import MappingProxyType
from typing import Final

from enclave_worker.fields.codec import Unencodable, digest, short_string, word
from enclave_worker.handlers.operation import Value, Values
from policy.operations import Field

MAX_INTEGER_BITS = 8192  # ours; Python refuses to write integers of more than 4300 digits, which is 14 282 bits
_DECIMAL = re.compile(r"0|[1-9][0-9]{0,77}")  # the order has 77 digits


def _fields(**encodings: str) -> tuple[Field, ...]:
    return tuple(Field(name=name, encoding=encoding) for name, encoding in encodings.items())


RECORDS: Final = MappingProxyType(
    {
        "VIES": _fields(
            countryCode="shortString", vatNumber="shortString", valid="uint", name="sha256", address="sha256"
        ),
        "SICAE": _fields(
            nif="shortString",
            name="sha256",
            cae1Code="shortString",
            cae1Desc="sha256",
            cae2Code="shortString",
            cae2Desc="sha256",
        ),
        "STRIPE_PAYMENT": _fields(
            operation="shortString",
            accountId="shortString",
            objectType="shortString",
            dataHash="sha256",
            totalCount="uint",
            hasMore="uint",
        ),
        "MONERIUM_PAYMENT": _fields(
            orderId="sha256",
            state="shortString",
            orderAmount="shortString",
            currency="shortString",
            balance="uint",
            dataHash="sha256",
        ),
    }
)
"""Every field may be null. `dataHash` is a hex digest already: its word is the digest of 64 characters."""


def encode(fields: tuple[Field, ...], values: Values) -> bytes:
    """Return the field elements; a value that is not given is null.

    Raises:
        Unencodable: a value that does not fit its field.
    """
    return b"".join(_element(field, values.get(field.name)) for field in fields)


def text(value: Value) -> str:
    """Return a value as the predecessor wrote it: null as nothing, booleans and whole numbers as JavaScript does."""
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _element(field: Field, value: object) -> bytes:
    if value is None or value == "":
        return word(field.name, 0)
    if isinstance(value, int) and value.bit_length() > MAX_INTEGER_BITS:
        raise Unencodable(field.name, f"more than {MAX_INTEGER_BITS} bits")
    if not isinstance(value, str | int):
        raise Unencodable(field.name, "neither a text, nor a whole number, nor a boolean")
    if field.encoding == "uint":
        return word(field.name, _number(field.name, value))
    return (short_string if field.encoding == "shortString" else digest)(field.name, text(value))


def _number(name: str, value: str | int) -> int:
    if isinstance(value, str) and not _DECIMAL.fullmatch(value):
        raise Unencodable(name, "expected a whole number, or its decimal digits")
    return int(value)
