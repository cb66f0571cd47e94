"""How gunicorn serves the parent: threads, since a request is mostly waiting for an enclave.

`gunicorn --config app/gunicorn_conf.py 'app:create_app()'`. BIND and WEB_WORKERS may be set in the environment. Without
authentication in front of it, the parent listens on loopback only.
"""

import atexit
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

bind = os.environ.get("BIND", "127.0.0.1:5001")
worker_class = "app.gunicorn_worker.Worker"
workers = int(os.environ.get("WEB_WORKERS", "2"))
threads = 96  # per process, one for each call under way; an enclave gets 64 connections: the rest hear 503
timeout = 150  # above the longest deadline a caller may ask for (120 s)
graceful_timeout = 130  # a reload lets calls under way finish
keepalive = 75  # seconds; above the idle timeout of common load balancers (AWS ALB 60 s)
limit_request_line = 4094
limit_request_fields = 64
accesslog = None  # request lines hold paths; the application's own log says what may be said
control_socket_disable = True  # by default anyone with this user id may steer the server through a socket in $HOME

NUMBERS = "PROMETHEUS_MULTIPROC_DIR"
MEMORY = Path("/dev/shm")  # noqa: S108  our folder there is private; a disk that stalls would stall every request


def _make_folder() -> None:
    """Make the folder where the processes keep their numbers, gone with the master; an operator's stays.

    prometheus_client looks for it once, when it is imported: so this file imports nothing of the application's.
    """
    if os.environ.get(NUMBERS):
        return  # also when the settings are read again
    folder = tempfile.mkdtemp(prefix="tytle-metrics-", dir=MEMORY if os.access(MEMORY, os.W_OK) else None)
    os.environ[NUMBERS] = folder
    master = os.getpid()  # its forks end as it does, and must not clear it away
    atexit.register(lambda: shutil.rmtree(folder, ignore_errors=True) if os.getpid() == master else None)


if __name__ == "__config__":  # what gunicorn calls a file that it reads its settings from
    _make_folder()


def on_starting(server: Any) -> None:
    """In the master, before the first worker: forget the counts of a parent before this one."""
    if NUMBERS in os.environ and not server.master_pid:  # else that one still serves, and this one takes over (USR2)
        from app.metrics import files  # noqa: PLC0415  see _make_folder

        files.empty(Path(os.environ[NUMBERS]))


def post_worker_init(worker: Any) -> None:
    """Watch the enclaves from each process, which is one of its own by now; it is not ready any more once it stops.

    And begin to read the numbers that nothing pushes.
    """
    monitor, numbers = _extension(worker, "monitor"), _extension(worker, "numbers")
    if monitor is not None:
        monitor.start(stopping=lambda: not worker.alive)
    if numbers is not None:
        numbers.start()


def worker_exit(_server: Any, worker: Any) -> None:
    """In a worker that ends: read them a last time, if it came so far as to have any."""
    numbers = _extension(worker, "numbers")
    if numbers is not None:
        numbers.stop()


def child_exit(_server: Any, worker: Any) -> None:
    """In the master, when a worker has ended, however it did: its gauges no longer count."""
    if NUMBERS in os.environ:
        from app.metrics import files  # noqa: PLC0415  see _make_folder

        files.forget(Path(os.environ[NUMBERS]), worker.pid)


def _extension(worker: Any, name: str) -> Any:
    """Return a part of the worker's application; None where there is none, or the file serves another."""
    return getattr(getattr(worker, "wsgi", None), "extensions", {}).get(name)
