"""What surrounds the parent in its VM: upstream stand-ins with real TLS, a vsock-proxy for each, a way in for tests.

`python -m devstack.parent_services`, in the VM that `devstack.parent_vm` makes. Ways in, since the VM has no network:
vsock port 5001 leads to the parent's HTTP, port 5000 to the worker, so that a test can speak frames as CID 3.
"""

import socket
import sys
import threading
from pathlib import Path

from devstack.handlers import HANDLERS
from devstack.relay import Relay
from devstack.tls_identity import IssuedBefore
from devstack.upstream import Handler, Request, Response, UpstreamServer
from policy import manifest
from wire.addresses import VsockAddress

IDENTITIES = Path(__file__).parent.parent / "identities"
HTTP = ("127.0.0.1", 5001)  # gunicorn_conf.py
WAY_TO_HTTP, WAY_TO_WORKER = 5001, 5000
MAX_CONNECTIONS = 256
LARGE_PATH = "/devstack/large"  # in no policy that is shipped


def main() -> int:
    """Serve until the machine ends."""
    service = manifest.load(Path("/opt/tytle/services/vies.toml").read_bytes())
    handlers: dict[str, Handler] = {each.host: with_large(HANDLERS[each.host]()) for each in service.upstreams}
    with UpstreamServer(handlers, authority=IssuedBefore(IDENTITIES)) as upstream:
        relays = {each.proxy_port: upstream.address for each in service.upstreams}
        for port, target in {**relays, WAY_TO_HTTP: HTTP}.items():
            Relay(target, listen=on(port), max_connections=MAX_CONNECTIONS).start()
        worker = VsockAddress(cid=service.cid, port=service.port)
        Relay(worker, listen=on(WAY_TO_WORKER), max_connections=MAX_CONNECTIONS).start()
        print("stand-ins: ready", flush=True)
        threading.Event().wait()
    return 0


def on(port: int) -> VsockAddress:
    """Return the address that listens on a port of every CID."""
    return VsockAddress(cid=socket.VMADDR_CID_ANY, port=port)


def with_large(handler: Handler) -> Handler:
    """Return a handler that also answers `LARGE_PATH?escaped=M&plain=N`: M control characters, then N letters."""

    def answer(request: Request) -> Response:
        if request.path != LARGE_PATH:
            return handler(request)
        sizes = dict(request.query)
        return Response(
            status=200,
            headers=(("Content-Type", "text/plain"),),
            body=b"\x01" * int(sizes["escaped"]) + b"a" * int(sizes["plain"]),
        )

    return answer


if __name__ == "__main__":
    sys.exit(main())
