"""Our side of a measurement: a worker and a parent in the folder of `Processes`, and the load on an HTTP server."""

import sys
from pathlib import Path
from typing import Any

from app.config import SERVICES
from bench.attested import check, fetch
from bench.processes import WEB_THREADS, WEB_WORKERS, Child, Processes, wait_for
from bench.rounds import Settings
from bench.upstream import Upstream
from bench.vies_call import CALL
from devstack.worker import socket_path

VIES = SERVICES / "vies.toml"


def worker_socket(processes: Processes, manifest: Path = VIES) -> Path:
    """Return where the worker listens, and where the parent looks for it."""
    return socket_path(processes.folder, manifest.stem)


def start_worker(
    processes: Processes, upstream: Upstream, *, manifest: Path = VIES, call: dict[str, Any] = CALL
) -> tuple[Child, bytes]:
    """Start a real worker; return it with its reply to the call, whose binding has been checked."""
    worker = processes.module("worker", "bench.worker", manifest, processes.folder, upstream.port)
    path = worker_socket(processes, manifest)
    wait_for(worker, path.exists)
    reply = fetch(path, call)
    check(reply)
    return worker, reply


def start_parent(processes: Processes, manifest: Path = VIES) -> tuple[Child, int]:
    """Start the parent for the worker of this folder; return it with its port."""
    folder, services = str(processes.folder), str(manifest.parent)
    return processes.gunicorn(f"devstack.parent:create({folder!r}, {manifest.stem!r}, services={services!r})")


def load(port: int, request: Path, settings: Settings) -> tuple[str, ...]:
    """Return the load generator's command, without the seconds."""
    return (sys.executable, "-m", "bench.load", str(port), str(request), str(settings.clients))


def served(settings: Settings) -> str:
    """Say how the parent and every peer are served and loaded."""
    return (
        f"gunicorn gthread, {WEB_WORKERS} processes x {WEB_THREADS} threads, with app/gunicorn_conf.py; "
        f"{settings.clients} keep-alive clients"
    )
