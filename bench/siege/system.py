"""The system under siege: three upstreams, a worker for each, and the parent before them.

One upstream answers at once, so that the CPU is what there is to share. One takes LATENCY_SECONDS, as real ones do, so
that the places are: 64 fetches at once in its worker. One never answers.
"""

import json
import socket
from collections.abc import Mapping
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
from devstack.ports import free_port
from devstack.worker import ROOTS, socket_path

SLOW, SILENT = "slow", "silent"
LATENCY_SECONDS = 0.5
MODE = "session"  # its proof costs least
FLOOD_MS = 2000  # what the flood's callers wait: bench.siege.callers.PATIENCE_SECONDS
BACKLOG = 4096
MANIFEST = """
name = "{name}"
cid = {cid}
port = 5000
ecr_tag = "{name}"
pcr0_parameter = "/tytle/{{env}}/enclave/{name}/pcr0"

[[upstreams]]
host = "{name}.example"
proxy_port = {cid}
tls = true

[[upstreams.rules]]
method = "GET"
path = "/"
max_response_bytes = 65536
"""
CIDS = {SLOW: 8001, SILENT: 8002}


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """What is running. `requests` are files for `bench.siege.callers`, by caller and service; `socket` is the first
    worker's, whose upstream answers at once.
    """

    parent: Child
    worker: Child
    others: tuple[Child, ...]
    port: int
    socket: Path
    requests: Mapping[tuple[str, str], Path]

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
    for name, cid in CIDS.items():
        (services / f"{name}.toml").write_text(MANIFEST.format(name=name, cid=cid), encoding="utf-8")
    server = upstream.start(processes)
    worker, _ = ours.start_worker(processes, server)
    others = (*_start_slow(processes, services), *_start_silent(processes, stack, services))
    application = f"bench.siege.parent:create({str(folder)!r}, {str(services)!r})"
    environ = {"TOKENS_FILE": str(tokens.write(folder))}
    parent, port = processes.gunicorn(application, how=CONFIGURED, environ=environ)
    calls = {ours.VIES.stem: CALL} | {name: {"url": f"https://{name}.example/", "method": "GET"} for name in CIDS}
    return System(
        parent=parent,
        worker=worker,
        others=(server.child, *others),
        port=port,
        socket=ours.worker_socket(processes),
        requests={
            (caller, name): _request(folder / f"{caller}-{name}.http", {**call, "mode": MODE}, caller)
            for caller in (tokens.HONEST, tokens.FLOOD)
            for name, call in calls.items()
        },
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


def _start_slow(processes: Processes, services: Path) -> tuple[Child, Child]:
    port = free_port()
    roots = processes.folder / "slow-roots.pem"
    host = f"{SLOW}.example"
    server = processes.module("slow upstream", "bench.siege.upstream", roots, host, port, LATENCY_SECONDS)
    wait_for(server, roots.exists)
    return server, _start_worker(processes, services, SLOW, roots, port)


def _start_silent(processes: Processes, stack: ExitStack, services: Path) -> tuple[Child]:
    """Start the worker whose upstream never answers: a listener from which nobody accepts."""
    listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=BACKLOG))
    return (_start_worker(processes, services, SILENT, processes.folder / ROOTS, listener.getsockname()[1]),)


def _start_worker(processes: Processes, services: Path, name: str, roots: Path, port: int) -> Child:
    manifest, folder = services / f"{name}.toml", processes.folder
    worker = processes.module(f"{name} worker", "bench.worker", manifest, folder, roots, port)
    wait_for(worker, socket_path(folder, name).exists)
    return worker


def _request(path: Path, call: dict[str, Any], caller: str) -> Path:
    if caller == tokens.FLOOD:
        call = {**call, "timeoutMs": FLOOD_MS}
    request = http_request("/attest/fetch", json.dumps(call).encode())
    path.write_bytes(request.replace(TOKEN.encode(), tokens.of(caller).encode()))
    return path
