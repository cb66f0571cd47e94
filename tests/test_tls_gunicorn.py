"""TLS that gunicorn itself ends, and a proxy's word on a unix socket: real handshakes, certificates of a test CA."""

import base64
import datetime as dt
import http.client
import json
import os
import signal
import socket
import ssl
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from app import tls
from devstack.tls_identity import ServerIdentity
from devstack.tls_pki import Authority
from tests.fake_enclave import FakeEnclave, keeps, wait_until
from tests.gate_kit import TOKEN, bearer, token_toml
from tests.parent import LEAST, Answer, Gunicorn
from tests.test_callers_proof import DER, NGINX, RFC_9440

AUTHORITY = Authority()
STRANGER = Authority(name="another CA")


def client_certificate(authority: Authority, *names: str, **changes: object) -> ServerIdentity:
    profile = replace(authority.profile(*names), usage=ExtendedKeyUsageOID.CLIENT_AUTH, **changes)  # type: ignore[arg-type]
    return authority.sign(profile)


KNOWN = client_certificate(AUTHORITY, "agent-a.test")
NAMED = client_certificate(AUTHORITY, "agent-b.test", "else.test")
UNKNOWN = client_certificate(AUTHORITY, "agent-c.test")
EXPIRED = client_certificate(AUTHORITY, "agent-a.test", not_after=AUTHORITY.now - dt.timedelta(minutes=5))
FOREIGN = client_certificate(STRANGER, "agent-b.test")
CALLERS = (
    f'[[clients]]\nname = "by-digest"\nsha256 = "{sha256(KNOWN.certificate).hexdigest()}"\n'
    '[[clients]]\nname = "by-name"\nsan = "DNS:agent-b.test"\nservices = ["sicae"]\n'
) + token_toml("by-token")


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    gunicorn: Gunicorn
    folder: Path

    def ask(
        self, identity: ServerIdentity | None, headers: dict[str, str] | None = None, *, times: int = 1
    ) -> list[Answer]:
        """Ask on one connection; a handshake that fails raises OSError."""
        context = ssl.create_default_context(cafile=str(self.folder / "devstack-ca.pem"))
        if identity is not None:
            load(context, identity, self.folder)
        connection = http.client.HTTPSConnection("localhost", self.gunicorn.port, timeout=20, context=context)
        with closing(connection):
            answers = []
            for _ in range(times):
                body = json.dumps(LEAST).encode()
                connection.request(
                    "POST", "/attest/fetch", body, {"Content-Type": "application/json", **(headers or {})}
                )
                answers.append(Answer(connection.getresponse()))
            return answers

    def log(self) -> str:
        return self.gunicorn.log.read_text(encoding="utf-8")


def load(context: ssl.SSLContext, identity: ServerIdentity, folder: Path) -> None:
    chain, key = folder / "client.pem", folder / "client.key"
    chain.write_bytes(identity.chain_pem)
    key.write_bytes(identity.key_pem)
    context.load_cert_chain(chain, key)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("tls")
    roots = AUTHORITY.write_roots(folder)
    server = AUTHORITY.issue("localhost")
    (folder / "server.pem").write_bytes(server.chain_pem)
    (folder / "server.key").write_bytes(server.key_pem)
    (folder / "tokens.toml").write_text(CALLERS)
    environ = {
        "TLS_CERTIFICATE": str(folder / "server.pem"),
        "TLS_KEY": str(folder / "server.key"),
        "TLS_CLIENT_ROOTS": str(roots),
        "TOKENS_FILE": str(folder / "tokens.toml"),
    }
    application = f"tests.gate_kit:create('{folder}')"
    with (
        FakeEnclave(folder / "vies", keeps()),
        FakeEnclave(folder / "sicae", keeps()),
        Gunicorn(folder / "vies", folder / "log", application=application, environ=environ) as gunicorn,
    ):
        yield Served(gunicorn=gunicorn, folder=folder)


def test_a_known_certificate_names_its_caller_for_every_request_of_a_connection(served: Served) -> None:
    assert [answer.status for answer in served.ask(KNOWN, times=3)] == [200] * 3
    assert '"caller": "by-digest"' in served.log()


def test_a_listed_name_in_a_certificate_names_its_caller_with_its_limits(served: Served) -> None:
    (answer,) = served.ask(NAMED)
    assert (answer.status, answer.json["code"]) == (403, "service.not-allowed")
    assert '"caller": "by-name"' in served.log()


def test_a_certificate_of_the_ca_that_nobody_listed_is_nobody(served: Served) -> None:
    (answer,) = served.ask(UNKNOWN)
    assert (answer.status, answer.json["code"]) == (401, "unauthenticated")


def test_a_token_beside_a_certificate_is_what_counts(served: Served) -> None:
    assert [answer.status for answer in served.ask(UNKNOWN, bearer())] == [200]
    assert '"caller": "by-token"' in served.log()
    assert [answer.status for answer in served.ask(KNOWN, bearer("wrong"))] == [401]
    assert TOKEN not in served.log()


def test_a_header_about_a_certificate_is_ignored_where_no_proxy_is_trusted(served: Served) -> None:
    known = ":" + base64.b64encode(KNOWN.certificate).decode() + ":"
    assert [answer.status for answer in served.ask(UNKNOWN, {"Client-Cert": known})] == [401]


@pytest.mark.parametrize("identity", [None, EXPIRED, FOREIGN], ids=["none", "expired", "another CA's"])
def test_without_a_certificate_of_the_ca_nothing_is_served(served: Served, identity: ServerIdentity | None) -> None:
    with pytest.raises(OSError):  # the server's alert, or the end of the connection before it was read
        served.ask(identity)
    assert [answer.status for answer in served.ask(KNOWN)] == [200]
    assert "Traceback" not in served.log()


def test_no_name_in_a_client_s_certificate_is_in_the_log_or_in_an_answer(served: Served) -> None:
    for identity in (KNOWN, NAMED, UNKNOWN):
        (answer,) = served.ask(identity)
        assert b"agent-" not in answer.data
    for identity in (EXPIRED, FOREIGN):
        with pytest.raises(OSError):
            served.ask(identity)
    assert served.log().count('"unauthenticated"') >= 1
    assert "agent-" not in served.log()


def test_plain_http_gets_no_answer_and_breaks_nothing(served: Served) -> None:
    with socket.create_connection(("127.0.0.1", served.gunicorn.port), timeout=20) as sock:
        sock.sendall(b"POST /attest/fetch HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + TOKEN.encode() + b"\r\n\r\n")
        received = b"".join(iter(lambda: sock.recv(4096), b""))
    assert b"200" not in received
    assert [answer.status for answer in served.ask(KNOWN)] == [200]
    assert TOKEN not in served.log()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_an_old_version_of_tls_is_refused(served: Served, version: ssl.TLSVersion) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="deprecated"):
        context.minimum_version = context.maximum_version = version
    with socket.create_connection(("127.0.0.1", served.gunicorn.port), timeout=20) as sock, pytest.raises(OSError):
        context.wrap_socket(sock).close()


def test_a_reload_serves_a_new_certificate(served: Served) -> None:
    renewed = AUTHORITY.issue("localhost")
    (served.folder / "server.pem").write_bytes(renewed.chain_pem[:40])  # half copied
    served.gunicorn.process.send_signal(signal.SIGHUP)
    wait_until(lambda: '"event": "reload refused"' in served.log(), seconds=20)
    assert served.ask(KNOWN)[0].status == 200  # as before
    (served.folder / "server.pem").write_bytes(renewed.chain_pem)
    (served.folder / "server.key").write_bytes(renewed.key_pem)
    served.gunicorn.process.send_signal(signal.SIGHUP)
    context = ssl.create_default_context(cafile=str(served.folder / "devstack-ca.pem"))
    load(context, KNOWN, served.folder)

    def shown() -> bytes | None:
        try:
            with (
                socket.create_connection(("127.0.0.1", served.gunicorn.port), timeout=5) as sock,
                context.wrap_socket(sock, server_hostname="localhost") as secured,
            ):
                return secured.getpeercert(binary_form=True)
        except OSError:
            return None  # of a process that was ending

    wait_until(lambda: shown() == renewed.certificate, seconds=20)


# --- silence


def test_a_silent_tls_peer_ends_with_the_patience_of_its_socket(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tls, "SILENCE_SECONDS", 0.2)
    server = AUTHORITY.issue("localhost")
    (tmp_path / "server.pem").write_bytes(server.chain_pem)
    (tmp_path / "server.key").write_bytes(server.key_pem)
    context = tls.context(tls.TlsFiles(certificate=str(tmp_path / "server.pem"), key=str(tmp_path / "server.key")))
    ours, theirs = socket.socketpair()
    ours.setblocking(True)  # as gunicorn leaves it
    with ours, theirs, pytest.raises(TimeoutError):
        context.wrap_socket(ours, server_side=True)


def test_what_gunicorn_sets_to_block_keeps_a_limited_patience(tmp_path: Path) -> None:
    server = AUTHORITY.issue("localhost")
    (tmp_path / "server.pem").write_bytes(server.chain_pem)
    (tmp_path / "server.key").write_bytes(server.key_pem)
    context = tls.context(tls.TlsFiles(certificate=str(tmp_path / "server.pem"), key=str(tmp_path / "server.key")))
    ours, theirs = socket.socketpair()
    with theirs, context.wrap_socket(ours, server_side=True, do_handshake_on_connect=False) as secured:
        patience = []
        for flag in (True, False):
            secured.setblocking(flag)
            patience.append(secured.gettimeout())
    assert patience == [tls.SILENCE_SECONDS, 0.0]


# --- a proxy in front


def test_a_proxy_on_the_unix_socket_is_believed_and_one_on_tcp_is_not(tmp_path: Path) -> None:
    (tmp_path / "tokens.toml").write_text(f'[[clients]]\nname = "proxied"\nsha256 = "{sha256(DER).hexdigest()}"\n')
    environ = {"TOKENS_FILE": str(tmp_path / "tokens.toml"), "TRUSTED_PROXIES": "unix", "BIND": f"unix:{tmp_path}/http"}
    application = f"tests.gate_kit:create('{tmp_path}')"
    with (
        FakeEnclave(tmp_path / "vies", keeps()),
        Gunicorn(tmp_path / "vies", tmp_path / "log", application=application, environ=environ),
    ):
        wait_until(lambda: "Listening at" in (tmp_path / "log").read_text(), seconds=20)
        assert (tmp_path / "http").stat().st_mode & 0o007 == 0  # of this host, only its user and group come in
        told = [over_unix(tmp_path / "http", {"Client-Cert": shown}) for shown in (NGINX, RFC_9440, ":AAAA:")]
        told += [over_unix(tmp_path / "http", headers) for headers in ({}, {"Client_Cert": RFC_9440})]
    assert told == [200, 200, 401, 401, 401]
    log = (tmp_path / "log").read_text()
    assert log.count('"caller": "proxied"') == 2
    with (
        FakeEnclave(tmp_path / "vies", keeps()),
        Gunicorn(
            tmp_path / "vies", tmp_path / "log2", application=application, environ={**environ, "BIND": "127.0.0.1:0"}
        ) as gunicorn,
    ):
        wait_until(lambda: "Listening at" in (tmp_path / "log2").read_text(), seconds=20)
        gunicorn.port = int((tmp_path / "log2").read_text().split("http://127.0.0.1:")[1].split()[0])
        connection = gunicorn.connect()
        headers = {"Content-Type": "application/json", "Client-Cert": RFC_9440}
        connection.request("POST", "/attest/fetch", json.dumps(LEAST).encode(), headers)
        assert Answer(connection.getresponse()).status == 401
        connection.close()


def over_unix(path: Path, headers: dict[str, str]) -> int:
    body = json.dumps(LEAST)
    lines = ["POST /attest/fetch HTTP/1.1", "Host: x", "Connection: close", "Content-Type: application/json"]
    lines += [f"{name}: {value}" for name, value in headers.items()] + [f"Content-Length: {len(body)}", "", body]
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(20)
        sock.connect(os.fspath(path))
        sock.sendall("\r\n".join(lines).encode())
        return int(b"".join(iter(lambda: sock.recv(4096), b"")).split()[1])
