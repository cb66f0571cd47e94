"""Stand-ins whose answers follow from what is asked.

Every question is about a company, charge or order of its own, and what is said of it is a hash of its name: so an
answer to another question, or to an older one, is seen.
"""

import hashlib
import itertools
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from devstack import gnosis, hmrc, monerium, sicae, sicae_pages, stripe, vies, vies_register
from devstack.gnosis import Gnosis
from devstack.hmrc import Hmrc
from devstack.monerium import Monerium
from devstack.sicae import Sicae
from devstack.stripe import Stripe
from devstack.upstream import Handler, Request, Response
from devstack.vies import Vies
from devstack.vies_register import Register

GROWTH = 7  # what each block adds to the one balance that Gnosis has
LARGE = "ch_large"  # charges whose names begin so have a large body
LARGE_BYTES = 600_000
HMRC_TOKEN = "endurance-token"  # noqa: S105  of these stand-ins
_KEY = TypeVar("_KEY")
_VALUE = TypeVar("_VALUE")


class Invented(Mapping[_KEY, _VALUE]):
    """A mapping that makes what it is asked for, and holds nothing."""

    def __init__(self, make: Callable[[_KEY], _VALUE | None]) -> None:
        self._make = make

    def __getitem__(self, key: _KEY) -> _VALUE:
        """Return what is made of `key`. Raises: KeyError where that is nothing."""
        value = self._make(key)
        if value is None:
            raise KeyError(key)
        return value

    def __iter__(self) -> Iterator[_KEY]:
        """Yield nothing."""
        return iter(())

    def __len__(self) -> int:
        """Return 0."""
        return 0


class Numbers:
    """Numbers that nothing else in this run has. Safe between threads."""

    def __init__(self) -> None:
        self._count = itertools.count(1)
        self._lock = threading.Lock()

    def next(self) -> int:
        """Return the next number."""
        with self._lock:
            return next(self._count)


def mark(name: str) -> str:
    """Return 20 characters that follow from a name and that nobody guesses."""
    return hashlib.sha256(name.encode()).hexdigest()[:20].upper()


def amount(name: str) -> int:
    """Return a number of cents that follows from a name."""
    return int(mark(name)[:6], 16) + 1


def is_registered(name: str) -> bool:
    """Whether a company of that number is registered: three of four are."""
    return int(mark(name)[-1], 16) % 4 != 0


def vat_company(key: tuple[str, str]) -> vies_register.Company | None:
    """Return who has this number of this country in VIES."""
    country, number = key
    if not is_registered(number):
        return None
    return vies_register.Company(name=f"COMPANY {mark(number)}", address=f"{mark(country + number)} STREET")


def uk_company(number: str) -> hmrc.Company | None:
    """Return who has this number at HMRC."""
    if not is_registered(number):
        return None
    return hmrc.Company(name=f"Company {mark(number)}", address={"line1": mark(number), "countryCode": "GB"})


def nipc(number: int) -> str:
    """Return a NIPC, with its check digit, for a number below ten million."""
    first = f"{50_000_000 + number:08d}"
    return next(f"{first}{digit}" for digit in range(10) if sicae.has_check_digit(f"{first}{digit}"))


def portuguese_company(number: str) -> sicae_pages.Company | None:
    """Return who has this NIPC in SICAE."""
    if not is_registered(number):
        return None
    return sicae_pages.Company(name=f"COMPANY {mark(number)}", activities=(("71120", f"Activity {mark(number)}"),))


def charge(name: str) -> dict[str, Any]:
    """Return the charge with this id."""
    cents = amount(name)
    return {
        "id": name,
        "object": "charge",
        "amount": cents,
        "amount_captured": cents,
        "amount_refunded": 0,
        "created": 1_735_689_600,
        "currency": "eur",
        "description": mark(name) * (LARGE_BYTES // 20 if name.startswith(LARGE) else 1),
        "livemode": False,
        "metadata": {},
        "paid": True,
        "refunded": False,
        "status": "succeeded",
    }


def order_amount(name: str) -> str:
    """Return how many euros the order with this id is about."""
    return f"{amount(name)}.00"


def handlers() -> dict[str, Handler]:
    """Return the stand-ins, by host."""
    return {
        vies.HOST: Vies(Register(companies=Invented(vat_company))),
        hmrc.HOST: Hmrc(companies=Invented(uk_company), token=HMRC_TOKEN),
        sicae.HOST: Sicae(Invented(portuguese_company)),
        stripe.HOST: Stripe(held={"charges": Invented(charge)}),
        monerium.HOST: _order,
        gnosis.HOST: Gnosis(growth=GROWTH),
    }


def _order(request: Request) -> Response:
    name = request.path.rpartition("/")[2]
    return Monerium(orders=(monerium.order(id=name, amount=order_amount(name)),))(request)
