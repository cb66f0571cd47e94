"""The stand-ins over real TLS: VIES in SOAP and REST, HMRC 1.0 and 2.0, their faults, keep-alive and SNI."""

import datetime as dt
import http.client
import json
import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree

import pytest

from devstack import hmrc, vies, vies_xml
from devstack.hmrc import Hmrc
from devstack.relay import Relay
from devstack.tls_pki import Authority
from devstack.upstream import Handler, Request, Response, UpstreamServer
from devstack.vies import Vies
from devstack.vies_register import FAULTS, TEST_SERVICE, Register

NOW = dt.datetime(2025, 1, 2, 3, 4, 5, 678_901, tzinfo=dt.UTC)
SOAP = f"{vies.BASE}/services/checkVatService"
SOAP_TEST = f"{vies.BASE}/services/checkVatTestService"
REST = f"{vies.BASE}/rest-api"
XML = {"Content-Type": "text/xml;charset=UTF-8", "SOAPAction": ""}
TYPES = f"{{{vies_xml.TYPES}}}"
ENV = f"{{{vies_xml.SOAP}}}"
V1 = {"Accept": "application/vnd.hmrc.1.0+json"}
V2 = {"Accept": "application/vnd.hmrc.2.0+json"}


class Upstreams:
    """A running server for both hosts and what a client needs to reach it."""

    def __init__(self, server: UpstreamServer, authority: Authority) -> None:
        self.server = server
        self.context = ssl.create_default_context(cadata=authority.roots_pem)

    def connect(self, host: str) -> http.client.HTTPSConnection:
        connection = http.client.HTTPSConnection(host, context=self.context, timeout=5)
        plain = socket.create_connection(self.server.address, timeout=5)
        connection.sock = self.context.wrap_socket(plain, server_hostname=host)
        return connection

    def call(
        self, host: str, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, str, bytes]:
        connection = self.connect(host)
        try:
            connection.request(method, path, body=body, headers=dict(headers or {}))
            response = connection.getresponse()
            return response.status, response.headers["Content-Type"], response.read()
        finally:
            connection.close()


@pytest.fixture(scope="module")
def upstreams() -> Iterator[Upstreams]:
    authority = Authority()
    register = Register(faults={("PT", "500000000"): "MS_MAX_CONCURRENT_REQ"}, unavailable=frozenset({"MT"}))
    handlers: dict[str, Handler] = {
        vies.HOST: Vies(register, clock=lambda: NOW),
        hmrc.HOST: Hmrc(problems={"282415407": hmrc.INTERNAL, "309335202": hmrc.THROTTLED}, clock=lambda: NOW),
    }
    with UpstreamServer(handlers, authority=authority) as server:
        yield Upstreams(server, authority)


def _envelope(operation: str, **fields: str) -> bytes:
    inner = "".join(f"<urn:{name}>{value}</urn:{name}>" for name, value in fields.items())
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<soapenv:Envelope xmlns:soapenv="{vies_xml.SOAP}" xmlns:urn="{vies_xml.TYPES}">'
        f"<soapenv:Header/><soapenv:Body><urn:{operation}>{inner}</urn:{operation}></soapenv:Body>"
        "</soapenv:Envelope>"
    ).encode()


def _soap(upstreams: Upstreams, path: str, operation: str, **fields: str) -> tuple[int, dict[str, str]]:
    """Status and the fields of the answer, or of the fault, by local name."""
    status, kind, body = upstreams.call(vies.HOST, "POST", path, _envelope(operation, **fields), XML)
    assert kind == "text/xml;charset=UTF-8"
    envelope = ElementTree.fromstring(body)  # noqa: S314 (our own server)
    content = envelope.find(f"{ENV}Body")
    assert content is not None
    return status, {field.tag.rpartition("}")[2]: field.text or "" for field in content[0]}


def _json(answer: tuple[int, str, bytes]) -> tuple[int, Any]:
    status, kind, body = answer
    assert kind == "application/json"
    return status, json.loads(body)


# --- VIES, SOAP ----------------------------------------------------------------------------------------------------


def test_check_vat_of_a_registered_number_is_answered_byte_for_byte(upstreams: Upstreams) -> None:
    body = _envelope("checkVat", countryCode="PT", vatNumber="507172230")
    assert upstreams.call(vies.HOST, "POST", SOAP, body, XML) == (
        200,
        "text/xml;charset=UTF-8",
        b'<env:Envelope xmlns:env="http://schemas.xmlsoap.org/soap/envelope/"><env:Header/><env:Body>'
        b'<ns2:checkVatResponse xmlns:ns2="urn:ec.europa.eu:taxud:vies:services:checkVat:types">'
        b"<ns2:countryCode>PT</ns2:countryCode><ns2:vatNumber>507172230</ns2:vatNumber>"
        b"<ns2:requestDate>2025-01-02+00:00</ns2:requestDate><ns2:valid>true</ns2:valid>"
        b"<ns2:name>TYTLE LDA</ns2:name><ns2:address>RUA 123</ns2:address>"
        b"</ns2:checkVatResponse></env:Body></env:Envelope>",
    )


def test_markup_and_foreign_letters_survive_the_xml(upstreams: Upstreams) -> None:
    _, fields = _soap(upstreams, SOAP, "checkVat", countryCode="IE", vatNumber="1234567FA")
    assert fields["name"] == "O'Madeup & Sons <Dublin> Ltd"
    assert fields["address"] == "1 NOWHERE QUAY\nDUBLIN 99\n"
    _, fields = _soap(upstreams, SOAP, "checkVat", countryCode="EL", vatNumber="999999999")
    assert fields["address"] == "ΟΔΟΣ ΟΝΕΙΡΩΝ 7\n10000 ΑΘΗΝΑ"


@pytest.mark.parametrize(("country", "number"), [("PT", "999999990"), ("ES", "B00000000")])
def test_an_unknown_number_is_invalid_with_dashes(upstreams: Upstreams, country: str, number: str) -> None:
    status, fields = _soap(upstreams, SOAP, "checkVat", countryCode=country, vatNumber=number)
    assert (status, fields["valid"], fields["name"], fields["address"]) == (200, "false", "---", "---")


@pytest.mark.parametrize(
    ("country", "number"), [("XX", "507172230"), ("GB", "553557881"), ("PT", ""), ("pt", "507172230"), ("PT", "5 0")]
)
def test_an_impossible_number_is_invalid_input(upstreams: Upstreams, country: str, number: str) -> None:
    expected = (200, {"faultcode": "env:Server", "faultstring": "INVALID_INPUT"})
    assert _soap(upstreams, SOAP, "checkVat", countryCode=country, vatNumber=number) == expected


@pytest.mark.parametrize(("number", "outcome"), TEST_SERVICE.items())
@pytest.mark.parametrize("operation", vies_xml.OPERATIONS)
def test_the_test_service_answers_by_number(upstreams: Upstreams, operation: str, number: str, outcome: str) -> None:
    _, fields = _soap(upstreams, SOAP_TEST, operation, countryCode="DE", vatNumber=number)
    if outcome in FAULTS:
        assert fields == {"faultcode": "env:Server", "faultstring": outcome}
    else:
        assert fields["valid"] == ("true" if outcome == "VALID" else "false")


def test_any_other_number_of_the_test_service_is_service_unavailable(upstreams: Upstreams) -> None:
    _, fields = _soap(upstreams, SOAP_TEST, "checkVat", countryCode="DE", vatNumber="507172230")
    assert fields["faultstring"] == "SERVICE_UNAVAILABLE"


def test_faults_of_the_real_service_can_be_ordered(upstreams: Upstreams) -> None:
    _, busy = _soap(upstreams, SOAP, "checkVat", countryCode="PT", vatNumber="500000000")
    _, down = _soap(upstreams, SOAP, "checkVat", countryCode="MT", vatNumber="12345678")
    assert (busy["faultstring"], down["faultstring"]) == ("MS_MAX_CONCURRENT_REQ", "MS_UNAVAILABLE")
    with pytest.raises(ValueError, match="OUT_OF_COFFEE"):
        Register(faults={("PT", "500000000"): "OUT_OF_COFFEE"})


def test_check_vat_approx_gives_a_consultation_number_to_a_requester(upstreams: Upstreams) -> None:
    asked = {"countryCode": "PT", "vatNumber": "507172230"}
    _, anonymous = _soap(upstreams, SOAP, "checkVatApprox", **asked)
    requester = {"requesterCountryCode": "IE", "requesterVatNumber": "1234567FA"}
    _, named = _soap(upstreams, SOAP, "checkVatApprox", **asked, **requester)
    assert list(anonymous) == [
        *("countryCode", "vatNumber", "requestDate", "valid"),
        *("traderName", "traderCompanyType", "traderAddress", "requestIdentifier"),
    ]
    assert anonymous["requestIdentifier"] == ""
    assert re.fullmatch(r"WAPIAAAA[0-9]{8}", named["requestIdentifier"])
    requester["requesterCountryCode"] = "XX"
    _, fault = _soap(upstreams, SOAP, "checkVatApprox", **asked, **requester)
    assert fault["faultstring"] == "INVALID_REQUESTER_INFO"


def test_check_vat_approx_matches_what_was_sent(upstreams: Upstreams) -> None:
    asked = {"countryCode": "FR", "vatNumber": "00999999999", "traderName": "Sarl Imaginaire", "traderCity": "Lyon"}
    _, fields = _soap(upstreams, SOAP, "checkVatApprox", **asked)
    matches = {name: value for name, value in fields.items() if name.endswith("Match")}
    assert matches == {
        "traderNameMatch": "1",
        "traderCompanyTypeMatch": "3",
        "traderStreetMatch": "3",
        "traderPostcodeMatch": "3",
        "traderCityMatch": "2",
    }


def test_any_prefixes_will_do_and_comments_are_no_content(upstreams: Upstreams) -> None:
    body = (
        f'<a:Envelope xmlns:a="{vies_xml.SOAP}"><!-- <valid>true</valid> --><a:Body>'
        f'<checkVat xmlns="{vies_xml.TYPES}"><countryCode>PT</countryCode>'
        "<vatNumber><![CDATA[507172230]]></vatNumber></checkVat></a:Body></a:Envelope>"
    ).encode()
    status, _, answer = upstreams.call(vies.HOST, "POST", SOAP, body, XML)
    assert (status, b"<ns2:valid>true</ns2:valid>" in answer) == (200, True)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not xml",
        b"<a/>",
        _envelope("checkVat")[:-1],
        _envelope("checkVatAll"),
        f'<e:Envelope xmlns:e="{vies_xml.SOAP}"><e:Body/></e:Envelope>'.encode(),
        f'<e:Envelope xmlns:e="{vies_xml.SOAP}"><e:Body><checkVat/></e:Body></e:Envelope>'.encode(),
    ],
)
def test_what_is_no_call_is_a_client_fault(upstreams: Upstreams, body: bytes) -> None:
    _, _, answer = upstreams.call(vies.HOST, "POST", SOAP, body, XML)
    assert b"<faultcode>env:Client</faultcode>" in answer


def test_a_soap_action_or_another_media_type_is_refused_as_live(upstreams: Upstreams) -> None:
    body = _envelope("checkVat", countryCode="PT", vatNumber="507172230")
    _, _, fault = upstreams.call(vies.HOST, "POST", SOAP, body, XML | {"SOAPAction": '"checkVat"'})
    assert b"The given SOAPAction checkVat does not match an operation." in fault
    status, kind, _ = upstreams.call(vies.HOST, "POST", SOAP, body, {"Content-Type": "application/xml"})
    assert (status, kind) == (500, "text/html; charset=UTF-8")


def test_the_status_of_a_fault_can_be_that_of_soap_1_1() -> None:
    body = _envelope("checkVat", countryCode="DE", vatNumber="301")
    request = Request(method="POST", host=vies.HOST, path=SOAP_TEST, headers={"content-type": "text/xml"}, body=body)
    assert [Vies(fault_status=status)(request).status for status in (200, 500)] == [200, 500]


@pytest.mark.parametrize(
    ("path", "service"),
    [
        (f"{vies.BASE}/checkVatService.wsdl", "checkVatService"),
        (f"{vies.BASE}/services/checkVatService.wsdl", "checkVatService"),
        (f"{SOAP}?wsdl", "checkVatService"),
        (f"{SOAP}?WSDL", "checkVatService"),
        (f"{SOAP_TEST}?wsdl", "checkVatTestService"),
    ],
)
def test_the_wsdl_has_the_published_shape(upstreams: Upstreams, path: str, service: str) -> None:
    status, _, body = upstreams.call(vies.HOST, "GET", path)
    wsdl = ElementTree.fromstring(body)  # noqa: S314 (our own server)
    xsd, names = "{http://www.w3.org/2001/XMLSchema}", "{http://schemas.xmlsoap.org/wsdl/}"
    elements = {
        element.get("name"): [
            (field.get("name"), field.get("type"), field.get("minOccurs"), field.get("nillable"))
            for field in element.iter(f"{xsd}element")
            if field is not element
        ]
        for element in wsdl.findall(f"{names}types/{xsd}schema/{xsd}element")
    }
    assert status == 200
    assert wsdl.get("targetNamespace") == vies_xml.SERVICE
    assert list(elements) == ["checkVat", "checkVatResponse", "checkVatApprox", "checkVatApproxResponse"]
    assert elements["checkVatResponse"] == [
        ("countryCode", "xsd:string", None, None),
        ("vatNumber", "xsd:string", None, None),
        ("requestDate", "xsd:date", None, None),
        ("valid", "xsd:boolean", None, None),
        ("name", "xsd:string", "0", "true"),
        ("address", "xsd:string", "0", "true"),
    ]
    assert len(elements["checkVatApprox"]) == 9
    assert len(elements["checkVatApproxResponse"]) == 16
    assert len(wsdl.findall(f"{names}message")) == 4
    assert [one.get("name") for one in wsdl.findall(f"{names}service")] == [service]


# --- VIES, REST ----------------------------------------------------------------------------------------------------


def _check(upstreams: Upstreams, endpoint: str, **fields: str) -> tuple[int, Any]:
    body = json.dumps(fields).encode()
    headers = {"Content-Type": "application/json"}
    return _json(upstreams.call(vies.HOST, "POST", f"{REST}/{endpoint}", body, headers))


def test_check_vat_number_has_the_published_fields(upstreams: Upstreams) -> None:
    asked = {"countryCode": "PT", "vatNumber": "507172230", "traderName": "TYTLE"}
    assert _check(upstreams, "check-vat-number", **asked) == (
        200,
        {
            "countryCode": "PT",
            "vatNumber": "507172230",
            "requestDate": "2025-01-02T03:04:05.678Z",
            "valid": True,
            "requestIdentifier": "",
            "name": "TYTLE LDA",
            "address": "RUA 123",
            "traderName": "TYTLE",
            "traderStreet": "---",
            "traderPostalCode": "---",
            "traderCity": "---",
            "traderCompanyType": "---",
            "traderNameMatch": "NOT_PROCESSED",
            "traderStreetMatch": "NOT_PROCESSED",
            "traderPostalCodeMatch": "NOT_PROCESSED",
            "traderCityMatch": "NOT_PROCESSED",
            "traderCompanyTypeMatch": "NOT_PROCESSED",
        },
    )


def test_check_vat_number_gives_a_consultation_number_to_a_requester(upstreams: Upstreams) -> None:
    asked = {"countryCode": "PT", "vatNumber": "507172230"}
    requester = {"requesterMemberStateCode": "IE", "requesterNumber": "1234567FA"}
    _, answer = _check(upstreams, "check-vat-number", **asked, **requester)
    assert re.fullmatch(r"WAPIAAAA[0-9]{8}", answer["requestIdentifier"])


@pytest.mark.parametrize(("number", "outcome"), TEST_SERVICE.items())
def test_the_rest_test_service_answers_by_number(upstreams: Upstreams, number: str, outcome: str) -> None:
    status, answer = _check(upstreams, "check-vat-test-service", countryCode="DE", vatNumber=number)
    if outcome in FAULTS:
        expected = {"actionSucceed": False, "errorWrappers": [{"error": outcome}]}
        assert (status, answer) == (200, expected)
    else:
        assert (status, answer["valid"]) == (200, outcome == "VALID")


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"countryCode": 1}', b"\xff", b"{}"])
def test_a_body_that_is_no_request_is_invalid_input(upstreams: Upstreams, body: bytes) -> None:
    answer = _json(upstreams.call(vies.HOST, "POST", f"{REST}/check-vat-number", body))
    assert answer == (200, {"actionSucceed": False, "errorWrappers": [{"error": "INVALID_INPUT"}]})


@pytest.mark.parametrize(
    ("country", "number", "valid", "error"),
    [
        ("PT", "507172230", True, "VALID"),
        ("PT", "999999990", False, "INVALID"),
        ("XX", "507172230", False, "INVALID_INPUT"),
        ("PT", "500000000", False, "MS_MAX_CONCURRENT_REQ"),
        ("MT", "12345678", False, "MS_UNAVAILABLE"),
    ],
)
def test_a_number_by_address(upstreams: Upstreams, country: str, number: str, valid: bool, error: str) -> None:
    status, answer = _json(upstreams.call(vies.HOST, "GET", f"{REST}/ms/{country}/vat/{number}"))
    assert (status, answer["isValid"], answer["userError"]) == (200, valid, error)
    assert list(answer) == [
        *("isValid", "requestDate", "userError", "name", "address", "requestIdentifier"),
        *("originalVatNumber", "vatNumber", "viesApproximate"),
    ]
    assert answer["viesApproximate"]["matchCompanyType"] == 3


def test_check_status_lists_every_member_state(upstreams: Upstreams) -> None:
    status, answer = _json(upstreams.call(vies.HOST, "GET", f"{REST}/check-status"))
    down = [state["countryCode"] for state in answer["countries"] if state["availability"] == "Unavailable"]
    assert (status, answer["vow"], len(answer["countries"]), down) == (200, {"available": True}, 28, ["MT"])


@pytest.mark.parametrize(
    "path",
    ["/", vies.BASE, f"{REST}/ms/PT/vat/", f"{REST}/nothing", f"{SOAP}.txt", SOAP, f"{vies.BASE}/checkVatService?wsdl"],
)
def test_what_vies_does_not_have_is_not_found(upstreams: Upstreams, path: str) -> None:
    assert upstreams.call(vies.HOST, "GET", path)[0] == 404


# --- HMRC ----------------------------------------------------------------------------------------------------------


def _lookup(upstreams: Upstreams, numbers: str, headers: Mapping[str, str] = V1) -> tuple[int, Any]:
    return _json(upstreams.call(hmrc.HOST, "GET", f"{hmrc.LOOKUP}{numbers}", headers=headers))


def test_a_lookup_has_the_published_fields(upstreams: Upstreams) -> None:
    target = {
        "name": "Credite Sberger Donal Inc.",
        "vatNumber": "553557881",
        "address": {"line1": "131B Barton Hamlet", "postcode": "SW97 5CK", "countryCode": "GB"},
    }
    date = "2025-01-02T03:04:05+00:00"
    assert _lookup(upstreams, "553557881") == (200, {"target": target, "processingDate": date})
    _, answer = _lookup(upstreams, "553557881/146295999727")
    number = answer.pop("consultationNumber")
    assert answer == {"target": target, "requester": "146295999727", "processingDate": date}
    assert len(number) == 9


@pytest.mark.parametrize(
    ("numbers", "status", "code", "message"),
    [
        ("123", 400, "INVALID_REQUEST", "Invalid targetVrn - Vrn parameters should be 9 or 12 digits"),
        ("553557881/x", 400, "INVALID_REQUEST", "Invalid requesterVrn - Vrn parameters should be 9 or 12 digits"),
        ("1/2", 400, "INVALID_REQUEST", "Invalid targetVrn and requesterVrn - Vrn parameters should be 9 or 12 digits"),
        ("000000000", 404, "NOT_FOUND", "targetVrn does not match a registered company"),
        ("553557881/000000000", 403, "INVALID_REQUEST", "requesterVrn does not match a registered company"),
        ("000000000/000000000", 404, "NOT_FOUND", "targetVrn does not match a registered company"),
        ("282415407", 500, "INTERNAL_SERVER_ERROR", "Unknown error"),
        ("309335202", 429, "MESSAGE_THROTTLED_OUT", hmrc.THROTTLED[2]),
        ("553557881/146295999727/1", 404, "MATCHING_RESOURCE_NOT_FOUND", hmrc.NO_RESOURCE[2]),
    ],
)
def test_a_lookup_fails_as_published(upstreams: Upstreams, numbers: str, status: int, code: str, message: str) -> None:
    assert _lookup(upstreams, numbers) == (status, {"code": code, "message": message})


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({}, 200, None),
        ({"Accept": "application/vnd.hmrc.3.0+json"}, 404, "MATCHING_RESOURCE_NOT_FOUND"),
        ({"Accept": "application/vnd.hmrc+json"}, 406, "ACCEPT_HEADER_INVALID"),
        (V2, 401, "MISSING_CREDENTIALS"),
        (V2 | {"Authorization": "Bearer wrong"}, 401, "INVALID_CREDENTIALS"),
        (V2 | {"Authorization": "Bearer bb7fed3fe10dd235a2ccda3d50fb"}, 200, None),
    ],
)
def test_versions_and_credentials(
    upstreams: Upstreams, headers: Mapping[str, str], status: int, code: str | None
) -> None:
    found, answer = _lookup(upstreams, "553557881", headers)
    assert (found, answer.get("code")) == (status, code)


def test_version_1_can_be_withdrawn() -> None:
    request = Request(method="GET", host=hmrc.HOST, path=f"{hmrc.LOOKUP}553557881", headers={})
    assert Hmrc(versions=("2.0",))(request).status == 404


def test_the_token_endpoint_gives_what_version_2_takes(upstreams: Upstreams) -> None:
    form = {"client_id": "devstack", "client_secret": "devstack-secret", "grant_type": "client_credentials"}
    status, grant = _json(upstreams.call(hmrc.HOST, "POST", hmrc.TOKEN_PATH, urlencode(form).encode()))
    assert (status, grant["token_type"], grant["expires_in"]) == (200, "bearer", 14400)
    headers = V2 | {"Authorization": f"Bearer {grant['access_token']}"}
    assert _lookup(upstreams, "553557881", headers)[0] == 200
    wrong = urlencode(form | {"client_secret": "x"}).encode()
    refused = _json(upstreams.call(hmrc.HOST, "POST", hmrc.TOKEN_PATH, wrong))
    assert refused == (401, {"error": "invalid_client", "error_description": "invalid client id or secret"})


# --- the server ----------------------------------------------------------------------------------------------------


def test_one_connection_serves_many_requests(upstreams: Upstreams) -> None:
    before = upstreams.server.connections
    connection = upstreams.connect(vies.HOST)
    for _ in range(3):
        connection.request("GET", f"{REST}/check-status")
        assert len(connection.getresponse().read()) > 1000
    connection.request("HEAD", f"{SOAP}?wsdl")
    response = connection.getresponse()
    assert (int(response.headers["Content-Length"]) > 1000, response.read()) == (True, b"")
    connection.close()
    assert upstreams.server.connections == before + 1


def test_the_server_ends_a_connection_with_a_close_notify(upstreams: Upstreams) -> None:
    upstreams.context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    plain = socket.create_connection(upstreams.server.address, timeout=5)
    with upstreams.context.wrap_socket(plain, server_hostname=vies.HOST, suppress_ragged_eofs=False) as sock:
        sock.sendall(f"GET / HTTP/1.1\r\nHost: {vies.HOST}\r\nConnection: close\r\n\r\n".encode())
        data = b""
        while piece := sock.recv(65536):
            data += piece
    assert (data.startswith(b"HTTP/1.1 404 "), b"\r\nConnection: close\r\n" in data) == (True, True)


def test_a_host_that_is_not_the_sni_is_misdirected(upstreams: Upstreams) -> None:
    seen = len(upstreams.server.requests)
    connection = upstreams.connect(vies.HOST)
    connection.request("GET", f"{REST}/check-status", headers={"Host": hmrc.HOST})
    assert connection.getresponse().status == 421
    connection.close()
    assert len(upstreams.server.requests) == seen


def test_an_unknown_name_gets_an_alert(upstreams: Upstreams) -> None:
    with (
        socket.create_connection(upstreams.server.address, timeout=5) as plain,
        pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"),
    ):
        upstreams.context.wrap_socket(plain, server_hostname="unknown.test")


def test_a_large_or_chunked_request_body_is_refused(upstreams: Upstreams) -> None:
    connection = upstreams.connect(vies.HOST)
    connection.putrequest("POST", SOAP)
    connection.putheader("Content-Length", "99999999")
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()


def test_the_request_reaches_the_handler_whole(upstreams: Upstreams) -> None:
    upstreams.call(vies.HOST, "GET", f"{REST}/ms/PT/vat/1?requesterNumber=%41+b&x=", headers={"X-Mark": "v"})
    request = upstreams.server.requests[-1]
    assert (request.method, request.host, request.path) == ("GET", vies.HOST, f"{REST}/ms/PT/vat/1")
    assert (request.query, request.headers["x-mark"]) == ((("requesterNumber", "A b"), ("x", "")), "v")


def test_without_an_authority_it_speaks_plain_http_through_a_relay() -> None:
    def echo(request: Request) -> Response:
        return Response(status=200, headers=(("Content-Type", "text/plain"),), body=request.body)

    with (
        UpstreamServer({"plain.test": echo}, authority=None) as server,
        Relay(server.address) as relay,
    ):
        connection = http.client.HTTPConnection("plain.test", timeout=5)
        connection.sock = relay.dial(5.0)
        connection.request("POST", "/", body=b"hello")
        assert connection.getresponse().read() == b"hello"
        connection.close()


def test_a_server_without_handlers_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="without handlers"):
        UpstreamServer({}, authority=None)
    with pytest.raises(ValueError, match="at least one host"):
        Authority().issue()
