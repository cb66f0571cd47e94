"""VIES stand-in over HTTP: the SOAP service checkVat / checkVatApprox, its test service, the REST API.

Rule: what is published is answered as published; what is not is marked "not found". Sources: the two
WSDLs, swagger_publicVAT.yaml, and answers of the live service as people quoted them (prefixes env and
ns2 since August 2022, dates with an offset, `---` for withheld values).

Not found in any published text, and chosen here: the HTTP status of a SOAP fault (seen live: 200; SOAP
1.1 section 6.2 demands 500; `fault_status` sets it), which member states compare trader data, the
Content-Type of SOAP answers, and what an unreadable envelope gives today.

Numbers that make it fail, or answer wrongly, are listed in vies_trouble.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping
from xml.etree import ElementTree

from devstack import vies_json, vies_xml
from devstack.upstream import Request, Response
from devstack.vies_register import NOBODY, WITHHELD, Register, Verdict, ViesFault
from devstack.vies_trouble import as_ordered

HOST = "ec.europa.eu"
BASE = "/taxation_customs/vies"
SOAP_SERVICES = ("checkVatService", "checkVatTestService")


class Vies:
    """The stand-in as a handler: `Vies()(request)`; put it under `HOST` of an UpstreamServer.

    `register` decides, `clock` gives the time of the answers, `fault_status` the HTTP status of a SOAP
    fault.
    """

    def __init__(
        self,
        register: Register | None = None,
        *,
        fault_status: int = 200,
        clock: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        self._register = register or Register()
        self._fault_status = fault_status
        self._clock = clock

    def __call__(self, request: Request) -> Response:
        """Answers one request; 404 for a path that VIES does not have."""
        path = request.path.removeprefix(BASE)
        if path == request.path:
            return _not_found()
        for service in SOAP_SERVICES:
            if path == f"/services/{service}":
                return self._soap_service(request, service)
            if path in (f"/{service}.wsdl", f"/services/{service}.wsdl"):
                return _wsdl(service)
        return self._rest(request, path)

    def _soap_service(self, request: Request, service: str) -> Response:
        if request.method in ("GET", "HEAD") and _asks_for_wsdl(request):
            return _wsdl(service)
        if request.method != "POST":
            return _not_found()
        if not request.headers.get("content-type", "").startswith("text/xml"):
            return _html_error()
        if action := request.headers.get("soapaction", "").strip('" '):
            return self._fault("env:Server", f"The given SOAPAction {action} does not match an operation.")
        return self._soap_call(request.body, test_service=service == "checkVatTestService")

    def _soap_call(self, body: bytes, *, test_service: bool) -> Response:
        try:
            operation, query = vies_xml.parse_call(body)
            verdict = self._register.check(query, test_service=test_service)
        except (ElementTree.ParseError, vies_xml.NotACallError):
            return self._fault("env:Client", "Error reading XMLStreamReader.")  # as seen in 2018
        except ViesFault as fault:
            return self._fault("env:Server", fault.code)
        answer = _xml(200, vies_xml.answer(operation, self._soap_fields(operation, query, verdict)))
        return as_ordered(verdict.number, answer) if operation == "checkVat" else answer

    def _soap_fields(self, operation: str, query: Mapping[str, str], verdict: Verdict) -> list[tuple[str, str]]:
        today = self._clock().astimezone(dt.UTC).date().isoformat()
        fields = [
            ("countryCode", verdict.country),
            ("vatNumber", verdict.number),
            ("requestDate", f"{today}+00:00"),  # live: +01:00 or +02:00, Brussels
            ("valid", "true" if verdict.valid else "false"),
        ]
        if operation == "checkVat":
            return [*fields, ("name", verdict.company.name), ("address", verdict.company.address)]
        return [*fields, *_trader(query, verdict), ("requestIdentifier", verdict.request_identifier)]

    def _fault(self, code: str, text: str) -> Response:
        return _xml(self._fault_status, vies_xml.fault(code, text))

    def _rest(self, request: Request, path: str) -> Response:
        route = (request.method, path)
        if route == ("GET", "/rest-api/check-status"):
            return _json(vies_json.status_answer(self._register.unavailable))
        if route == ("POST", "/rest-api/check-vat-number"):
            return self._rest_check(request.body, test_service=False)
        if route == ("POST", "/rest-api/check-vat-test-service"):
            return self._rest_check(request.body, test_service=True)
        number = re.fullmatch(r"/rest-api/ms/([^/]+)/vat/([^/]+)", path)
        if request.method == "GET" and number:
            return self._rest_number(number[1], number[2], dict(request.query))
        return _not_found()

    def _rest_check(self, body: bytes, *, test_service: bool) -> Response:
        try:
            query = vies_json.read_query(body)
            verdict = self._register.check(query, test_service=test_service)
        except ViesFault as fault:
            return _json(vies_json.fault_answer(fault))  # swagger: 400 and 500; seen live: always 200
        return as_ordered(verdict.number, _json(vies_json.check_answer(query, verdict, self._clock())))

    def _rest_number(self, country: str, number: str, query: Mapping[str, str]) -> Response:
        asked = {
            "countryCode": country,
            "vatNumber": number,
            "requesterCountryCode": query.get("requesterMemberStateCode", ""),
            "requesterVatNumber": query.get("requesterNumber", ""),
        }
        try:
            verdict = self._register.check(asked, test_service=False)
            error = "VALID" if verdict.valid else "INVALID"
        except ViesFault as fault:
            error = fault.code
            verdict = Verdict(country=country, number=number, valid=False, company=NOBODY, request_identifier="")
        return _json(vies_json.number_answer(verdict, error, self._clock()))


def _trader(query: Mapping[str, str], verdict: Verdict) -> list[tuple[str, str]]:
    """The trader fields of checkVatApprox: the register's, or the caller's own with match codes.

    A code is 1 (VALID), 2 (INVALID) or 3 (NOT_PROCESSED: nothing was sent). The stand-in compares the
    name with the register's name and all else with its address.
    """
    sent = {name: query.get(name, "") for name in vies_xml.TRADER_FIELDS}
    if not any(sent.values()):
        name, address = (verdict.company.name, verdict.company.address) if verdict.valid else ("", "")
        return [("traderName", name), ("traderCompanyType", WITHHELD), ("traderAddress", address)]
    fields = list(sent.items())
    for name, value in sent.items():
        register = verdict.company.name if name == "traderName" else verdict.company.address
        fields.append((f"{name}Match", _match(value, register)))
    return fields


def _match(value: str, register: str) -> str:
    if not value:
        return "3"
    return "1" if value.casefold() in register.casefold() else "2"


def _asks_for_wsdl(request: Request) -> bool:
    return any(name.lower() == "wsdl" for name, _ in request.query)


def _wsdl(service: str) -> Response:
    return _xml(200, vies_xml.wsdl(service, f"http://{HOST}{BASE}/services/{service}"))


def _xml(status: int, body: str) -> Response:
    headers = (("Content-Type", "text/xml;charset=UTF-8"),)
    return Response(status=status, headers=headers, body=body.encode("utf-8"))


def _json(value: object) -> Response:
    headers = (("Content-Type", "application/json"),)
    return Response(status=200, headers=headers, body=vies_json.dump(value))


def _html_error() -> Response:
    """Since August 2022 a request that is not text/xml gets the application server's own page."""
    page = b"<HTML><HEAD><TITLE>Error 500--Internal Server Error</TITLE></HEAD><BODY></BODY></HTML>\n"
    return Response(status=500, headers=(("Content-Type", "text/html; charset=UTF-8"),), body=page)


def _not_found() -> Response:
    page = b"<html><head><title>404 Not Found</title></head><body></body></html>\n"
    return Response(status=404, headers=(("Content-Type", "text/html; charset=UTF-8"),), body=page)
