"""The upstream client against the hostile corpus: the right answer or the right failure, and never anything else."""

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from hashlib import sha256

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from enclave_worker.journey import Journey
from enclave_worker.upstream.client import Client
from enclave_worker.upstream.exchange import Answer, Failure
from enclave_worker.upstream.phases import Phases
from enclave_worker.upstream.tls import client_context
from policy.manifest import Manifest, Upstream, load
from policy.rules import decide
from tests.hostile.actions import CloseNotify, Cut, Drip, ReadRequest, Reset, Script, Send, Sleep
from tests.hostile.case import (
    BOTH,
    CHUNKED_HELLO,
    HELLO,
    MAX_BODY,
    PLAIN,
    TIMEOUT,
    TLS_1_3,
    Answered,
    Case,
    Expected,
    Failed,
    head,
    reply,
    sized,
)
from tests.hostile.cases import CASES
from tests.hostile.server import HostileServer
from tests.hostile.servers import HOST, Servers
from wire.addresses import LoopbackAddress
from wire.sockets import connect

PATIENT = Phases(connect=3.0, tls=3.0, first_byte=3.0)  # a slow machine must not fail a case that is not about time
HASTY = Phases(connect=0.25, tls=0.25, first_byte=0.25)
PATIENT_DEADLINE_S = 5.0
HASTY_DEADLINE_S = 0.4
GRACE_S = 0.4  # how late a time-out may be noticed

RULE = """
[[upstreams.rules]]
method = "{method}"
path = "/a"
{body}
max_response_bytes = {max_body}
"""
BODY = 'media_types = ["text/plain"]\nmax_request_bytes = 100'


def _manifest(*, tls: bool) -> Manifest:
    rules = "".join(
        RULE.format(method=method, body=BODY if method == "POST" else "", max_body=MAX_BODY)
        for method in ("GET", "HEAD", "POST")
    )
    text = f"""
name = "hostile"
cid = 16
port = 5000
ecr_tag = "hostile"
pcr0_parameter = "/tytle/{{env}}/enclave/hostile/pcr0"
[[upstreams]]
host = "{HOST}"
proxy_port = 8443
tls = {str(tls).lower()}
{rules}"""
    return load(text.encode())


MANIFESTS = {tls: _manifest(tls=tls) for tls in (True, False)}


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    with Servers() as running:
        yield running


def _dial(server: HostileServer) -> Callable[[Upstream, float], socket.socket]:
    host, port = server.address

    def dial(_: Upstream, deadline: float) -> socket.socket:
        return connect(LoopbackAddress(host=host, port=port), deadline=deadline)

    return dial


def _fetch(client: Client, *, tls: bool = True, method: str = "GET", deadline: float) -> Answer | Failure:
    headers = [("Content-Type", "text/plain")] if method == "POST" else []
    body = b"body" if method == "POST" else None
    url = f"{'https' if tls else 'http'}://{HOST}/a"
    allowed = decide(MANIFESTS[tls], url=url, method=method, headers=headers, body=body)
    return client.fetch(allowed, deadline=time.monotonic() + deadline, journey=Journey())


def _client(servers: Servers, server: HostileServer, phases: Phases = PATIENT) -> Client:
    return Client(dial=_dial(server), tls=client_context(servers.authority.roots_pem), phases=phases)


def _marked(headers: tuple[tuple[bytes, bytes], ...]) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((name.lower(), value) for name, value in headers if name.lower().startswith(b"x-"))


def _seen(outcome: Answer | Failure, expected: Expected) -> Expected:
    """The outcome in the words of the corpus, so that the two compare as values."""
    if isinstance(outcome, Failure):
        return Failed(kind=outcome.kind)
    asked = isinstance(expected, Answered) and expected.headers is not None
    headers = _marked(outcome.headers) if asked else None
    return Answered(status=outcome.status, body=outcome.body, framing=outcome.framing, headers=headers)


RUNS = [pytest.param(case, version, id=f"{case.name}-{version}") for case in CASES for version in case.versions]


@pytest.mark.parametrize(("case", "version"), RUNS)
def test_hostile_upstream(servers: Servers, case: Case, version: str) -> None:
    server = servers.get(case.variant, version)
    server.load(case.script)
    about_time = case.expect == TIMEOUT
    client = _client(servers, server, HASTY if about_time else PATIENT)
    limit = HASTY_DEADLINE_S if about_time else PATIENT_DEADLINE_S
    started = time.monotonic()
    outcome = _fetch(client, tls=case.variant != PLAIN, method=case.method, deadline=limit)
    took = time.monotonic() - started
    client.close()
    assert _seen(outcome, case.expect) == case.expect, f"{case.why}: {outcome}"
    assert took < limit + GRACE_S
    assert outcome.attempts == server.connections == 1
    assert server.errors == []


def _in_single_bytes(script: Script) -> Script:
    return tuple(Drip(action.data) if isinstance(action, Send) else action for action in script)


def _small(case: Case) -> bool:
    sent = sum(len(action.data) for action in case.script if isinstance(action, Send))
    return case.variant == "good" and case.expect != TIMEOUT and 0 < sent < 400


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES if _small(case)])
def test_a_record_for_each_byte_changes_nothing(servers: Servers, case: Case) -> None:
    server = servers.get(case.variant, TLS_1_3)
    server.load(_in_single_bytes(case.script))
    client = _client(servers, server)
    outcome = _fetch(client, method=case.method, deadline=PATIENT_DEADLINE_S)
    client.close()
    assert _seen(outcome, case.expect) == case.expect, f"{case.why}: {outcome}"


def test_a_failure_never_repeats_bytes_of_the_peer(servers: Servers) -> None:
    server = servers.get("good", TLS_1_3)
    server.load(reply(b"HTTP/1.1 200 OK\r\nX-Injected log line\r\n\r\n"))
    client = _client(servers, server)
    outcome = _fetch(client, deadline=PATIENT_DEADLINE_S)
    client.close()
    assert isinstance(outcome, Failure)
    assert "Injected" not in outcome.detail


@pytest.mark.parametrize("version", BOTH)
def test_an_answer_and_a_failure_name_the_certificate_that_was_seen(servers: Servers, version: str) -> None:
    server = servers.get("good", version)
    server.load(reply(HELLO), reply(HELLO[:-1], Cut()))
    outcomes = []
    for _ in range(2):
        client = _client(servers, server)
        outcomes.append(_fetch(client, deadline=PATIENT_DEADLINE_S))
        client.close()
    for outcome in outcomes:
        transport = outcome.transport
        assert transport is not None
        assert (transport.tls, transport.certificate, transport.spki) == (version, *_fingerprints(servers, server))


def _fingerprints(servers: Servers, server: HostileServer) -> tuple[bytes, bytes]:
    context = client_context(servers.authority.roots_pem)
    with (
        socket.create_connection(server.address, timeout=3) as sock,
        context.wrap_socket(sock, server_hostname=HOST) as tls,
    ):
        der = tls.getpeercert(binary_form=True)
    assert der is not None
    key = x509.load_der_x509_certificate(der).public_key()
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return sha256(der).digest(), sha256(spki).digest()


def _refusing_dial(_: Upstream, deadline: float) -> socket.socket:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        host, port = unused.getsockname()
    return connect(LoopbackAddress(host=host, port=port), deadline=deadline)


def _hanging_dial(_: Upstream, deadline: float) -> socket.socket:
    """A full backlog: Linux drops the handshake of a connection too many, and the client waits."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, contextlib.ExitStack() as taken:
        host, port = full.getsockname()
        for _number in range(4):
            sock = taken.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex((host, port))
        return connect(LoopbackAddress(host=host, port=port), deadline=deadline)


@pytest.mark.parametrize(
    ("dial", "kind"), [(_refusing_dial, "connect"), (_hanging_dial, "timeout")], ids=["refused", "timed-out"]
)
def test_a_relay_that_cannot_be_reached(
    servers: Servers, dial: Callable[[Upstream, float], socket.socket], kind: str
) -> None:
    client = Client(dial=dial, tls=client_context(servers.authority.roots_pem), phases=HASTY)
    started = time.monotonic()
    outcome = _fetch(client, deadline=PATIENT_DEADLINE_S)
    assert (type(outcome), getattr(outcome, "kind", None), outcome.transport) == (Failure, kind, None)
    assert time.monotonic() - started < HASTY.connect + GRACE_S


# --- sequences: what one exchange leaves behind for the next -------------------------------------------------------

EVIL = sized(body=b"evil")
TWO = Answered(body=b"two")
SECOND = sized(body=b"two")
STOPPED = sized(status=b"HTTP/1.1 408 Request Timeout\r\n", body=b"")
KEPT: Script = (ReadRequest(), Send(HELLO), ReadRequest(), Send(SECOND))

# name -> scripts by connection, methods of the requests, expected outcomes, connections used
SEQUENCES: dict[str, tuple[tuple[Script, ...], tuple[str, ...], tuple[Expected, ...], int]] = {
    "a-connection-is-kept": ((KEPT,), ("GET", "GET"), (Answered(), TWO), 1),
    "a-connection-is-kept-after-chunks": (
        ((ReadRequest(), Send(CHUNKED_HELLO), ReadRequest(), Send(SECOND)),),
        ("GET", "GET"),
        (Answered(framing="chunked"), TWO),
        1,
    ),
    "a-pipelined-response-is-never-served": (
        (reply(HELLO + EVIL), reply(SECOND)),
        ("GET", "GET"),
        (Answered(), TWO),
        2,
    ),
    "a-late-unasked-response-is-never-served": (
        ((ReadRequest(), Send(HELLO), Sleep(0.01), Send(EVIL)), reply(SECOND)),
        ("GET", "GET"),
        (Answered(), TWO),
        2,
    ),
    "a-body-of-a-head-answer-is-never-served": (
        (reply(head(b"Content-Length: %d" % len(EVIL)) + EVIL), reply(SECOND)),
        ("HEAD", "GET"),
        (Answered(body=b"", framing="none"), TWO),
        2,
    ),
    "a-body-of-a-204-is-never-served": (
        (reply(head(status=b"HTTP/1.1 204 No\r\n") + EVIL), reply(SECOND)),
        ("GET", "GET"),
        (Answered(status=204, body=b"", framing="none"), TWO),
        2,
    ),
    "a-204-that-announces-a-body-is-the-last-answer": (
        (
            (*reply(head(b"Content-Length: 40", status=b"HTTP/1.1 204 No\r\n")), ReadRequest(), Send(EVIL)),
            reply(SECOND),
        ),
        ("GET", "GET"),
        (Answered(status=204, body=b"", framing="none"), TWO),
        2,
    ),
    "a-204-that-announces-chunks-is-the-last-answer": (
        (
            (
                *reply(head(b"Transfer-Encoding: chunked", status=b"HTTP/1.1 204 No\r\n")),
                ReadRequest(),
                Send(EVIL),
            ),
            reply(SECOND),
        ),
        ("GET", "GET"),
        (Answered(status=204, body=b"", framing="none"), TWO),
        2,
    ),
    "a-304-that-announces-a-body-is-the-last-answer": (
        (
            (*reply(head(b"Content-Length: 40", status=b"HTTP/1.1 304 No\r\n")), ReadRequest(), Send(EVIL)),
            reply(SECOND),
        ),
        ("GET", "GET"),
        (Answered(status=304, body=b"", framing="none"), TWO),
        2,
    ),
    "a-connection-is-kept-after-a-204": (
        ((*reply(head(status=b"HTTP/1.1 204 No\r\n")), ReadRequest(), Send(SECOND)),),
        ("GET", "GET"),
        (Answered(status=204, body=b"", framing="none"), TWO),
        1,
    ),
    "a-stray-byte-ends-the-connection": (
        ((ReadRequest(), Send(head(b"Content-Length: 5") + b"h"), ReadRequest(), Send(EVIL)), reply(SECOND)),
        ("HEAD", "GET"),
        (Answered(body=b"", framing="none"), TWO),
        2,
    ),
    "bytes-after-an-empty-body-are-never-served": (
        (reply(sized(body=b"") + EVIL), reply(SECOND)),
        ("GET", "GET"),
        (Answered(body=b""), TWO),
        2,
    ),
    "connection-close-is-obeyed": (
        (reply(sized(b"Connection: close")), reply(SECOND)),
        ("GET", "GET"),
        (Answered(), TWO),
        2,
    ),
    "http-1.0-is-not-kept": (
        (reply(sized(status=b"HTTP/1.0 200 OK\r\n")), reply(SECOND)),
        ("GET", "GET"),
        (Answered(), TWO),
        2,
    ),
    "a-failed-connection-is-not-kept": (
        (reply(sized(b"X-A : 1")), reply(SECOND)),
        ("GET", "GET"),
        (Failed(kind="malformed"), TWO),
        2,
    ),
    "an-idle-connection-closed-by-the-peer": (
        (reply(HELLO, CloseNotify()), reply(SECOND)),
        ("GET", "GET"),
        (Answered(), TWO),
        2,
    ),
    "an-idle-connection-cut": ((reply(HELLO, Cut()), reply(SECOND)), ("GET", "POST"), (Answered(), TWO), 2),
    "a-post-on-a-kept-connection-is-not-repeated": (
        ((ReadRequest(), Send(HELLO), ReadRequest(), Cut()), reply(SECOND)),
        ("GET", "POST"),
        (Answered(), Failed(kind="truncated")),
        1,
    ),
    "a-get-on-a-kept-connection-is-repeated-once": (
        ((ReadRequest(), Send(HELLO), ReadRequest(), Reset()), reply(SECOND)),
        ("GET", "GET"),
        (Answered(), TWO),
        2,
    ),
    "a-get-is-not-repeated-after-a-first-byte": (
        ((ReadRequest(), Send(HELLO), ReadRequest(), Send(b"H"), Cut()), reply(SECOND)),
        ("GET", "GET"),
        (Answered(), Failed(kind="truncated")),
        1,
    ),
    "a-408-on-a-kept-connection-is-no-answer": (
        ((ReadRequest(), Send(HELLO), ReadRequest(), Send(STOPPED)), reply(SECOND)),
        ("GET", "GET"),
        (Answered(), TWO),
        2,
    ),
    "a-408-on-a-kept-connection-repeats-no-post": (
        ((ReadRequest(), Send(HELLO), ReadRequest(), Send(STOPPED), ReadRequest(), Send(EVIL)), reply(SECOND)),
        ("GET", "POST", "GET"),
        (Answered(), Failed(kind="truncated"), TWO),
        2,
    ),
    "a-408-on-a-new-connection-is-an-answer": (
        (reply(HELLO, ReadRequest(), Send(STOPPED)), reply(STOPPED)),
        ("GET", "GET"),
        (Answered(), Answered(status=408, body=b"")),
        2,
    ),
    "a-first-connection-is-not-repeated": (
        ((ReadRequest(), Cut()), reply(SECOND)),
        ("GET", "GET"),
        (Failed(kind="truncated"), TWO),
        2,
    ),
}


@pytest.mark.parametrize("version", BOTH)
@pytest.mark.parametrize("name", SEQUENCES)
def test_what_one_exchange_leaves_to_the_next(servers: Servers, name: str, version: str) -> None:
    scripts, methods, expected, used = SEQUENCES[name]
    server = servers.get("good", version)
    server.load(*scripts)
    client = _client(servers, server)
    seen = []
    for method, one in zip(methods, expected, strict=True):
        seen.append(_seen(_fetch(client, method=method, deadline=PATIENT_DEADLINE_S), one))
        time.sleep(0.5 if name == "an-idle-connection-cut" else 0.05)  # what the peer does to it has arrived by now
    client.close()
    assert tuple(seen) == expected
    assert server.connections == used
    assert server.errors == []
