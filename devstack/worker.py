"""One enclave worker as a process: the measured code, handed a soft NSM, a test CA and relays in a folder.

`python -m devstack.worker MANIFEST FOLDER [--number N] [--live] [--nsm-seconds S] [--key-seconds S] [--steered]`. It
listens on FOLDER/NAME.sock, or on FOLDER/NAME-N.sock as a further enclave of the service, and reaches the upstream with
proxy port P through FOLDER/relay-P.sock. FOLDER/nsm-root.pem is the root of its documents, and of those of the next
worker in this folder, as AWS's is of all. With --steered its NSM and clocks go wrong as FOLDER/NAME-N.steer says
(devstack.steering).
"""

import argparse
import functools
import socket
import sys
from pathlib import Path

import certifi

from devstack.nsm_pki import NsmPki
from devstack.soft_nsm import SoftNsm
from devstack.steering import Steering
from enclave_worker import system
from enclave_worker.__main__ import serve
from enclave_worker.handlers import HANDLERS
from enclave_worker.log import Log
from enclave_worker.sealed.keys import DEFAULT_LIFETIME, Lifetime
from enclave_worker.server import FrameServer
from enclave_worker.upstream.tls import client_context
from enclave_worker.worker import Worker, unix_milliseconds
from policy import manifest
from policy.manifest import Upstream
from wire import sockets
from wire.addresses import UnixAddress

ROOTS = "upstream-roots.pem"
NSM_ROOT = "nsm-root.pem"
NSM_ROOT_KEY = "nsm-root.key"


def relay_path(folder: Path, upstream: Upstream) -> Path:
    """Return where the relay for this upstream listens."""
    return folder / f"relay-{upstream.proxy_port}.sock"


def socket_path(folder: Path, service: str, number: int = 0) -> Path:
    """Return where this service's worker listens; `number` tells several of one service apart."""
    return folder / (f"{service}-{number}.sock" if number else f"{service}.sock")


def steer_path(folder: Path, service: str, number: int = 0) -> Path:
    """Return where it is said what goes wrong in a steered worker."""
    return folder / f"{service}-{number}.steer"


def main(arguments: list[str]) -> int:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("manifest", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--number", type=int, default=0, help="which of several enclaves of the service it is")
    parser.add_argument("--live", action="store_true", help="trust the public certificate authorities")
    parser.add_argument("--nsm-seconds", type=float, default=0.0, help="service time of the soft NSM")
    parser.add_argument("--key-seconds", type=float, help="how long a sealing key is current, and then still accepted")
    parser.add_argument("--steered", action="store_true", help="let a file say what goes wrong")
    options = parser.parse_args(arguments)
    system.forbid_core_dumps()  # an image's boot does more: enclave_worker.boot.confine_process
    policy = manifest.load(options.manifest.read_bytes())
    system.keep_to_one_cpu()
    pki = NsmPki.kept_in(options.folder / NSM_ROOT, options.folder / NSM_ROOT_KEY)
    nsm = SoftNsm(service_time=options.nsm_seconds, pki=pki)
    exchange, clock_ms = nsm.exchange, unix_milliseconds
    if options.steered:
        steering = Steering(steer_path(options.folder, policy.name, options.number))
        clock, sleep = steering.nsm_clock, steering.sleep
        nsm = SoftNsm(service_time=options.nsm_seconds, pki=pki, clock=clock, sleep=sleep)
        exchange, clock_ms = functools.partial(steering.exchange, nsm), steering.clock_ms
    roots = Path(certifi.where()) if options.live else options.folder / ROOTS

    def dial(upstream: Upstream, deadline: float) -> socket.socket:
        return sockets.connect(UnixAddress(path=str(relay_path(options.folder, upstream))), deadline=deadline)

    log = Log(policy.name)
    tls = client_context(roots.read_text(encoding="ascii"))
    operations = HANDLERS.get(policy.name, ())
    worker = Worker(
        manifest=policy,
        exchange=exchange,
        clock_ms=clock_ms,
        dial=dial,
        tls=tls,
        operations=operations,
        lifetime=_lifetime(options.key_seconds),
        log=log,
    )
    path = socket_path(options.folder, policy.name, options.number)
    path.unlink(missing_ok=True)
    serve(FrameServer(sockets.listen(UnixAddress(path=str(path))), worker.payloads, log=log), log)
    worker.close()
    return 0


def _lifetime(seconds: float | None) -> Lifetime:
    if seconds is None:
        return DEFAULT_LIFETIME
    milliseconds = round(seconds * 1000)
    return Lifetime(current_ms=milliseconds, overlap_ms=milliseconds)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
