"""A service for requests and answers of chosen sizes: its policy, its calls, and what its upstream says.

The real services' policies allow no body of 1 MiB. Text, so that neither side has to encode it.
"""

import json
from pathlib import Path
from typing import Any

from bench.caller import http_request
from bench.vies_call import HOST
from devstack.upstream import Request, Response

NAME = "sized"
FOLDER = "/sized"
SIZES = {"1 KiB": 1024, "1 MiB": 1024**2}  # the bytes of the body, there and back
MORE_SIZES = {"1 KiB": 1024, "32 KiB": 32 * 1024, "256 KiB": 256 * 1024, "1 MiB": 1024**2, "8 MiB": 8 * 1024**2}
MANIFEST = f"""
name = "{NAME}"
cid = 16
port = 5000
ecr_tag = "{NAME}"
pcr0_parameter = "/tytle/{{env}}/enclave/{NAME}/pcr0"

[[upstreams]]
host = "{HOST}"
proxy_port = 8443
tls = true

[[upstreams.rules]]
method = "POST"
path = "{FOLDER}/{{size:digits:4-7}}"
media_types = ["text/plain"]
max_request_bytes = 8388608
max_response_bytes = 8388608
"""


def write_manifest(folder: Path) -> Path:
    """Write the policy into a folder of services; return the file."""
    path = folder / "services" / f"{NAME}.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(MANIFEST, encoding="utf-8")
    return path


def write_answers(folder: Path) -> None:
    """Write what nginx serves under this root: a file for each size."""
    folder.chmod(0o711)  # where nginx's master is root, its workers are another user
    (folder / FOLDER.strip("/")).mkdir()
    for size in MORE_SIZES.values():
        (folder / FOLDER.strip("/") / str(size)).write_text(_text(size), encoding="ascii")


def answer(request: Request) -> Response:
    """Return what a stand-in says to a request for a size; 404 to any other."""
    size = request.path.removeprefix(f"{FOLDER}/")
    if size not in map(str, MORE_SIZES.values()):
        return Response(status=404)
    return Response(status=200, headers=(("Content-Type", "text/plain"),), body=_text(int(size)).encode())


def call(size: int, *, back: int | None = None) -> dict[str, Any]:
    """Return the call that sends a body of `size` bytes, and is answered with one of `back`, or as many."""
    return {
        "url": f"https://{HOST}{FOLDER}/{back or size}",
        "method": "POST",
        "headers": {"Content-Type": "text/plain"},
        "body": _text(size),
    }


def write_request(folder: Path, size: int, *, back: int | None = None, mode: str = "document") -> Path:
    """Write the HTTP request of an unsealed call of this size; return the file."""
    path = folder / f"{size}-{back or size}-{mode}.http"
    path.write_bytes(http_request("/attest/fetch", json.dumps({**call(size, back=back), "mode": mode}).encode()))
    return path


def _text(size: int) -> str:
    line = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ\n"
    return (line * (size // len(line) + 1))[:size]
