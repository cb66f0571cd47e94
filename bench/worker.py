"""A real worker with a soft NSM, wired straight to the upstream: `python -m bench.worker MANIFEST FOLDER ROOTS PORT`.

As `devstack.worker`, but every upstream is 127.0.0.1:PORT: on a host the bytes pass vsock-proxy, a native program of
AWS's; devstack's stand-in for it is written in Python and would be measured in its place.
"""

import argparse
import socket
import sys
from pathlib import Path

from devstack.soft_nsm import SoftNsm
from devstack.worker import NSM_ROOT, socket_path
from enclave_worker import system
from enclave_worker.__main__ import serve
from enclave_worker.handlers import HANDLERS
from enclave_worker.log import Log
from enclave_worker.server import FrameHandler, FrameServer
from enclave_worker.upstream.tls import client_context
from enclave_worker.worker import DEFAULT_CAPACITY, Capacity, Worker
from policy import manifest
from policy.manifest import Upstream
from wire import frames, sockets
from wire.addresses import LoopbackAddress, UnixAddress


class OneAnswer(FrameHandler):
    """One question, its answer, and the connection is closed, as the predecessor does.

    Our parent finds that out by itself, and makes a new connection for every call.
    """

    def handle(self) -> None:
        """Serve the connection."""
        payload = self._receive(frames.Decoder())
        if payload is not None:
            self._send(*self.server.answer(payload))


def main(arguments: list[str]) -> int:
    """Serve until SIGTERM."""
    options = _options(arguments)
    policy = manifest.load(options.manifest.read_bytes())
    system.keep_to_one_cpu()
    log = Log(policy.name)
    nsm = SoftNsm(service_time=options.nsm_seconds)
    (options.folder / NSM_ROOT).write_text(nsm.pki.root_pem, encoding="ascii")

    def dial(_: Upstream, deadline: float) -> socket.socket:
        return sockets.connect(LoopbackAddress(host="127.0.0.1", port=options.port), deadline=deadline)

    worker = Worker(
        manifest=policy,
        exchange=nsm.exchange,
        dial=dial,
        tls=client_context(options.roots.read_text(encoding="ascii")),
        operations=HANDLERS.get(policy.name, ()),
        capacity=Capacity(fetches=options.fetches),
        log=log,
    )
    listener = sockets.listen(UnixAddress(path=str(socket_path(options.folder, policy.name))))
    server = FrameServer(listener, worker.payloads, log=log)
    if options.one_answer:
        server.RequestHandlerClass = OneAnswer
    serve(server, log)
    worker.close()
    return 0


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.worker")
    parser.add_argument("manifest", type=Path)
    parser.add_argument("folder", type=Path, help="where it listens and leaves the root of its documents")
    parser.add_argument("roots", type=Path, help="PEM file of the upstream's authority")
    parser.add_argument("port", type=int, help="the upstream's")
    parser.add_argument("--nsm-seconds", type=float, default=0.0, help="service time of the soft NSM")
    parser.add_argument("--fetches", type=int, default=DEFAULT_CAPACITY.fetches, help="at once")
    parser.add_argument("--one-answer", action="store_true", help="close each connection after one answer")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
