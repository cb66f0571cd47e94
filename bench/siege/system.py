"""The system under siege: an upstream, one that never answers, a worker for each, and the parent before both."""

import json
import socket
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.config import SERVICES
from bench import ours, upstream
from bench.caller import TOKEN, http_request
from bench.processes import CONFIGURED, Child, Processes, wait_for
from bench.siege import tokens
from bench.vies_call import CALL
from devstack.memory import KIB_PER_MIB, Memory
from devstack.worker import ROOTS, socket_path

SILENT = "silent"
SILENT_HOST = "silent.example"
MODE = "session"  # its proof costs least
FLOOD_MS = 2000  # what the flood's callers wait: bench.siege.callers.PATIENCE_SECONDS
BACKLOG = 4096
MANIFEST = f"""
name = "{SILENT}"
cid = 99
port = 5000
ecr_tag = "{SILENT}"
pcr0_parameter = "/tytle/{{env}}/enclave/{SILENT}/pcr0"

[[upstreams]]
host = "{SILENT_HOST}"
proxy_port = 8499
tls = true

[[upstreams.rules]]
method = "GET"
path = "/"
max_response_bytes = 65536
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """What is running. The requests are files for `bench.siege.callers`; `socket` is the first worker's."""

    parent: Child
    worker: Child
    others: tuple[Child, ...]
    port: int
    socket: Path
    honest: Path
    flood: Path
    silent_flood: Path

    @property
    def serving(self) -> tuple[Child, ...]:
        """Every process whose CPU time is the system's."""
        return (self.parent, self.worker, *self.others)


def start(processes: Processes, stack: ExitStack) -> System:
    """Start everything. What the stack holds lives as long as it."""
    folder = processes.folder
    services = folder / "siege-services"
    services.mkdir()
    (services / "vies.toml").write_bytes((SERVICES / "vies.toml").read_bytes())
    (services / f"{SILENT}.toml").write_text(MANIFEST, encoding="utf-8")
    server = upstream.start(processes)
    worker, _ = ours.start_worker(processes, server)
    silent = _start_silent(processes, stack, services)
    application = f"bench.siege.parent:create({str(folder)!r}, {str(services)!r})"
    environ = {"TOKENS_FILE": str(tokens.write(folder))}
    parent, port = processes.gunicorn(application, how=CONFIGURED, environ=environ)
    call = {**CALL, "mode": MODE}
    return System(
        parent=parent,
        worker=worker,
        others=(server.child, silent),
        port=port,
        socket=ours.worker_socket(processes),
        honest=_request(folder / "honest.http", call, TOKEN),
        flood=_request(folder / "flood.http", {**call, "timeoutMs": FLOOD_MS}, tokens.FLOOD),
        silent_flood=_request(
            folder / "silent.http", {"url": f"https://{SILENT_HOST}/", "method": "GET"}, tokens.FLOOD
        ),
    )


def memory_mib(child: Child) -> float:
    """Return the resident memory of all processes of a child, in MiB; a page that they share counts in each."""
    total = 0
    for pid in child.members():
        try:
            total += Memory.of(pid).resident
        except (OSError, KeyError):
            continue  # it has just ended
    return total / KIB_PER_MIB


def _start_silent(processes: Processes, stack: ExitStack, services: Path) -> Child:
    """Start the worker whose upstream never answers: a listener from which nobody accepts."""
    listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=BACKLOG))
    folder = processes.folder
    worker = processes.module(
        "silent worker",
        "bench.worker",
        services / f"{SILENT}.toml",
        folder,
        folder / ROOTS,
        listener.getsockname()[1],
    )
    wait_for(worker, socket_path(folder, SILENT).exists)
    return worker


def _request(path: Path, call: dict[str, Any], token: str) -> Path:
    request = http_request("/attest/fetch", json.dumps(call).encode())
    path.write_bytes(request.replace(TOKEN.encode(), token.encode()))
    return path
