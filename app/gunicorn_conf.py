"""How gunicorn serves the parent: threads, since a request is mostly waiting for an enclave.

`gunicorn --config app/gunicorn_conf.py 'app:create_app()'`. BIND, WEB_WORKERS and the variables of TLS may be set in
the environment (app.config.serving). Without callers (TOKENS_FILE) the parent listens on loopback or a unix socket
only, whichever setting it was that asked for more.
"""

import atexit
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from gunicorn.systemd import sd_notify  # type: ignore[import-untyped]

AGAIN_SECONDS = 1.0  # until another process is started for one that could not begin
NUMBERS = "PROMETHEUS_MULTIPROC_DIR"
PREDECESSOR = "GUNICORN_PID"  # gunicorn's: the master that this one was started beside (USR2), until that one ends
MEMORY = Path("/dev/shm")  # noqa: S108  our folder there is private; a disk that stalls would stall every request


def _make_folder() -> None:
    """Make the folder where the processes keep their numbers, gone with the master; an operator's stays.

    prometheus_client looks for it once, when it is imported: so this comes before every import of the application's.
    """
    if os.environ.get(NUMBERS):
        return  # also when the settings are read again
    folder = tempfile.mkdtemp(prefix="tytle-metrics-", dir=MEMORY if os.access(MEMORY, os.W_OK) else None)
    os.environ[NUMBERS] = folder
    master = os.getpid()  # its forks end as it does, and must not clear it away
    atexit.register(lambda: shutil.rmtree(folder, ignore_errors=True) if os.getpid() == master else None)


if __name__ == "__config__":  # what gunicorn calls a file that it reads its settings from
    _make_folder()

from app import confinement, heap, last_words, listening, tls  # noqa: E402
from app.config import ConfigError, read_callers, serving  # noqa: E402
from app.log import Log  # noqa: E402
from app.metrics import files  # noqa: E402
from app.prefork import DEFAULT_THREADS, FAMILY  # noqa: E402

T = TypeVar("T")


def _or_stop(read: Callable[[], T]) -> T:
    """Return what is read, or stop with our own words alone: gunicorn would print a traceback, with the texts of what
    lies behind an error, such as a line of a file."""
    try:
        return read()
    except (ConfigError, confinement.NotConfined) as exc:
        raise SystemExit(f"The parent does not start: {exc}") from None


if __name__ == "__config__":  # the master, before it reads a secret; its processes are forked from it
    last_words.install(Log())
    _or_stop(confinement.confine)

_serving = _or_stop(lambda: serving(os.environ))


def _read_context() -> Any:
    if _serving.tls is None:
        return None
    try:
        return tls.context(_serving.tls)
    except OSError as exc:  # ssl.SSLError among them
        raise ConfigError(f"TLS_CERTIFICATE, TLS_KEY, TLS_CLIENT_ROOTS: {exc.strerror or exc}") from exc


_or_stop(lambda: FAMILY.read(lambda: read_callers(os.environ), ConfigError, context=_read_context))

bind = _serving.bind
worker_class = "app.gunicorn_worker.Worker"
logger_class = "app.last_words.ServerLogger"
workers = _serving.processes
threads = DEFAULT_THREADS  # per process, one for each call under way; how services share them: app.limits.bulkheads
timeout = 150  # above the longest deadline a caller may ask for (120 s)
graceful_timeout = 130  # a reload lets calls under way finish
keepalive = 130  # seconds; above the idle timeout of the load balancer in deploy/ (125 s), which has to close first
limit_request_line = 4094
limit_request_fields = 64
umask = 0o007  # of a unix socket: whoever reaches it may be believed about certificates (TRUSTED_PROXIES)
accesslog = None  # request lines hold paths; the application's own log says what may be said
control_socket_disable = True  # by default anyone with this user id may steer the server through a socket in $HOME

if _serving.tls is not None:
    certfile, keyfile = _serving.tls.certificate, _serving.tls.key

    def ssl_context(_: Any, __: Any) -> Any:
        """Give gunicorn the one context of all connections."""
        return FAMILY.context


def on_starting(server: Any) -> None:
    """In the master, before the first worker: forget the counts of a parent before this one."""
    if NUMBERS in os.environ and not server.master_pid:  # else that one still serves, and this one takes over (USR2)
        files.empty(Path(os.environ[NUMBERS]))


def when_ready(server: Any) -> None:
    """Stop before anything is served, if anybody could come who is not known."""
    names = [listener.sock.getsockname() for listener in server.LISTENERS]
    try:
        listening.check(names, callers=FAMILY.callers is not None)
    except listening.OpenToAnybody as exc:
        raise SystemExit(f"The parent does not start: {exc}") from exc
    if _serving.tls is None and not all(map(listening.is_local, names)):
        Log().event("warning", warning="tokens cross the network in clear: set TLS_CERTIFICATE, or let a proxy end TLS")


on_reload = when_ready


def pre_fork(_: Any, worker: Any) -> None:
    """Give the process that comes its counters."""
    FAMILY.adopt(worker)


def post_fork(_: Any, worker: Any) -> None:
    """Tell the process which counters are its own, and to give memory back."""
    FAMILY.occupy(worker)
    heap.keep_small()


def child_exit(_: Any, worker: Any) -> None:
    """Give back what a dead process held, however it ended, and take its gauges out of the sums."""
    FAMILY.bury(worker)
    if NUMBERS in os.environ:
        files.forget(Path(os.environ[NUMBERS]), worker.pid)


def post_worker_init(worker: Any) -> None:
    """Watch the enclaves from each process, which is one of its own by now; it is not ready any more once it stops.

    And begin to read the numbers that nothing pushes. Where gunicorn was started beside an old one, tell systemd that
    the new one serves: its master is the unit's main process from here on, and the old one may end.
    """
    monitor, numbers = _extension(worker, "monitor"), _extension(worker, "numbers")
    if monitor is not None:
        try:
            monitor.start(stopping=lambda: not worker.alive)
        except OSError as exc:  # of the state folder; an error that gunicorn sees would end master and siblings
            Log().event("not started", what="state folder", error=exc.strerror)
            time.sleep(AGAIN_SECONDS)
            raise SystemExit(1) from exc
    if numbers is not None:
        numbers.start()
    if PREDECESSOR in os.environ:
        sd_notify(f"MAINPID={worker.ppid}", worker.log)


def worker_exit(_server: Any, worker: Any) -> None:
    """In a worker that ends: read them a last time, if it came so far as to have any."""
    numbers = _extension(worker, "numbers")
    if numbers is not None:
        numbers.stop()


def _extension(worker: Any, name: str) -> Any:
    """Return a part of the worker's application; None where there is none, or the file serves another."""
    return getattr(getattr(worker, "wsgi", None), "extensions", {}).get(name)
