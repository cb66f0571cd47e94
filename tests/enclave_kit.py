"""A whole enclave in one test process: real TLS upstream, soft NSM, worker. No device, no vsock, nothing mocked."""

import base64
import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import StringIO
from typing import Any

import cbor2

from devstack.soft_nsm import SoftNsm
from devstack.tls_pki import Authority
from devstack.upstream import Request, Response, UpstreamServer
from enclave_worker.handlers.operation import Operation
from enclave_worker.log import Log
from enclave_worker.sealed.keys import Lifetime
from enclave_worker.upstream.phases import Phases
from enclave_worker.upstream.tls import client_context
from enclave_worker.worker import Capacity, Worker, unix_milliseconds
from policy import manifest
from policy.manifest import Upstream
from wire.errors import PeerLost

HOST = "upstream.test"
VAULT = "vault.test"  # takes credentials in sealed requests only
MANIFEST = b"""
name = "test"
cid = 16
port = 5000
ecr_tag = "test"
pcr0_parameter = "/tytle/{env}/enclave/test/pcr0"

[[upstreams]]
host = "upstream.test"
proxy_port = 8443
tls = true
secret_headers = ["x-secret"]

[[upstreams.rules]]
method = "GET"
path = "/{name:alnum:1-32}"
query_optional = ["q="]
headers = ["authorization", "x-secret", "x-plain"]
max_response_bytes = 8388608

[[upstreams.rules]]
method = "POST"
path = "/{name:alnum:1-32}"
headers = ["authorization", "x-plain"]
media_types = ["text/plain", "application/octet-stream"]
max_request_bytes = 8388608
max_response_bytes = 8388608

[[upstreams]]
host = "vault.test"
proxy_port = 8444
tls = true
secret_headers = ["x-secret"]
sealed = "required"

[[upstreams.rules]]
method = "GET"
path = "/{name:alnum:1-32}"
headers = ["authorization", "x-secret", "x-plain"]
max_response_bytes = 8388608
"""

Handler = Callable[[Request], Response]


def echo(request: Request) -> Response:
    """Answer with what was asked."""
    return Response(status=200, headers=(("Content-Type", "text/plain"),), body=request.body or request.path.encode())


@dataclass(kw_only=True)
class Enclave:
    """A worker with everything around it. `fetch` speaks to it as the parent does, without the socket."""

    worker: Worker
    upstream: UpstreamServer
    nsm: SoftNsm
    authority: Authority
    log: StringIO = field(default_factory=StringIO)

    def fetch(self, path: str = "/hello", **fields: Any) -> dict[str, Any]:
        call = {"id": "r1", "url": f"https://{HOST}{path}", "method": "GET", "headers": {}, **fields}
        return self.ask(call)

    def query(self, operation: str, params: dict[str, Any], **fields: Any) -> dict[str, Any]:
        return self.ask({"id": "q1", "service": "test", "operation": operation, "params": params, **fields})

    def ask(self, message: dict[str, Any]) -> dict[str, Any]:
        reply: dict[str, Any] = json.loads(self.worker.answer(json.dumps(message).encode()))
        return reply


@contextlib.contextmanager
def enclave(
    handler: Handler = echo,
    *,
    nsm: SoftNsm | None = None,
    phases: Phases | None = None,
    capacity: Capacity | None = None,
    dial: Callable[[Upstream, float], socket.socket] | None = None,
    lifetime: Lifetime | None = None,
    clock_ms: Callable[[], int] = unix_milliseconds,
    toml: bytes = MANIFEST,
    operations: tuple[Operation, ...] = (),
) -> Iterator[Enclave]:
    authority = Authority()
    module = nsm or SoftNsm()
    log = StringIO()
    with UpstreamServer({HOST: handler, VAULT: handler}, authority=authority) as server:

        def direct(_: Upstream, deadline: float) -> socket.socket:
            try:
                return socket.create_connection(server.address, timeout=2)
            except OSError as exc:
                raise PeerLost("down", delivered=False) from exc

        worker = Worker(
            manifest=manifest.load(toml),
            operations=operations,
            exchange=module.exchange,
            dial=dial or direct,
            tls=client_context(authority.roots_pem),
            phases=phases or Phases(connect=1.0, tls=1.0, first_byte=2.0),
            capacity=capacity or Capacity(),
            lifetime=lifetime or Lifetime(),
            clock_ms=clock_ms,
            log=Log("test", stream=log),
        )
        try:
            yield Enclave(worker=worker, upstream=server, nsm=module, authority=authority, log=log)
        finally:
            worker.close()


class Gate:
    """An NSM that waits at its first request until `open` is set, and counts its documents."""

    def __init__(self) -> None:
        self.nsm = SoftNsm()
        self.busy, self.open = threading.Event(), threading.Event()
        self.documents = 0

    def exchange(self, request: bytes) -> bytes:
        self.documents += 1
        self.busy.set()
        assert self.open.wait(10)
        return self.nsm.exchange(request)


def together(running: Enclave, gate: Gate, ask: Callable[[int], Any], count: int = 5) -> list[Any]:
    """Have `count` batch calls wait while the NSM is held by one before them; return what `ask` returned for each."""
    first = threading.Thread(target=lambda: running.fetch("/a1", mode="batch"))
    first.start()
    assert gate.busy.wait(5)
    attestor = running.worker._attestor

    def release() -> None:
        while attestor._jobs.qsize() < count:
            time.sleep(0.001)
        gate.open.set()

    opening = threading.Thread(target=release)
    opening.start()
    replies = in_threads(count, ask)
    for thread in (first, opening):
        thread.join()
    return replies


def statement_of(reply: dict[str, Any]) -> dict[str, Any]:
    said: dict[str, Any] = cbor2.loads(base64.b64decode(reply["attestation"]["statement"]))
    return said


def in_threads(count: int, work: Callable[[int], Any]) -> list[Any]:
    """Run `work(0) .. work(count - 1)` at once; return the results in order. An exception in one is raised."""
    results: list[Any] = [None] * count
    errors: list[BaseException] = []

    def run(index: int) -> None:
        try:
            results[index] = work(index)
        except BaseException as exc:  # noqa: BLE001  carried over to the test's own thread
            errors.append(exc)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results
