"""The TLS upstream that both sides ask: nginx where it is installed, since it costs little, else devstack's stand-in.

Both answer with the same body, VIES's answer for a valid VAT number, and below `sized.FOLDER` with as many bytes as the
path says. The certificate names the real host, which our policy demands, and `localhost`, which the peers use; both are
reached on loopback TCP.
"""

import shutil
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from bench import sized
from bench.processes import Child, Processes, wait_for
from bench.vies_call import CALL, HOST, PATH
from devstack.ports import free_port
from devstack.tls_pki import Authority
from devstack.upstream import MAX_BODY_BYTES, Handler, Request, Response, UpstreamServer
from devstack.vies import Vies
from devstack.worker import ROOTS

ALIAS = "localhost"
NGINX = """
daemon off; pid {folder}/nginx.pid; error_log stderr warn; worker_processes 1;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 75s;
  client_body_temp_path {folder}/t; proxy_temp_path {folder}/t; fastcgi_temp_path {folder}/t;
  uwsgi_temp_path {folder}/t; scgi_temp_path {folder}/t;
  server {{
    listen 127.0.0.1:{port} ssl backlog=512; server_name {host} {alias};
    ssl_certificate {folder}/chain.pem; ssl_certificate_key {folder}/key.pem; ssl_protocols TLSv1.2 TLSv1.3;
    location = {path} {{ default_type application/json; return 200 '{body}'; }}
    location {sized}/ {{  # files, whatever is posted to them
      root {folder}; default_type text/plain; error_page 405 =200 $uri; client_max_body_size 8m;
    }}
  }}
  server {{
    listen 127.0.0.1:{closing} ssl backlog=512; server_name {host} {alias}; keepalive_timeout 0;
    ssl_certificate {folder}/chain.pem; ssl_certificate_key {folder}/key.pem; ssl_protocols TLSv1.2 TLSv1.3;
    location = {path} {{ default_type application/json; return 200 '{body}'; }}
  }}
}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """A running upstream: `url` for those who may name it as they like, `roots` the PEM file of its authority.

    It takes bodies of at most `max_body_bytes`. On `closing_port` it closes each connection after one answer.
    """

    name: str
    max_body_bytes: int
    child: Child
    port: int
    closing_port: int
    roots: Path

    @property
    def url(self) -> str:
        """The address by which the peers ask."""
        return f"https://{ALIAS}:{self.port}{PATH}"


def start(processes: Processes) -> Upstream:
    """Start the best upstream that this machine has, and wait until it accepts."""
    port, closing = free_port(), free_port()
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if nginx:
        _configure(processes.folder, port, closing)
        command = [nginx, "-p", str(processes.folder), "-c", str(processes.folder / "nginx.conf")]
        child, name, most = processes.start("upstream", command), _version(nginx), 8 * 1024 * 1024
    else:
        child = processes.module("upstream", "bench.upstream", processes.folder, port, closing)
        name, most = "devstack's Python stand-in (nginx is not installed)", MAX_BODY_BYTES
    wait_for(child, lambda: _accepts(port) and _accepts(closing))
    roots = processes.folder / ROOTS
    return Upstream(name=name, max_body_bytes=most, child=child, port=port, closing_port=closing, roots=roots)


def answer() -> Response:
    """Return what VIES says to the call."""
    headers = {name.lower(): value for name, value in CALL["headers"].items()}
    return Vies()(Request(method=CALL["method"], host=HOST, path=PATH, headers=headers, body=CALL["body"].encode()))


def _configure(folder: Path, port: int, closing: int) -> None:
    authority = Authority()
    identity = authority.issue(HOST, ALIAS)
    (folder / ROOTS).write_text(authority.roots_pem, encoding="ascii")
    (folder / "chain.pem").write_bytes(identity.chain_pem)
    (folder / "key.pem").write_bytes(identity.key_pem)
    body = answer().body.decode()
    if any(character in body for character in "'\\$"):
        raise ValueError("the body needs quoting that nginx's configuration does not have")
    text = NGINX.format(
        folder=folder, port=port, closing=closing, host=HOST, alias=ALIAS, path=PATH, body=body, sized=sized.FOLDER
    )
    sized.write_answers(folder)
    (folder / "nginx.conf").write_text(text, encoding="utf-8")


def _version(nginx: str) -> str:
    said = subprocess.run([nginx, "-v"], capture_output=True, text=True, check=True).stderr
    return said.strip().rpartition(" ")[2] or "nginx"


def _accepts(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def main(arguments: list[str]) -> int:
    """Serve devstack's stand-in until the process is ended: `python -m bench.upstream FOLDER PORT CLOSING_PORT`."""
    authority, canned = Authority(), answer()
    (Path(arguments[0]) / ROOTS).write_text(authority.roots_pem, encoding="ascii")

    def answered(request: Request) -> Response:
        return canned if request.path == PATH else sized.answer(request)

    def closes(request: Request) -> Response:
        said = answered(request)
        return replace(said, headers=(*said.headers, ("Connection", "close")))

    def server(handler: Handler, port: str) -> UpstreamServer:
        return UpstreamServer(dict.fromkeys((HOST, ALIAS), handler), authority=authority, port=int(port))

    with server(answered, arguments[1]), server(closes, arguments[2]):
        signal.pause()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
