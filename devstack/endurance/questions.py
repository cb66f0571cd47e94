"""The questions of a run, each about a thing of its own, and what the verified answer to it must say."""

import base64
import json
import random
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from devstack import gnosis, monerium, stripe
from devstack.endurance import invented
from devstack.endurance.invented import Numbers
from tytle_verifier import VerifiedReply

FETCH, QUERY = "/attest/fetch", "/attest/query"
TIMEOUT_MS = 15_000
REST = "https://ec.europa.eu/taxation_customs/vies/rest-api"
FORM = "http://www.sicae.pt/Consulta.aspx"
CHALLENGE_BYTES = 32
LARGE_CHARS = (15_000, 50_000)
JSON_HEADERS = {"Content-Type": "application/json", "Accept": "application/json"}
MODES = ("document", "batch", "session")
Check = Callable[[VerifiedReply], None]


class Wrong(Exception):
    """A verified answer does not say what it must."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """`body` is what `path` is asked; `refused` the code of the refusal that it must get, if it must."""

    kind: str
    service: str
    path: str
    body: Mapping[str, Any]
    check: Check
    refused: str | None = None

    @property
    def mode(self) -> str:
        """How the answer must be attested."""
        return str(self.body["mode"])

    def draw(self) -> bytes:
        """Return bytes to send, with a fresh challenge: others each time."""
        challenge = base64.b64encode(random.SystemRandom().randbytes(CHALLENGE_BYTES)).decode()
        return json.dumps({"timeoutMs": TIMEOUT_MS, **self.body, "challenge": challenge}).encode()


class Catalogue:
    """Makes questions; `chance` chooses. One for each client."""

    def __init__(self, numbers: Numbers, chance: random.Random) -> None:
        self._numbers = numbers
        self._chance = chance

    def vat_by_rest(self) -> Question:
        """A call: the check of a VAT number, with a JSON body."""
        country, number = self._vat()
        asked = {"countryCode": country, "vatNumber": number}
        return self._call("vies call", "vies", f"{REST}/check-vat-number", _is_vat(asked), body=asked)

    def vat_by_path(self) -> Question:
        """A call: the same by its address."""
        country, number = self._vat()
        return self._call("vies by path", "vies", f"{REST}/ms/{country}/vat/{number}", vat_at(country, number))

    def large(self) -> Question:
        """A call with a large body in both directions: VIES repeats the trader's name."""
        country, number = self._vat()
        name = f"{invented.mark(number)}é" * (self._chance.randint(*LARGE_CHARS) // 21)
        asked = {"countryCode": country, "vatNumber": number, "traderName": name}
        return self._call("vies large", "vies", f"{REST}/check-vat-number", _is_vat(asked), body=asked)

    def form(self) -> Question:
        """A call over plain HTTP."""

        def check(verified: VerifiedReply) -> None:
            demand("status", verified.response.status, 200)
            demand("form", b"__VIEWSTATE" in verified.body, True)

        return self._call("sicae form", "sicae", FORM, check)

    def vat_query(self) -> Question:
        """A query: VIES over SOAP or REST."""
        country, number = self._vat()
        operation = self._chance.choice(("vies.check_vat", "vies.check_vat_rest"))
        company = invented.vat_company((country, number))
        values = {"countryCode": country, "vatNumber": number, "valid": company is not None}
        values |= {"name": company and company.name, "address": company and company.address}
        return self._query("vies query", "vies", operation, {"countryCode": country, "vatNumber": number}, values)

    def uk_query(self) -> Question:
        """A query with a credential that need not be sealed: HMRC."""
        number = f"7{self._numbers.next():011d}"
        company = invented.uk_company(number)
        values: dict[str, object] = {"vatNumber": number, "valid": company is not None}
        values |= {"name": company and company.name, "addressLine1": company and company.address["line1"]}
        params = {"vatNumber": number, "accessToken": invented.HMRC_TOKEN}
        return self._query("hmrc query", "vies", "hmrc.lookup", params, values)

    def company_query(self) -> Question:
        """A query of two upstream calls: SICAE."""
        number = invented.nipc(self._numbers.next())
        company = invented.portuguese_company(number)
        values: dict[str, object] = {"nif": number, "found": company is not None}
        values |= {"name": company and company.name, "cae1Desc": company and company.activities[0][1]}
        return self._query("sicae query", "sicae", "sicae.lookup", {"nif": number}, values)

    def charge_query(self) -> Question:
        """A query that has to be sealed: Stripe."""
        name = f"ch_{self._numbers.next():020d}"
        cents = invented.amount(name)
        values = {"id": name, "found": True, "amount": cents, "amountCaptured": cents, "currency": "eur"}
        params = {"apiKey": stripe.KEY, "resourceId": name}
        return self._query("stripe query", "stripe-payment", "stripe.get_charge", params, values)

    def order_query(self) -> Question:
        """A query of three upstream calls at two hosts, that has to be sealed: Monerium and Gnosis."""
        name = str(uuid.UUID(int=self._numbers.next() << 80))
        values = {"orderId": name, "found": True, "amount": invented.order_amount(name), "currency": "eur"}
        params = {"accessToken": monerium.TOKEN, "orderId": name}
        question = self._query("monerium query", "monerium-payment", "monerium.order_with_balance", params, values)

        def check(verified: VerifiedReply) -> None:
            question.check(verified)
            found = verified.result.values
            blocks = _whole(found["blockNumber"]) - gnosis.FIRST_BLOCK
            demand("balance", _whole(found["balance"]), gnosis.HUNDRED + invented.GROWTH * blocks)

        return Question(kind=question.kind, service=question.service, path=QUERY, body=question.body, check=check)

    def refused(self) -> Question:
        """What may not be asked: another path, a host that nobody serves, an operation that there is not."""
        url, code = self._chance.choice(
            (
                (f"https://ec.europa.eu/{invented.mark(str(self._numbers.next()))}", "403"),
                ("https://ec.europa.eu:444/", "400"),
                ("https://example.com/", "404"),
            )
        )
        body = {"url": url, "method": "GET", "mode": "document"}
        return Question(kind="refusal", service="vies", path=FETCH, body=body, check=_nothing, refused=code)

    def _vat(self) -> tuple[str, str]:
        return self._chance.choice(("PT", "DE", "FR", "IT")), f"{self._numbers.next():012d}"

    def _call(
        self, kind: str, service: str, url: str, check: Check, *, body: Mapping[str, str] | None = None
    ) -> Question:
        asked: dict[str, Any] = {"url": url, "method": "GET", "headers": {}, "mode": self._chance.choice(MODES)}
        if body is not None:
            asked |= {"method": "POST", "headers": JSON_HEADERS, "body": json.dumps(body)}
        return Question(kind=kind, service=service, path=FETCH, body=asked, check=check)

    def _query(
        self, kind: str, service: str, operation: str, params: Mapping[str, str], values: Mapping[str, object]
    ) -> Question:
        body = {"service": service, "operation": operation, "params": params, "mode": self._chance.choice(MODES)}

        def check(verified: VerifiedReply) -> None:
            found = verified.result.values
            for name, value in values.items():
                demand(name, found[name], value)

        return Question(kind=kind, service=service, path=QUERY, body=body, check=check)


def demand(name: str, got: object, expected: object) -> None:
    """Raises: Wrong, where one is not the other."""
    if got != expected or type(got) is not type(expected):
        raise Wrong(f"{name}: got {got!r:.200}, expected {expected!r:.200}")


def vat_at(country: str, number: str) -> Check:
    """Return the check of the answer to GET ms/COUNTRY/vat/NUMBER."""
    company = invented.vat_company((country, number))

    def check(verified: VerifiedReply) -> None:
        demand("status", verified.response.status, 200)
        said = json.loads(verified.body)
        demand("vatNumber", said["vatNumber"], number)
        demand("isValid", said["isValid"], company is not None)
        demand("name", said["name"], company.name if company else "---")

    return check


def charge_as_sent(name: str) -> Check:
    """Return the check of the answer to GET /v1/charges/NAME: all of it."""

    def check(verified: VerifiedReply) -> None:
        demand("status", verified.response.status, 200)
        demand("charge", json.loads(verified.body), invented.charge(name))

    return check


def _is_vat(asked: Mapping[str, str]) -> Check:
    company = invented.vat_company((asked["countryCode"], asked["vatNumber"]))

    def check(verified: VerifiedReply) -> None:
        demand("status", verified.response.status, 200)
        said = json.loads(verified.body)
        for name, value in asked.items():
            demand(name, said[name], value)
        demand("valid", said["valid"], company is not None)
        demand("name", said["name"], company.name if company else "---")

    return check


def _nothing(_: VerifiedReply) -> None:
    raise Wrong("an answer to what had to be refused")


def _whole(value: object) -> int:
    return int(str(value))
