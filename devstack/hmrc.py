"""HMRC stand-in: "Check a UK VAT number" 1.0 (open) and 2.0 (OAuth 2.0 client credentials).

Rule: bodies, codes and messages are those of HMRC's own application.yaml (1.0 and 2.0) and of the
service's published source; those of the platform in front of it (401, 404, 406, 429 and the token
endpoint) are those of the API reference guide. Companies are HMRC's own sandbox numbers with made-up
names.

Version 1.0 was to be withdrawn in January 2025; since then the live platform was seen to answer it, and a
request that names no version, with 404 MATCHING_RESOURCE_NOT_FOUND: `versions=("2.0",)` does the same.
Not found: when the platform answers 406; here, for an Accept that names HMRC's type without a version.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote

from devstack.hmrc_trouble import as_ordered
from devstack.upstream import Request, Response

HOST = "api.service.hmrc.gov.uk"
LOOKUP = "/organisations/vat/check-vat-number/lookup/"
TOKEN_PATH = "/oauth/token"  # noqa: S105 (a path)
TOKEN_LIFETIME_S = 14_400  # reference guide: an access token lives four hours
VRN = re.compile(r"[0-9]{9}|[0-9]{12}")
ACCEPT = re.compile(r"application/vnd\.hmrc\.([0-9]+\.[0-9]+)\+json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Company:
    """A registered business. `address` has line1 and countryCode, and line2..line5 and postcode if any."""

    name: str
    address: Mapping[str, str]


COMPANIES: Mapping[str, Company] = {
    "553557881": Company(  # the example of application.yaml
        name="Credite Sberger Donal Inc.",
        address={"line1": "131B Barton Hamlet", "postcode": "SW97 5CK", "countryCode": "GB"},
    ),
    "146295999727": Company(
        name="Made Up & Daughters Ltd",
        address={
            "line1": "Unit 4",
            "line2": "Nowhere Trading Estate",
            "line3": "Nowhere Lane",
            "line4": "Imaginary",
            "postcode": "ZZ99 9ZZ",
            "countryCode": "GB",
        },
    ),
    "948561936944": Company(  # postcode is optional in the service's source
        name="Sans Code Postal", address={"line1": "1 Rue Imaginaire", "countryCode": "FR"}
    ),
    **{
        f"00000090{digit}": Company(name="To Be Spoilt Ltd", address={"line1": "1 Nowhere Road", "countryCode": "GB"})
        for digit in range(1, 10)
    },
}

# status, code, message
Problem = tuple[int, str, str]
NOT_FOUND: Problem = (404, "NOT_FOUND", "targetVrn does not match a registered company")
REQUESTER_NOT_FOUND: Problem = (403, "INVALID_REQUEST", "requesterVrn does not match a registered company")
INTERNAL: Problem = (500, "INTERNAL_SERVER_ERROR", "Unknown error")
NO_RESOURCE: Problem = (
    404,
    "MATCHING_RESOURCE_NOT_FOUND",
    "A resource with the name in the request can not be found in the API",
)
BAD_ACCEPT: Problem = (406, "ACCEPT_HEADER_INVALID", "The accept header is missing or invalid")
NO_CREDENTIALS: Problem = (401, "MISSING_CREDENTIALS", "Authentication information is not provided")
BAD_CREDENTIALS: Problem = (401, "INVALID_CREDENTIALS", "Invalid Authentication information provided")
THROTTLED: Problem = (
    429,
    "MESSAGE_THROTTLED_OUT",
    "The request for the API is throttled as you have exceeded your quota.",
)
BAD_SCOPE: Problem = (403, "INVALID_SCOPE", "Can not access the required resource. Ensure this token has all scopes.")
BAD_TARGET: Problem = (400, "INVALID_REQUEST", "Invalid targetVrn - Vrn parameters should be 9 or 12 digits")

PROBLEM_NUMBERS: Mapping[str, Problem] = {
    "000000400": BAD_TARGET,
    "000000401": BAD_CREDENTIALS,
    "000000403": BAD_SCOPE,
    "000000404": NO_RESOURCE,
    "000000406": BAD_ACCEPT,
    "000000429": THROTTLED,
    "000000500": INTERNAL,
}


class Hmrc:
    """The stand-in as a handler: `Hmrc()(request)`; put it under `HOST` of an UpstreamServer.

    `problems` makes target numbers fail that hmrc_trouble does not list; `token` is what version 2.0 accepts and what
    the token endpoint gives to `client` (id and secret). `clock` gives the processing date.
    """

    def __init__(
        self,
        *,
        companies: Mapping[str, Company] = COMPANIES,
        problems: Mapping[str, Problem] | None = None,
        versions: tuple[str, ...] = ("1.0", "2.0"),
        token: str = "bb7fed3fe10dd235a2ccda3d50fb",  # noqa: S107 (the example of application.yaml)
        client: tuple[str, str] = ("devstack", "devstack-secret"),
        clock: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        self._companies = companies
        self._problems = {**PROBLEM_NUMBERS, **(problems or {})}
        self._versions = versions
        self._token = token
        self._client = client
        self._clock = clock
        self._consultations = 0

    def __call__(self, request: Request) -> Response:
        """Answers one request."""
        if (request.method, request.path) == ("POST", TOKEN_PATH):
            return self._grant(request)
        if request.method not in ("GET", "HEAD") or not request.path.startswith(LOOKUP):
            return _problem(NO_RESOURCE)
        if problem := self._platform_problem(request):
            return _problem(problem)
        numbers = [unquote(part) for part in request.path.removeprefix(LOOKUP).split("/")]
        if len(numbers) > 2:
            return _problem(NO_RESOURCE)
        return as_ordered(numbers[0], self._lookup(*numbers))

    def _platform_problem(self, request: Request) -> Problem | None:
        accept = request.headers.get("accept", "")
        named = ACCEPT.fullmatch(accept)
        if named is None and "vnd.hmrc" in accept:
            return BAD_ACCEPT
        version = named[1] if named else "1.0"
        if version not in self._versions:
            return NO_RESOURCE
        if version == "1.0":
            return None
        credentials = request.headers.get("authorization")
        if credentials is None:
            return NO_CREDENTIALS
        return None if credentials == f"Bearer {self._token}" else BAD_CREDENTIALS

    def _lookup(self, target: str, requester: str | None = None) -> Response:
        if problem := _invalid(target, requester) or self._problems.get(target):
            return _problem(problem)
        if requester is not None and target in self._companies and requester not in self._companies:
            return _problem(REQUESTER_NOT_FOUND)
        company = self._companies.get(target)
        if company is None:
            return _problem(NOT_FOUND)
        answer: dict[str, object] = {
            "target": {"name": company.name, "vatNumber": target, "address": dict(company.address)}
        }
        if requester is not None:
            self._consultations += 1
            answer |= {"requester": requester, "consultationNumber": f"dev-{self._consultations:05d}"}
        answer["processingDate"] = self._clock().astimezone(dt.UTC).isoformat(timespec="seconds")
        return _json(200, answer)

    def _grant(self, request: Request) -> Response:
        """The client credentials grant (RFC 6749 section 4.4) of the platform."""
        form = {name: values[-1] for name, values in parse_qs(request.body.decode("latin-1")).items()}
        if (form.get("client_id"), form.get("client_secret")) != self._client:
            error = {"error": "invalid_client", "error_description": "invalid client id or secret"}
            return _json(401, error)
        if form.get("grant_type") != "client_credentials":
            error = {"error": "invalid_request", "error_description": "unsupported grant_type"}
            return _json(400, error)
        return _json(
            200,
            {
                "access_token": self._token,
                "token_type": "bearer",
                "expires_in": TOKEN_LIFETIME_S,
                "scope": "read:vat",
            },
        )


def _invalid(target: str, requester: str | None) -> Problem | None:
    wrong = [] if VRN.fullmatch(target) else ["targetVrn"]
    if requester is not None and not VRN.fullmatch(requester):
        wrong.append("requesterVrn")
    if not wrong:
        return None
    return 400, "INVALID_REQUEST", f"Invalid {' and '.join(wrong)} - Vrn parameters should be 9 or 12 digits"


def _problem(problem: Problem) -> Response:
    status, code, message = problem
    return _json(status, {"code": code, "message": message})


def _json(status: int, value: Mapping[str, object]) -> Response:
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    return Response(status=status, headers=(("Content-Type", "application/json"),), body=body)
