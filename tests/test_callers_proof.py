"""What a caller shows: the header of a token, a certificate that a proxy passes on, and which proxies are believed."""

import base64
import ssl
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.callers.proof import ProofError, Proxies, bearer, forwarded, parse_proxies, pem_digest
from devstack.tls_pki import Authority

IDENTITY = Authority().issue("agent.test")
DER = IDENTITY.certificate
PEM = ssl.DER_cert_to_PEM_cert(DER)
NGINX = "".join(char if char.isalnum() or char in "-._~" else f"%{ord(char):02X}" for char in PEM)
RFC_9440 = f":{base64.b64encode(DER).decode()}:"


@pytest.mark.parametrize("header", ["Bearer abc", "bearer abc", "BEARER   abc"])
def test_the_scheme_is_read_in_any_case(header: str) -> None:
    assert bearer(header) == "abc"


@pytest.mark.parametrize(
    "header",
    [
        *("", "abc", "Bearer", "Bearer ", "Bearer =", "Bearer a=b", "Basic abc", "Bearer é", " Bearer a"),
        *("Bearer a b", "Bearer a,Bearer b", "Bearer a\n", "Bearer\ta", "Bearer " + "a" * 513),
    ],
)
def test_anything_else_is_no_token_and_is_not_repeated(header: str) -> None:
    with pytest.raises(ProofError) as caught:
        bearer(header)
    assert str(caught.value) == "expected the header Authorization: Bearer TOKEN"


@pytest.mark.parametrize("header", [NGINX, RFC_9440, PEM])
def test_both_spellings_of_a_proxy_give_the_certificate_s_digest(header: str) -> None:
    assert forwarded(header).digest == sha256(DER).digest()
    assert forwarded(header).names == frozenset()


@pytest.mark.parametrize(
    "header",
    [
        "",
        ":",
        "::",
        ":!!!:",
        ":aGk=:",
        "%2D",
        "(null)",
        NGINX + NGINX,
        RFC_9440 + "," + RFC_9440,
        NGINX[:-20],
        PEM + "x",
    ],
)
def test_anything_else_is_no_certificate(header: str) -> None:
    with pytest.raises(ProofError):
        forwarded(header)


@given(st.text(max_size=100) | st.text(alphabet=":%-BEGINCRTFA =", max_size=60))
def test_any_header_is_a_certificate_or_an_error_of_this_room(header: str) -> None:
    for read in (forwarded, bearer, pem_digest):
        try:
            read(header)
        except ProofError:
            continue


def test_the_digest_of_a_file_is_the_one_of_its_der() -> None:
    assert pem_digest(PEM + "\n") == sha256(DER).hexdigest()
    with pytest.raises(ProofError):
        pem_digest(PEM + PEM)


def test_a_proxy_is_believed_by_address_network_or_socket() -> None:
    proxies = parse_proxies("10.0.0.5, 192.168.0.0/16,2001:db8::/32, unix")
    believed = ["10.0.0.5", "192.168.255.1", "2001:db8::1", ""]
    others = ["10.0.0.6", "127.0.0.1", "::1", "?", "10.0.0.5, 10.0.0.6", "::ffff:10.0.0.5"]
    assert [proxies.include(peer) for peer in believed + others] == [True] * 4 + [False] * 6


def test_nobody_is_believed_by_default_and_nobody_by_accident() -> None:
    assert parse_proxies("") == parse_proxies(" , ") == Proxies()
    assert [Proxies().include(peer) for peer in ("", "127.0.0.1", "10.0.0.5")] == [False] * 3
    for wrong in ("0.0.0.0/0", "::/0", "localhost", "10.0.0.5/8", "10.0.0"):
        with pytest.raises(ValueError):
            parse_proxies(wrong)
