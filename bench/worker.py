"""A real worker with a soft NSM, wired straight to the upstream: `python -m bench.worker MANIFEST FOLDER PORT`.

As `devstack.worker`, but every upstream is 127.0.0.1:PORT: on a host the bytes pass vsock-proxy, a native program of
AWS's; devstack's stand-in for it is written in Python and would be measured in its place.
"""

import socket
import sys
from pathlib import Path

from devstack.soft_nsm import SoftNsm
from devstack.worker import NSM_ROOT, ROOTS, socket_path
from enclave_worker.__main__ import serve
from enclave_worker.handlers import HANDLERS
from enclave_worker.log import Log
from enclave_worker.server import FrameServer
from enclave_worker.upstream.tls import client_context
from enclave_worker.worker import Worker
from policy import manifest
from policy.manifest import Upstream
from wire import sockets
from wire.addresses import LoopbackAddress, UnixAddress


def main(arguments: list[str]) -> int:
    """Serve until SIGTERM."""
    path, folder, port = Path(arguments[0]), Path(arguments[1]), int(arguments[2])
    policy = manifest.load(path.read_bytes())
    log = Log(policy.name)
    nsm = SoftNsm()
    (folder / NSM_ROOT).write_text(nsm.pki.root_pem, encoding="ascii")

    def dial(_: Upstream, deadline: float) -> socket.socket:
        return sockets.connect(LoopbackAddress(host="127.0.0.1", port=port), deadline=deadline)

    tls = client_context((folder / ROOTS).read_text(encoding="ascii"))
    operations = HANDLERS.get(policy.name, ())
    worker = Worker(manifest=policy, exchange=nsm.exchange, dial=dial, tls=tls, operations=operations, log=log)
    listener = sockets.listen(UnixAddress(path=str(socket_path(folder, policy.name))))
    serve(FrameServer(listener, worker.payloads, log=log), log)
    worker.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
