"""What a caller of a `stripe.*` operation may ask, checked, and the call to Stripe that it becomes.

Rule: the key is compared with the shape of one and goes into the Authorization header, nowhere else; no error repeats
it, or any other value. What a list may be filtered by is not said here but in the manifest's rules.
"""

import re
from dataclasses import dataclass, field
from typing import Final

from enclave_worker.handlers import params as given
from enclave_worker.handlers import percent
from enclave_worker.handlers.errors import ParamsRefused
from enclave_worker.handlers.operation import Ask, Params
from wire import jsontext
from wire.errors import MessageError

API_VERSION: Final = "2025-12-15.clover"  # the predecessor's
BASE: Final = "https://api.stripe.com"
LIST_PARAMETERS: Final = frozenset({"apiKey", "stripeAccount", "queryParams"})
OBJECT_PARAMETERS: Final = LIST_PARAMETERS | {"resourceId"}
MAX_PAGE: Final = 100  # docs.stripe.com/api/pagination: "ranging between 1 and 100"
MAX_PARAMETERS: Final = 32  # ours: the longest list of filters in the manifest has 23
MAX_PARAMETER_CHARS: Final = 500  # ours: Stripe's longest filter values are ids and e-mail addresses
MAX_PARAMETER_INTEGER: Final = 2**63 - 1

_KEY = re.compile(r"(?:sk|rk)_(?:[a-z]{1,16}_)?(?:live|test)_[A-Za-z0-9_]{1,240}")  # secret, restricted, organisation's
_ACCOUNT = re.compile(r"acct_[A-Za-z0-9]{1,26}")  # at most 31 characters: they are one field element
_RESOURCE = re.compile(r"[a-z]{2,8}_[A-Za-z0-9_]{1,55}")  # at most 64 characters, the manifest's longest segment
_PARAMETER = re.compile(r"[a-z_]{1,40}(?:\[[a-z0-9_]{0,20}\])?")
_LIMIT = re.compile(r"[1-9][0-9]{0,2}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The caller's params. `query` is in the caller's order; `headers` holds the key."""

    account: str | None
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    query: tuple[tuple[str, str], ...]

    @property
    def query_text(self) -> str | None:
        """The query as it is sent, None where there is none."""
        return percent.form(self.query) or None

    @property
    def limit(self) -> int | None:
        """The largest page asked for. Raises: ParamsRefused, for one outside Stripe's range."""
        text = dict(self.query).get("limit")
        if text is None:
            return None
        if not _LIMIT.fullmatch(text) or int(text) > MAX_PAGE:
            raise ParamsRefused("queryParams", f"limit is a whole number from 1 to {MAX_PAGE}")
        return int(text)

    @property
    def cursors(self) -> tuple[str | None, str | None]:
        """`starting_after` and `ending_before`. Raises: ParamsRefused, for both at once."""
        query = dict(self.query)
        after, before = query.get("starting_after"), query.get("ending_before")
        if after is not None and before is not None:
            raise ParamsRefused("queryParams", "starting_after and ending_before exclude each other")
        return after, before

    def ask(self, path: str) -> Ask:
        """Return the call for `path`."""
        return Ask(method="GET", url=BASE + "?".join(filter(None, (path, self.query_text))), headers=self.headers)


def read(params: Params) -> Asked:
    """Return the params of any operation. Raises: ParamsRefused."""
    key = given.text(params, "apiKey", _KEY, "a secret or restricted Stripe key")
    headers, account = [("Authorization", f"Bearer {key}"), ("Stripe-Version", API_VERSION)], None
    if params.get("stripeAccount") is not None:
        account = given.text(params, "stripeAccount", _ACCOUNT, "an account id such as acct_1032D82eZvKYlo2C")
        headers.append(("Stripe-Account", account))
    return Asked(account=account, headers=tuple(headers), query=_read_query(params.get("queryParams")))


def read_resource(params: Params) -> str:
    """Return the id of the object that is asked for. Raises: ParamsRefused."""
    return given.text(params, "resourceId", _RESOURCE, "a Stripe id such as ch_3Ln3fO2eZvKYlo2C1kqP3AMr")


def _read_query(value: object) -> tuple[tuple[str, str], ...]:
    if value is None:
        return ()
    if not isinstance(value, dict) or len(value) > MAX_PARAMETERS:
        raise ParamsRefused("queryParams", f"expected an object of at most {MAX_PARAMETERS} texts and whole numbers")
    return tuple((_read_name(name), _read_value(entry)) for name, entry in value.items())


def _read_name(name: object) -> str:
    if not isinstance(name, str) or not _PARAMETER.fullmatch(name):
        raise ParamsRefused("queryParams", "a name is not one of Stripe's, such as limit or created[gte]")
    return name


def _read_value(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MAX_PARAMETER_INTEGER:
        return str(value)
    try:
        text = jsontext.text("", value)
    except MessageError:
        raise ParamsRefused("queryParams", "a value is not a text or a whole number") from None
    if not 1 <= len(text) <= MAX_PARAMETER_CHARS or not text.isprintable():
        raise ParamsRefused("queryParams", f"a text has 1 to {MAX_PARAMETER_CHARS} printable characters")
    return text
