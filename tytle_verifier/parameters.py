"""Step 8: what was asked of a query, parameter by parameter, against the values that repeat it.

Two rules. A parameter that has the name of a value has that value. For the operations in the table, which parameters
there are and which values repeat them is known here, so one that was NOT sent has no value but null: nobody added it on
the way. For other operations the report says that this was not compared. `make page` takes the table into the page.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from tytle_verifier.elements import MAX_EXACT
from tytle_verifier.errors import StatementError, shown
from tytle_verifier.request import Query
from tytle_verifier.statement import NoResult, Result

FILTER: Final = "queryParams"  # an object, which its value repeats as the query that goes to the upstream
_UNRESERVED: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")  # RFC 3986, 2.3
_PAGE: Final = ("limit", "startingAfter", "endingBefore")  # values that a list takes from its filter
_NUMBER: Final = {"vatNumber": ("vatNumber",)}
_VIES: Final = {"countryCode": ("countryCode",), **_NUMBER}
_STRIPE: Final = {"stripeAccount": ("stripeAccount", "accountId"), FILTER: ("query",)}  # accountId: in a record
_STRIPE_LIST: Final = {**_STRIPE, FILTER: ("query", *_PAGE)}
_STRIPE_OBJECT: Final = {**_STRIPE, "resourceId": ("id",)}
OPERATIONS: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = MappingProxyType(
    {
        "vies.check_vat": _VIES,
        "vies.check_vat_rest": _VIES,
        "hmrc.lookup": _NUMBER,
        "sicae.lookup": {"nif": ("nif",)},
        "stripe.list_charges": _STRIPE_LIST,
        "stripe.list_customers": _STRIPE_LIST,
        "stripe.list_invoices": _STRIPE_LIST,
        "stripe.get_payment_intent": _STRIPE_OBJECT,
        "stripe.get_account": _STRIPE_OBJECT,
        "stripe.get_charge": _STRIPE_OBJECT,
        "monerium.order_with_balance": {"orderId": ("orderId",)},
    }
)
"""By operation and parameter, the values that repeat it. Credentials, which none repeats, are not in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Names of parameters: `sent` have their values and `absent` have null.

    Of `unrepeated`, which were sent, and `maybe`, which were not, no value says anything; `known` is False where the
    operation is not in the table.
    """

    sent: tuple[str, ...]
    absent: tuple[str, ...]
    unrepeated: tuple[str, ...]
    maybe: tuple[str, ...]
    known: bool

    @property
    def line(self) -> str:
        """The end of the report's line, empty where nothing was compared."""
        about = f", about {shown(', '.join(self.sent))}" if self.sent else ""
        without = f", without {', '.join(self.absent)}" if self.absent else ""
        return f"{about}{without} as asked" if about or without else ""

    def unchecked(self, operation: str) -> dict[str, bool]:
        """Return the lines for what was not compared, each with whether it applies."""
        return {
            f"what the enclave's code made of the parameters {shown(', '.join(self.unrepeated))}": bool(
                self.unrepeated
            ),
            f"whether the parameters {', '.join(self.maybe)} were left out, as asked": bool(self.maybe),
            f"whether parameters were added: those of {shown(operation)} are not known here": not self.known,
        }


def compare(result: Result | NoResult | None, asked: Query) -> Compared:
    """Compare the parameters with a result's values; without values nothing can be. No error holds either.

    Raises: StatementError.
    """
    values = result.values if isinstance(result, Result) else {}
    table = OPERATIONS.get(asked.operation, {})
    found: dict[str, list[str]] = {"sent": [], "absent": [], "unrepeated": [], "maybe": []}
    for name in sorted({*asked.params, *table}):
        sent = asked.params.get(name) is not None or name not in table
        places = _places(name, table.get(name), asked.params.get(name), values)
        for place in places:
            _check(place, values[place], name, asked.params.get(name))
        found[("sent" if sent else "absent") if places else ("unrepeated" if sent else "maybe")].append(name)
    return Compared(known=asked.operation in OPERATIONS, **{kind: tuple(names) for kind, names in found.items()})


def _places(name: str, listed: tuple[str, ...] | None, given: object, values: Mapping[str, object]) -> list[str]:
    """Return the values to compare `given` with."""
    if listed is None:
        return [name] if name in values and _is_scalar(given) else []
    if name == FILTER and isinstance(given, Mapping) and given:
        listed = listed[:1]  # what a list takes from it, the enclave's code reads
    return [place for place in listed if place in values]


def _check(place: str, value: object, name: str, given: object) -> None:
    wanted = given
    if name == FILTER and isinstance(given, Mapping):
        wanted = _query(given)
    elif type(given) is int and abs(given) > MAX_EXACT:
        wanted = str(given)
    if not _is_scalar(wanted) or (type(value), value) != (type(wanted), wanted):
        expected = f"the parameter {name}" if given is not None else f"null: {name} was not sent"
        raise StatementError(f"result.values.{place}", got="something else", expected=expected)


def _is_scalar(value: object) -> bool:
    return value is None or isinstance(value, str | int)


def _query(given: Mapping[str, object]) -> object:
    """Return the query that a filter is sent as, None for an empty one; what no query can be made of as it is."""
    if not all(isinstance(value, str) or type(value) is int for value in given.values()):
        return given
    try:
        return "&".join(f"{_escaped(name)}={_escaped(str(value))}" for name, value in given.items()) or None
    except UnicodeEncodeError:  # half a surrogate pair
        return given


def _escaped(text: str) -> str:
    """Return `text` with `%XX` for each byte of its UTF-8 but RFC 3986's unreserved characters."""
    return "".join(chr(byte) if byte in _UNRESERVED else f"%{byte:02X}" for byte in text.encode())
