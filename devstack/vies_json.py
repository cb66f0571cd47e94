"""The JSON of VIES's REST API: requests read, answers built in the published field order.

Rule: the fields are those of swagger_publicVAT.yaml and of quoted live answers; a value that is not
given is `---`, and match fields are NOT_PROCESSED (or 3), because live answers never had anything else.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping

from devstack.vies_register import MEMBER_STATES, WITHHELD, Verdict, ViesFault

# name in a REST request -> name in the WSDL
_WSDL_NAMES = {
    "requesterMemberStateCode": "requesterCountryCode",
    "requesterNumber": "requesterVatNumber",
}
_TRADER = ("traderName", "traderStreet", "traderPostalCode", "traderCity", "traderCompanyType")
_APPROXIMATE = ("name", "street", "postalCode", "city", "companyType")


def read_query(body: bytes) -> dict[str, str]:
    """Returns the fields of check-vat-number under the names of the WSDL.

    Raises: ViesFault INVALID_INPUT for anything but an object of strings.
    """
    try:
        given = json.loads(body)
    except ValueError as error:
        raise ViesFault("INVALID_INPUT") from error
    if not isinstance(given, dict) or not all(isinstance(value, str) for value in given.values()):
        raise ViesFault("INVALID_INPUT")
    fields: dict[str, str] = given
    return {_WSDL_NAMES.get(name, name): value for name, value in fields.items()}


def check_answer(query: Mapping[str, str], verdict: Verdict, now: dt.datetime) -> dict[str, object]:
    """The answer of check-vat-number and check-vat-test-service."""
    answer: dict[str, object] = {
        "countryCode": verdict.country,
        "vatNumber": verdict.number,
        "requestDate": instant(now),
        "valid": verdict.valid,
        "requestIdentifier": verdict.request_identifier,
        "name": verdict.company.name,
        "address": verdict.company.address,
    }
    answer |= {name: query.get(name) or WITHHELD for name in _TRADER}
    return answer | {f"{name}Match": "NOT_PROCESSED" for name in _TRADER}


def number_answer(verdict: Verdict, error: str, now: dt.datetime) -> dict[str, object]:
    """The answer of ms/{country}/vat/{number}; `error` is VALID, INVALID or the name of a fault."""
    approximate: dict[str, object] = dict.fromkeys(_APPROXIMATE, WITHHELD)
    approximate |= {f"match{part[0].upper()}{part[1:]}": 3 for part in _APPROXIMATE}
    return {
        "isValid": verdict.valid,
        "requestDate": instant(now),
        "userError": error,
        "name": verdict.company.name,
        "address": verdict.company.address,
        "requestIdentifier": verdict.request_identifier,
        "originalVatNumber": verdict.number,
        "vatNumber": verdict.number,
        "viesApproximate": approximate,
    }


def status_answer(unavailable: frozenset[str]) -> dict[str, object]:
    """The answer of check-status."""
    states = [
        {"countryCode": state, "availability": "Unavailable" if state in unavailable else "Available"}
        for state in MEMBER_STATES
    ]
    return {"vow": {"available": True}, "countries": states}


def fault_answer(fault: ViesFault) -> dict[str, object]:
    """The body that stands where an answer of check-vat-number would."""
    return {"actionSucceed": False, "errorWrappers": [{"error": fault.code}]}


def dump(value: object) -> bytes:
    """Writes a value as the live service does: indented, with a blank on both sides of a colon."""
    return json.dumps(value, ensure_ascii=False, indent=2, separators=(",", " : ")).encode("utf-8")


def instant(now: dt.datetime) -> str:
    """2026-03-23T07:24:03.811Z."""
    now = now.astimezone(dt.UTC)
    return now.strftime("%Y-%m-%dT%H:%M:%S.") + f"{now.microsecond // 1000:03d}Z"
