"""The hostile server does what its scripts say, as a raw ssl client of our own sees it."""

import socket
import ssl
from collections.abc import Iterator

import pytest

from tests.hostile.actions import (
    Action,
    BrokenRecord,
    CloseNotify,
    CloseNotifyOnly,
    Cut,
    Drip,
    PartialHandshake,
    PartOfRecord,
    ReadRequest,
    Reset,
    Send,
)
from tests.hostile.case import BOTH, HELLO, PLAIN, RAW, TLS_1_2, TLS_1_3, reply
from tests.hostile.cases import CASES
from tests.hostile.cases_broken import REFUSED_VARIANTS
from tests.hostile.server import HostileServer
from tests.hostile.servers import HOST, Servers

REQUEST = b"GET /a HTTP/1.1\r\nHost: api.hostile.test\r\n\r\n"


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    with Servers() as running:
        yield running


def _context(servers: Servers) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=servers.authority.roots_pem)
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    return context


def _connect(servers: Servers, server: HostileServer, *, timeout: float = 2.0) -> ssl.SSLSocket:
    sock = socket.create_connection(server.address, timeout=timeout)
    try:
        return _context(servers).wrap_socket(sock, server_hostname=HOST, suppress_ragged_eofs=False)
    except OSError:
        sock.close()
        raise


def _read_all(sock: socket.socket) -> bytes:
    data = b""
    while piece := sock.recv(65536):
        data += piece
    return data


@pytest.mark.parametrize("version", BOTH)
def test_a_cut_without_close_notify_is_an_unexpected_eof(servers: Servers, version: str) -> None:
    server = servers.get("good", version)
    server.load(reply(b"HTTP/1.1 200 OK\r\n\r\nhel", Cut()))
    with _connect(servers, server) as sock:
        sock.sendall(REQUEST)
        assert sock.recv(100) == b"HTTP/1.1 200 OK\r\n\r\nhel"
        with pytest.raises(ssl.SSLError, match=r"(?i)eof"):
            sock.recv(100)


@pytest.mark.parametrize("version", BOTH)
@pytest.mark.parametrize("end", [CloseNotify(), CloseNotifyOnly()])
def test_a_close_notify_is_a_clean_end(servers: Servers, version: str, end: Action) -> None:
    server = servers.get("good", version)
    server.load(reply(b"hello", end))
    with _connect(servers, server) as sock:
        sock.sendall(REQUEST)
        assert _read_all(sock) == b"hello"


@pytest.mark.parametrize("version", BOTH)
def test_a_cut_inside_a_record_shows_nothing_of_that_record(servers: Servers, version: str) -> None:
    server = servers.get("good", version)
    server.load(reply(b"hello", PartOfRecord(b"world", 20), Cut()))
    with _connect(servers, server) as sock:
        sock.sendall(REQUEST)
        assert sock.recv(100) == b"hello"
        with pytest.raises(ssl.SSLError, match=r"(?i)eof"):
            sock.recv(100)


@pytest.mark.parametrize("version", BOTH)
def test_a_broken_record_fails_its_authentication(servers: Servers, version: str) -> None:
    server = servers.get("good", version)
    server.load((ReadRequest(), BrokenRecord(b"hello")))
    with _connect(servers, server) as sock:
        sock.sendall(REQUEST)
        with pytest.raises(ssl.SSLError, match="BAD_RECORD_MAC"):
            sock.recv(100)


@pytest.mark.parametrize("version", BOTH)
def test_a_reset_is_a_connection_reset(servers: Servers, version: str) -> None:
    server = servers.get("good", version)
    server.load((ReadRequest(), Reset()))
    with _connect(servers, server) as sock:
        sock.sendall(REQUEST)
        # Python 3.11 over OpenSSL 3 loses errno on the way and reports ECONNRESET as an EOF of its own.
        with pytest.raises((ConnectionResetError, ssl.SSLError)):
            sock.recv(100)


def test_a_reset_is_a_connection_reset_on_plain_tcp(servers: Servers) -> None:
    server = servers.get(PLAIN, TLS_1_3)
    server.load((ReadRequest(), Reset()))
    with socket.create_connection(server.address, timeout=2) as sock:
        sock.sendall(REQUEST)
        with pytest.raises(ConnectionResetError):
            sock.recv(100)


def test_the_end_of_a_script_holds_the_connection_open(servers: Servers) -> None:
    server = servers.get("good", TLS_1_3)
    server.load(reply(b"hello"))
    with _connect(servers, server, timeout=0.2) as sock:
        sock.sendall(REQUEST)
        assert sock.recv(100) == b"hello"
        with pytest.raises(TimeoutError):
            sock.recv(100)


def test_a_drip_is_one_record_for_each_byte(servers: Servers) -> None:
    server = servers.get("good", TLS_1_3)
    server.load((ReadRequest(), Drip(b"abc")))
    with _connect(servers, server) as sock:
        sock.sendall(REQUEST)
        assert [sock.recv(100) for _ in range(3)] == [b"a", b"b", b"c"]


def test_a_partial_handshake_never_ends(servers: Servers) -> None:
    server = servers.get("good", TLS_1_2)
    server.load((PartialHandshake(1),))
    with pytest.raises(TimeoutError):
        _connect(servers, server, timeout=0.2)


def test_a_script_for_each_connection_and_the_last_for_the_rest(servers: Servers) -> None:
    server = servers.get("good", TLS_1_3)
    server.load(reply(b"one", CloseNotify()), reply(b"two", CloseNotify()))
    seen = []
    for _ in range(3):
        with _connect(servers, server) as sock:
            sock.sendall(REQUEST)
            seen.append(_read_all(sock))
    assert seen == [b"one", b"two", b"two"]
    assert server.connections == 3
    assert server.requests == [REQUEST] * 3
    assert server.errors == []


def test_a_request_body_is_read_with_its_head(servers: Servers) -> None:
    server = servers.get("good", TLS_1_3)
    server.load((ReadRequest(), ReadRequest(), Send(b"x"), CloseNotify()))
    post = b"POST /a HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody"
    with _connect(servers, server) as sock:
        sock.sendall(post + REQUEST)
        assert _read_all(sock) == b"x"
    assert server.requests == [post, REQUEST]


@pytest.mark.parametrize("variant", [PLAIN, RAW])
def test_a_plain_server_speaks_no_tls(servers: Servers, variant: str) -> None:
    server = servers.get(variant, TLS_1_3)
    server.load((Send(HELLO), Cut()))
    with socket.create_connection(server.address, timeout=2) as sock:
        assert _read_all(sock) == HELLO


REASONS = {
    "expired": "certificate has expired",
    "not-yet-valid": "certificate is not yet valid",
    "wrong-name": "Hostname mismatch",
    "wildcard-too-wide": "Hostname mismatch",
    "self-signed": "self-signed certificate",
    "other-ca": "certificate signature failure|unable to get local issuer",
    "ca-as-leaf": "unsuitable certificate purpose",
    "leaf-as-ca": "invalid CA certificate",
    "client-certificate": "unsuitable certificate purpose",
}


@pytest.mark.parametrize(("variant", "reason"), REASONS.items())
def test_a_bad_certificate_is_refused_for_its_own_defect(servers: Servers, variant: str, reason: str) -> None:
    server = servers.get(variant, TLS_1_3)
    server.load(reply(HELLO))
    with pytest.raises(ssl.SSLCertVerificationError, match=reason):
        _connect(servers, server)


def test_a_common_name_is_all_that_cn_only_has(servers: Servers) -> None:
    server = servers.get("cn-only", TLS_1_3)
    server.load((CloseNotify(),))
    context = _context(servers)
    context.hostname_checks_common_name = True
    with socket.create_connection(server.address, timeout=2) as sock, context.wrap_socket(sock, server_hostname=HOST):
        pass
    context.hostname_checks_common_name = False
    with (
        socket.create_connection(server.address, timeout=2) as sock,
        pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"),
    ):
        context.wrap_socket(sock, server_hostname=HOST)


@pytest.mark.parametrize(
    ("variant", "version", "cipher"),
    [
        ("tls-1.1", "TLSv1.1", "ECDHE-ECDSA-AES"),
        ("cbc-only", "TLSv1.2", "ECDHE-ECDSA-AES128-SHA256"),
        ("static-rsa-only", "TLSv1.2", "AES128-GCM-SHA256"),
    ],
)
def test_an_old_server_works_with_an_old_client(servers: Servers, variant: str, version: str, cipher: str) -> None:
    server = servers.get(variant, TLS_1_2)
    server.load((CloseNotify(),))
    context = _context(servers)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1 is deprecated"):
        context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with (
        socket.create_connection(server.address, timeout=2) as sock,
        context.wrap_socket(sock, server_hostname=HOST) as tls,
    ):
        found = tls.cipher()
        assert (tls.version(), found is not None and found[0].startswith(cipher)) == (version, True)


def test_the_corpus_is_large_and_every_case_has_its_own_name() -> None:
    names = [case.name for case in CASES]
    assert len(names) == len(set(names))
    assert len(names) >= 80
    assert {case.variant for case in CASES} >= set(REFUSED_VARIANTS)
