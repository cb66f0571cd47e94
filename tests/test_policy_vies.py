"""services/vies.toml: exactly the published calls of VIES and HMRC, and none beside them."""

from pathlib import Path

import pytest

from policy.errors import NotAllowed
from policy.headers import is_secret
from policy.manifest import load
from policy.rules import Allowed, decide

MANIFEST = load((Path(__file__).parent.parent / "services" / "vies.toml").read_bytes())

VIES = "https://ec.europa.eu/taxation_customs/vies"
SOAP = f"{VIES}/services/checkVatService"
REST = f"{VIES}/rest-api"
HMRC = "https://api.service.hmrc.gov.uk/organisations/vat/check-vat-number/lookup"
XML = [("Content-Type", "text/xml;charset=UTF-8"), ("SOAPAction", "")]
JSON = [("Content-Type", "application/json")]
BEARER = [("Accept", "application/vnd.hmrc.2.0+json"), ("Authorization", "Bearer bb7fed3fe10dd235a2ccda3d50fb")]

PUBLISHED: list[tuple[str, str, list[tuple[str, str]], bytes | None]] = [
    ("POST", SOAP, XML, b"<a/>"),
    ("GET", f"{SOAP}?wsdl", [], None),
    ("GET", f"{VIES}/checkVatService.wsdl", [], None),
    ("POST", f"{REST}/check-vat-number", JSON, b"{}"),
    ("GET", f"{REST}/check-status", [("Accept", "application/json")], None),
    ("GET", f"{REST}/ms/PT/vat/507172230", [], None),
    ("GET", f"{REST}/ms/IE/vat/8+49289G", [], None),
    ("GET", f"{REST}/ms/NL/vat/123456789B01", [], None),
    ("GET", f"{REST}/ms/PT/vat/507172230?requesterMemberStateCode=PT&requesterNumber=516969250", [], None),
    ("GET", f"{HMRC}/553557881", [("Accept", "application/vnd.hmrc.1.0+json")], None),
    ("GET", f"{HMRC}/553557881", BEARER, None),
    ("GET", f"{HMRC}/146295999727", BEARER, None),
    ("GET", f"{HMRC}/553557881/146295999727", BEARER, None),
]

NEIGHBOURS: list[tuple[str, str, list[tuple[str, str]], bytes | None, str]] = [
    ("GET", SOAP, [], None, "query.missing"),
    ("GET", f"{SOAP}?WSDL", [], None, "query.not-allowed"),
    ("GET", f"{SOAP}?wsdl=1", [], None, "query.not-allowed"),
    ("GET", f"{SOAP}?wsdl&xsd=1", [], None, "query.not-allowed"),
    ("HEAD", f"{SOAP}?wsdl", [], None, "method.not-allowed"),
    ("POST", f"{SOAP}?wsdl", XML, b"<a/>", "query.not-allowed"),
    ("POST", SOAP, JSON, b"{}", "media-type.not-allowed"),
    ("POST", SOAP, [*XML, ("Cookie", "a=b")], b"<a/>", "header.not-allowed"),
    ("POST", SOAP, XML, b"a" * 65537, "body.too-large"),
    ("POST", f"{VIES}/services/checkVatTestService", XML, b"<a/>", "path.not-allowed"),
    ("POST", f"{SOAP}/", XML, b"<a/>", "path.not-allowed"),
    ("POST", f"{VIES}/checkVatService.wsdl", [], None, "method.not-allowed"),
    ("GET", f"{VIES}/checkVatTestService.wsdl", [], None, "path.not-allowed"),
    ("POST", f"{REST}/check-vat-test-service", JSON, b"{}", "path.not-allowed"),
    ("GET", f"{REST}/check-vat-number", [], None, "method.not-allowed"),
    ("POST", f"{REST}/check-vat-number", XML[:1], b"<a/>", "media-type.not-allowed"),
    ("GET", f"{REST}/check-status?a=b", [], None, "query.not-allowed"),
    ("GET", f"{REST}/ms/pt/vat/507172230", [], None, "path.not-allowed"),
    ("GET", f"{REST}/ms/PRT/vat/507172230", [], None, "path.not-allowed"),
    ("GET", f"{REST}/ms/PT/vat/1", [], None, "path.not-allowed"),
    ("GET", f"{REST}/ms/PT/vat/1234567890123", [], None, "path.not-allowed"),
    ("GET", f"{REST}/ms/PT/vat/50717%32230", [], None, "path.not-allowed"),
    ("GET", f"{REST}/ms/PT/vat/507172230/x", [], None, "path.not-allowed"),
    ("GET", f"{REST}/ms/PT/vat/507172230?requesterNumber=1&requesterNumber=2", [], None, "query.repeated"),
    ("GET", f"{REST}/ms/PT/vat/507172230", BEARER, None, "header.not-allowed"),
    ("GET", f"{HMRC}/1234567890", BEARER, None, "path.not-allowed"),
    ("GET", f"{HMRC}/GB553557881", BEARER, None, "path.not-allowed"),
    ("GET", f"{HMRC}/553557881/", BEARER, None, "path.not-allowed"),
    ("GET", f"{HMRC}/553557881/146295999727/1", BEARER, None, "path.not-allowed"),
    ("GET", f"{HMRC}/553557881?a=b", BEARER, None, "query.not-allowed"),
    ("POST", f"{HMRC}/553557881", BEARER, None, "method.not-allowed"),
    ("GET", f"{HMRC}/553557881", BEARER, b"a", "body.not-allowed"),
    ("GET", "https://api.service.hmrc.gov.uk/oauth/token", BEARER, None, "path.not-allowed"),
    ("GET", "https://test-api.service.hmrc.gov.uk/", BEARER, None, "host.not-allowed"),
    ("GET", "http://ec.europa.eu/taxation_customs/vies/rest-api/check-status", [], None, "scheme.not-allowed"),
]


def ask(method: str, url: str, headers: list[tuple[str, str]], body: bytes | None) -> Allowed:
    return decide(MANIFEST, url=url, method=method, headers=headers, body=body)


def test_the_enclave_and_its_upstreams_are_where_the_parent_looks_for_them() -> None:
    assert (MANIFEST.name, MANIFEST.cid, MANIFEST.port, MANIFEST.ecr_tag) == ("vies", 16, 5000, "vies")
    assert MANIFEST.pcr0_parameter == "/tytle/{env}/enclave/vies/pcr0"
    upstreams = [(upstream.host, upstream.proxy_port, upstream.tls) for upstream in MANIFEST.upstreams]
    assert upstreams == [("ec.europa.eu", 8443, True), ("api.service.hmrc.gov.uk", 8444, True)]


@pytest.mark.parametrize(("method", "url", "headers", "body"), PUBLISHED)
def test_a_published_call_is_allowed(method: str, url: str, headers: list[tuple[str, str]], body: bytes | None) -> None:
    assert ask(method, url, headers, body).url.text == url


@pytest.mark.parametrize(("method", "url", "headers", "body", "reason"), NEIGHBOURS)
def test_a_neighbour_of_a_published_call_is_refused(
    method: str, url: str, headers: list[tuple[str, str]], body: bytes | None, reason: str
) -> None:
    with pytest.raises(NotAllowed) as caught:
        ask(method, url, headers, body)
    assert caught.value.reason == reason


def test_every_rule_is_needed_by_a_published_call() -> None:
    used = {ask(*call).rule for call in PUBLISHED}
    assert used == {rule for upstream in MANIFEST.upstreams for rule in upstream.rules}


def test_the_token_for_hmrc_is_a_secret() -> None:
    allowed = ask("GET", f"{HMRC}/553557881", BEARER, None)
    secrets = [header.name for header in allowed.headers if is_secret(header.name, allowed.upstream.secret_headers)]
    assert secrets == ["Authorization"]
