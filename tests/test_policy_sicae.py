"""services/sicae.toml: exactly the two calls of a lookup, over plain HTTP, and none beside them."""

import pytest

from policy.errors import NotAllowed
from policy.headers import is_secret
from policy.manifest import load
from policy.rules import Allowed, decide
from tests.parent import CHECKOUT

MANIFEST = load((CHECKOUT / "services" / "sicae.toml").read_bytes())
FORM = "http://www.sicae.pt/Consulta.aspx"
BROWSER = [("User-Agent", "Mozilla/5.0"), ("Accept", "text/html"), ("Accept-Language", "pt-PT,pt;q=0.9")]
SENT = [("Content-Type", "application/x-www-form-urlencoded"), ("Referer", FORM), ("Origin", "http://www.sicae.pt")]
COOKIE = [("Cookie", "ASP.NET_SessionId=abc")]

NEIGHBOURS: list[tuple[str, str, list[tuple[str, str]], bytes | None, str]] = [
    ("GET", FORM.replace("http:", "https:"), [], None, "scheme.not-allowed"),
    ("GET", "http://sicae.pt/Consulta.aspx", [], None, "host.not-allowed"),
    ("GET", "http://www.sicae.pt/", [], None, "path.not-allowed"),
    ("GET", "http://www.sicae.pt/consulta.aspx", [], None, "path.not-allowed"),
    ("GET", "http://www.sicae.pt/Detalhe.aspx", [], None, "path.not-allowed"),
    ("GET", f"{FORM}?NIPC=513032525", [], None, "query.not-allowed"),
    ("HEAD", FORM, [], None, "method.not-allowed"),
    ("GET", FORM, COOKIE, None, "header.not-allowed"),
    ("GET", FORM, SENT[1:], None, "header.not-allowed"),
    ("GET", FORM, [], b"a=b", "body.not-allowed"),
    ("POST", FORM, [("Content-Type", "text/plain")], b"a=b", "media-type.not-allowed"),
    ("POST", FORM, [*SENT, ("Authorization", "Basic a")], b"a=b", "header.not-allowed"),
    ("POST", FORM, SENT, b"a" * 131073, "body.too-large"),
]


def ask(method: str, url: str, headers: list[tuple[str, str]], body: bytes | None) -> Allowed:
    return decide(MANIFEST, url=url, method=method, headers=headers, body=body)


@pytest.mark.parametrize(
    ("method", "headers", "body"), [("GET", BROWSER, None), ("POST", [*BROWSER, *SENT, *COOKIE], b"a" * 131072)]
)
def test_the_calls_of_a_lookup_are_allowed(method: str, headers: list[tuple[str, str]], body: bytes | None) -> None:
    allowed = ask(method, FORM, headers, body)
    assert (allowed.upstream.proxy_port, allowed.upstream.tls) == (8445, False)


@pytest.mark.parametrize(("method", "url", "headers", "body", "reason"), NEIGHBOURS)
def test_calls_beside_them_are_refused(
    method: str, url: str, headers: list[tuple[str, str]], body: bytes | None, reason: str
) -> None:
    with pytest.raises(NotAllowed) as caught:
        ask(method, url, headers, body)
    assert caught.value.reason == reason


def test_the_service_has_the_predecessor_s_place_and_its_session_is_a_secret() -> None:
    assert (MANIFEST.name, MANIFEST.cid, MANIFEST.port, MANIFEST.ecr_tag) == ("sicae", 17, 5000, "sicae")
    assert [upstream.host for upstream in MANIFEST.upstreams] == ["www.sicae.pt"]
    assert is_secret("Cookie", MANIFEST.upstreams[0].secret_headers)


def test_the_operation_is_declared_with_the_predecessor_s_record() -> None:
    (declared,) = MANIFEST.operations
    assert (declared.name, declared.record, declared.max_calls) == ("sicae.lookup", "SICAE", 4)
    assert declared.schema.id == "tytle/sicae-lookup/v1"
