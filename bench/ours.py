"""Our side of a measurement: a worker and a parent in the folder of `Processes`, and the load on an HTTP server."""

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app import gunicorn_conf
from app.config import SERVICES
from bench.attested import check, fetch
from bench.parent import write_callers
from bench.processes import CONFIGURED, STOCK_THREADS, WEB_THREADS, WEB_WORKERS, Child, Processes, wait_for
from bench.rounds import Settings, Subject
from bench.upstream import Upstream
from bench.vies_call import CALL
from devstack.worker import socket_path

VIES = SERVICES / "vies.toml"
CONNECTIONS = 64  # of one process of the parent to one worker: app.config's default


def worker_socket(processes: Processes, manifest: Path = VIES) -> Path:
    """Return where the worker listens, and where the parent looks for it."""
    return socket_path(processes.folder, manifest.stem)


def start_worker(
    processes: Processes,
    upstream: Upstream,
    *,
    manifest: Path = VIES,
    call: dict[str, Any] = CALL,
    folder: Path | None = None,
    options: Iterable[object] = (),
    keeps: bool = True,
) -> tuple[Child, tuple[bytes, bytes]]:
    """Start a real worker in `folder`; return it with its report and its reply to the call, whose binding was checked.

    `options` are those of `bench.worker`; `keeps`: whether the upstream keeps connections.
    """
    place = folder or processes.folder
    port = upstream.port if keeps else upstream.closing_port
    worker = processes.module("worker", "bench.worker", manifest, place, upstream.roots, port, *options)
    path = socket_path(place, manifest.stem)
    wait_for(worker, path.exists)
    report, reply = fetch(path, call)
    check(reply)
    return worker, (report, reply)


def start_parent(
    processes: Processes,
    manifest: Path = VIES,
    *,
    folder: Path | None = None,
    connections: int = CONNECTIONS,
    threads: int = WEB_THREADS,
) -> tuple[Child, int]:
    """Start the parent for the worker of `folder`; return it with its port."""
    place, services = str(folder or processes.folder), str(manifest.parent)
    return processes.gunicorn(
        f"bench.parent:create({place!r}, {manifest.stem!r}, services={services!r}, connections={connections})",
        how=(*CONFIGURED, "--threads", str(threads)),
        environ={"TOKENS_FILE": str(write_callers(processes.folder))},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """An HTTP server that is asked the same request again and again. `serving` are the processes behind it."""

    name: str
    port: int
    request: Path
    serving: tuple[Child, ...]

    def closed(self, settings: Settings, *options: object) -> Subject:
        """Return it as the subject of a closed loop; `options` are those of `bench.load`."""
        return Subject(name=self.name, command=load(self.port, self.request, settings, *options), serving=self.serving)

    def paced(self, rate: float) -> Subject:
        """Return it as the subject of a schedule of `rate` requests per second."""
        command = (sys.executable, "-m", "bench.paced", str(self.port), str(self.request), str(rate))
        return Subject(name=f"{self.name}, {rate:,.0f}/s", command=command, serving=self.serving)


def load(place: int | Path, request: Path, settings: Settings, *options: object) -> tuple[str, ...]:
    """Return the load generator's command, without the seconds. `place` is a port, or a worker's socket."""
    given = (place, request, settings.clients, *options)
    return (sys.executable, "-m", "bench.load", *map(str, given))


def served(settings: Settings) -> str:
    """Say how the parent, and a peer that is not stock, is served and loaded."""
    worker = gunicorn_conf.worker_class.rpartition(".")[2]
    return (
        f"gunicorn with app/gunicorn_conf.py, {WEB_WORKERS} processes x {WEB_THREADS} threads (worker class {worker}); "
        f"{settings.clients} keep-alive clients"
    )


def stock() -> str:
    """Say how a peer is served that is stock."""
    return f"gunicorn -k gthread --workers {WEB_WORKERS} --threads {STOCK_THREADS}, nothing else set"
