"""Our side of a measurement: a worker and a parent in the folder of `Processes`, and the load on an HTTP server."""

import sys
from pathlib import Path

from app.config import SERVICES
from bench.attested import check, fetch
from bench.processes import WEB_THREADS, WEB_WORKERS, Child, Processes, wait_for
from bench.rounds import Settings
from bench.upstream import Upstream
from bench.vies_call import CALL
from devstack.worker import socket_path

SERVICE = "vies"


def worker_socket(processes: Processes) -> Path:
    """Return where the worker listens, and where the parent looks for it."""
    return socket_path(processes.folder, SERVICE)


def start_worker(processes: Processes, upstream: Upstream) -> tuple[Child, bytes]:
    """Start a real worker; return it with its reply to the call, whose binding has been checked."""
    manifest = SERVICES / f"{SERVICE}.toml"
    worker = processes.module("worker", "bench.worker", manifest, processes.folder, upstream.port)
    path = worker_socket(processes)
    wait_for(worker, path.exists)
    reply = fetch(path, CALL)
    check(reply)
    return worker, reply


def start_parent(processes: Processes) -> tuple[Child, int]:
    """Start the parent for the worker of this folder; return it with its port."""
    return processes.gunicorn(f"devstack.parent:create({str(processes.folder)!r}, {SERVICE!r})")


def load(port: int, request: Path, settings: Settings) -> tuple[str, ...]:
    """Return the load generator's command, without the seconds."""
    return (sys.executable, "-m", "bench.load", str(port), str(request), str(settings.clients))


def served(settings: Settings) -> str:
    """Say how the parent and every peer are served and loaded."""
    return (
        f"gunicorn gthread, {WEB_WORKERS} processes x {WEB_THREADS} threads, with app/gunicorn_conf.py; "
        f"{settings.clients} keep-alive clients"
    )
