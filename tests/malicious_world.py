"""The world that a malicious parent stands in: enclaves of two services, a second boot, a debug one, one of other code.

Real workers with soft NSMs under one root, real sockets between them and whoever plays parent, real TLS upstreams.
Each upstream answer is numbered (`X-Answer`) and kept, so that what a client accepted can be told to be the answer to
exactly what it asked. Nothing here knows the verifier.
"""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from devstack.handlers import HANDLERS as STAND_INS
from devstack.nsm_pki import NsmPki
from devstack.nsm_registers import IMAGE
from devstack.soft_nsm import SoftNsm
from devstack.tls_pki import Authority
from devstack.upstream import Handler, Request, Response, UpstreamServer
from enclave_worker.handlers import HANDLERS
from enclave_worker.log import Log
from enclave_worker.server import FrameServer
from enclave_worker.upstream.tls import client_context
from enclave_worker.worker import Worker
from policy import manifest
from policy.manifest import Manifest, Upstream
from wire import frames, sockets
from wire.addresses import UnixAddress
from wire.errors import PeerLost

SERVICES = Path(__file__).parent.parent / "services"
ANSWER = "X-Answer"
PATIENCE_SECONDS = 20.0
OTHER_IMAGE = {**IMAGE, 0: b"\x66" * 48}
ENCLAVES: Mapping[str, tuple[str, dict[str, Any]]] = {  # all registers alike: only what is signed tells them apart
    "vies": ("vies", {}),
    "second boot": ("vies", {}),
    "debug": ("vies", {"debug": True}),
    "other code": ("vies", {"pcrs": OTHER_IMAGE}),
    "other service": ("sicae", {}),
}


class _Silence:
    """Where the workers' logs go."""

    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        pass


@dataclass
class Record:
    """What the upstreams were asked and answered, numbered."""

    answers: list[tuple[Request, Response]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def keeping(self, handler: Handler) -> Handler:
        def answer(request: Request) -> Response:
            made = handler(request)
            with self.lock:
                numbered = replace(made, headers=(*made.headers, (ANSWER, str(len(self.answers)))))
                self.answers.append((request, numbered))
            return numbered

        return answer


@dataclass(kw_only=True)
class World:
    """What runs. `cut` makes every way to an upstream fail."""

    folder: Path
    pki: NsmPki
    attacker: NsmPki
    record: Record
    manifests: Mapping[str, Manifest]
    workers: dict[str, Worker] = field(default_factory=dict)
    cut: bool = False

    def address(self, enclave: str) -> UnixAddress:
        return UnixAddress(path=str(self.folder / f"{enclave.replace(' ', '-')}.sock"))

    def exchange(self, enclave: str, *messages: Mapping[str, Any], replies: int | None = None) -> list[bytes]:
        """Send these frames on one connection; return the payloads that come, one for each unless told otherwise."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        decoder = frames.Decoder()
        with contextlib.closing(sockets.connect(self.address(enclave), deadline=deadline)) as sock:
            for message in messages:
                sockets.send(sock, frames.encode(json.dumps(message).encode()), deadline=deadline)
            count = len(messages) if replies is None else replies
            return [sockets.receive_frame(sock, decoder, deadline=deadline) or b"" for _ in range(count)]

    @contextlib.contextmanager
    def without_upstreams(self) -> Iterator[None]:
        self.cut = True
        try:
            yield
        finally:
            self.cut = False


@contextlib.contextmanager
def running(folder: Path) -> Iterator[World]:
    """Start it all, and stop it."""
    authority = Authority()
    services = {service for service, _ in ENCLAVES.values()}
    manifests = {name: manifest.load((SERVICES / f"{name}.toml").read_bytes()) for name in services}
    world = World(folder=folder, pki=NsmPki(), attacker=NsmPki(), record=Record(), manifests=manifests)
    with contextlib.ExitStack() as cleanup:
        dial = _serve_upstreams(world, authority, cleanup)
        for name, (service, registers) in ENCLAVES.items():
            worker = Worker(
                manifest=manifests[service],
                operations=HANDLERS[service],
                exchange=SoftNsm(pki=world.pki, **registers).exchange,
                dial=dial,
                tls=client_context(authority.roots_pem),
                log=Log(service, stream=_Silence()),  # type: ignore[arg-type]
            )
            world.workers[name] = worker
            cleanup.callback(worker.close)
            _serve(worker, world.address(name), cleanup)
        yield world


def _serve(worker: Worker, address: UnixAddress, cleanup: contextlib.ExitStack) -> None:
    log = Log("frames", stream=_Silence())  # type: ignore[arg-type]
    server = FrameServer(sockets.listen(address), worker.payloads, log=log)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    cleanup.callback(server.stop)


def _serve_upstreams(
    world: World, authority: Authority, cleanup: contextlib.ExitStack
) -> Callable[[Upstream, float], socket.socket]:
    upstreams = [upstream for each in world.manifests.values() for upstream in each.upstreams]
    addresses = {}
    for tls in (True, False):
        hosts = {each.host: world.record.keeping(STAND_INS[each.host]()) for each in upstreams if each.tls is tls}
        server = cleanup.enter_context(UpstreamServer(hosts, authority=authority if tls else None))
        addresses[tls] = server.address

    def dial(upstream: Upstream, deadline: float) -> socket.socket:
        if world.cut:
            raise PeerLost("cut", delivered=False)
        return socket.create_connection(addresses[upstream.tls], timeout=max(0.1, deadline - time.monotonic()))

    return dial
