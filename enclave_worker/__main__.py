"""The enclave's entry point: chooses what the worker trusts, and takes no choice from outside.

No argument, environment variable or file that the host could change is read: the policy is the one services/NAME.toml
of this image, the roots are certifi's, the NSM is /dev/nsm, the upstreams are reached through CID 3.
"""

import signal
import socket
import sys
import threading
from pathlib import Path

import certifi

from enclave_worker import system
from enclave_worker.boot import boot
from enclave_worker.handlers import HANDLERS
from enclave_worker.log import Log
from enclave_worker.server import FrameServer
from enclave_worker.upstream.tls import client_context
from enclave_worker.worker import Worker, unix_milliseconds
from nsm.device import Device
from policy import manifest
from policy.manifest import Manifest, Upstream
from wire import sockets
from wire.addresses import PARENT_CID, VsockAddress

SERVICES = Path(__file__).parent.parent / "services"


def main() -> int:
    """Serve until SIGTERM. Returns the exit status."""
    policy = the_manifest(SERVICES)
    log = Log(policy.name)
    with Device() as device:
        report = boot(device.exchange, policy, clock_ms=unix_milliseconds)
        for finding in report:
            log.event("boot", check=finding.check, found=finding.found)
        system.keep_to_one_cpu()  # before the first thread is started
        worker = Worker(
            manifest=policy,
            exchange=device.exchange,
            report=report,
            operations=HANDLERS.get(policy.name, ()),
            dial=dial_parent,
            tls=client_context(Path(certifi.where()).read_text(encoding="ascii")),
            log=log,
        )
        listener = sockets.listen(VsockAddress(cid=socket.VMADDR_CID_ANY, port=policy.port))
        serve(FrameServer(listener, worker.payloads, log=log), log)
        worker.close()
    return 0


def the_manifest(folder: Path) -> Manifest:
    """Return the one policy of this image.

    Raises:
        ValueError: the folder holds none, or more than one: an image is for one service.
    """
    found = sorted(folder.glob("*.toml"))
    if len(found) != 1:
        raise ValueError(f"an image holds exactly one service, found {len(found)}")
    return manifest.load(found[0].read_bytes())


def dial_parent(upstream: Upstream, deadline: float) -> socket.socket:
    """Connect to the vsock-proxy that the parent runs for this upstream."""
    return sockets.connect(VsockAddress(cid=PARENT_CID, port=upstream.proxy_port), deadline=deadline)


def serve(server: FrameServer, log: Log) -> None:
    """Serve until SIGTERM or SIGINT, then finish what has begun."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())

    def accept() -> None:
        try:
            server.serve_forever()
        finally:
            stopping.set()  # a worker that no longer accepts must end, and the enclave with it

    thread = threading.Thread(target=accept, name="accept")
    thread.start()
    log.event("listening")
    stopping.wait()
    server.stop()
    thread.join()
    log.event("stopped")


if __name__ == "__main__":
    sys.exit(main())
