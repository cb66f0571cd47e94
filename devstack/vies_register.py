"""What VIES knows and how it decides: member states, number pattern, faults, and made-up companies.

Rule: one check, one Verdict or one ViesFault; nothing here knows XML, JSON or HTTP. Sources: the texts of
checkVatService.wsdl and checkVatTestService.wsdl. Every company is made up.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

MEMBER_STATES = (
    *("AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "EL", "ES", "FI", "FR", "HR", "HU"),
    *("IE", "IT", "LT", "LU", "LV", "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK", "XI"),
)
VAT_NUMBER = re.compile(r"[0-9A-Za-z+*.]{2,12}")  # the WSDL's own pattern
WITHHELD = "---"  # a value that the member state does not give out

# The numbers of checkVatTestService.wsdl; every other number is SERVICE_UNAVAILABLE there.
TEST_SERVICE: Mapping[str, str] = {
    "100": "VALID",
    "200": "INVALID",
    "201": "INVALID_INPUT",
    "202": "INVALID_REQUESTER_INFO",
    "300": "SERVICE_UNAVAILABLE",
    "301": "MS_UNAVAILABLE",
    "302": "TIMEOUT",
    "400": "VAT_BLOCKED",
    "401": "IP_BLOCKED",
    "500": "GLOBAL_MAX_CONCURRENT_REQ",
    "501": "GLOBAL_MAX_CONCURRENT_REQ_TIME",
    "600": "MS_MAX_CONCURRENT_REQ",
    "601": "MS_MAX_CONCURRENT_REQ_TIME",
}
FAULTS = frozenset(TEST_SERVICE.values()) - {"VALID", "INVALID"}

# The same for the real service of this stand-in: six zeros before the number of the test service, in any member state.
FAULT_NUMBERS: Mapping[str, str] = {f"000000{short}": code for short, code in TEST_SERVICE.items() if code in FAULTS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Company:
    """Name and address as a member state gives them out; lines of an address are split by newline."""

    name: str = WITHHELD
    address: str = WITHHELD


NOBODY = Company()
TEST_COMPANY = Company(name="John Doe", address="123 Main St, Anytown, UK")  # of the test service

COMPANIES: Mapping[tuple[str, str], Company] = {
    ("PT", "507172230"): Company(name="TYTLE LDA", address="RUA 123"),
    ("IE", "1234567FA"): Company(name="O'Madeup & Sons <Dublin> Ltd", address="1 NOWHERE QUAY\nDUBLIN 99\n"),
    ("EL", "999999999"): Company(name="ΦΑΝΤΑΣΤΙΚΗ", address="ΟΔΟΣ ΟΝΕΙΡΩΝ 7\n10000 ΑΘΗΝΑ"),
    ("FR", "00999999999"): Company(name="SARL IMAGINAIRE", address="1 RUE DE L'ÉTÉ\n75999 PARIS"),
    ("NL", "999999999B99"): Company(name="VERZONNEN B.V.", address="KERKSTRAAT 00001\n9999ZZ NERGENS"),
    ("ES", "B99999999"): NOBODY,  # Spain and Germany confirm a number and give nothing else out
    ("DE", "999999999"): NOBODY,
    ("XI", "999999999"): Company(name="MADE UP (NI) LTD", address="1 NOWHERE ROAD\nBELFAST"),
}


class ViesFault(Exception):
    """A fault of the service; `code` is one of `FAULTS`."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The answer to one check, before it is written as XML or JSON."""

    country: str
    number: str
    valid: bool
    company: Company
    request_identifier: str  # empty when the requester did not name itself


class Register:
    """All member states' registers behind one check.

    `faults` makes more numbers of the real service fail by name than `FAULT_NUMBERS` does; the `unavailable`
    states answer MS_UNAVAILABLE. Raises: ValueError for a fault that VIES does not have.
    """

    def __init__(
        self,
        *,
        companies: Mapping[tuple[str, str], Company] = COMPANIES,
        faults: Mapping[tuple[str, str], str] | None = None,
        unavailable: frozenset[str] = frozenset(),
    ) -> None:
        self.unavailable = unavailable
        self._companies = companies
        self._faults = dict(faults or {})
        self._consultations = 0
        if unknown := set(self._faults.values()) - FAULTS:
            raise ValueError(f"not a fault of VIES: {', '.join(sorted(unknown))}")

    def check(self, query: Mapping[str, str], *, test_service: bool) -> Verdict:
        """Decides one check, given under the field names of the WSDL. Raises: ViesFault."""
        country, number = query.get("countryCode", ""), query.get("vatNumber", "")
        requester = (query.get("requesterCountryCode", ""), query.get("requesterVatNumber", ""))
        if any(requester) and not _plausible(*requester):
            raise ViesFault("INVALID_REQUESTER_INFO")
        company = _test_company(number) if test_service else self._registered(country, number)
        return Verdict(
            country=country,
            number=number,
            valid=company is not None,
            company=company or NOBODY,
            request_identifier=self._consultation() if any(requester) else "",
        )

    def _registered(self, country: str, number: str) -> Company | None:
        if not _plausible(country, number):
            raise ViesFault("INVALID_INPUT")
        if fault := self._faults.get((country, number)) or FAULT_NUMBERS.get(number):
            raise ViesFault(fault)
        if country in self.unavailable:
            raise ViesFault("MS_UNAVAILABLE")
        return self._companies.get((country, number))

    def _consultation(self) -> str:
        self._consultations += 1
        return f"WAPIAAAA{self._consultations:08d}"  # the shape of real ones; what they encode: not found


def _plausible(country: str, number: str) -> bool:
    return country in MEMBER_STATES and VAT_NUMBER.fullmatch(number) is not None


def _test_company(number: str) -> Company | None:
    outcome = TEST_SERVICE.get(number, "SERVICE_UNAVAILABLE")
    if outcome in FAULTS:
        raise ViesFault(outcome)
    return TEST_COMPANY if outcome == "VALID" else None
