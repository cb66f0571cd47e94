"""How gunicorn serves the parent: threads, since a request is mostly waiting for an enclave.

`gunicorn --config app/gunicorn_conf.py 'app:create_app()'`. BIND, WEB_WORKERS and the variables of TLS may be set in
the environment (app.config.serving). Without callers (TOKENS_FILE) the parent listens on loopback or a unix socket
only, whichever setting it was that asked for more.
"""

import os
from typing import Any

from app import listening, tls
from app.config import ConfigError, read_callers, serving
from app.log import Log
from app.prefork import DEFAULT_THREADS, FAMILY

_serving = serving(os.environ)
FAMILY.read(lambda: read_callers(os.environ), ConfigError)

bind = _serving.bind
worker_class = "app.gunicorn_worker.Worker"
workers = _serving.processes
threads = DEFAULT_THREADS  # per process, one for each call under way; how services share them: app.limits.bulkheads
timeout = 150  # above the longest deadline a caller may ask for (120 s)
graceful_timeout = 130  # a reload lets calls under way finish
keepalive = 75  # seconds; above the idle timeout of common load balancers (AWS ALB 60 s)
limit_request_line = 4094
limit_request_fields = 64
umask = 0o007  # of a unix socket: whoever reaches it may be believed about certificates (TRUSTED_PROXIES)
accesslog = None  # request lines hold paths; the application's own log says what may be said
control_socket_disable = True  # by default anyone with this user id may steer the server through a socket in $HOME

if _serving.tls is not None:
    certfile, keyfile = _serving.tls.certificate, _serving.tls.key
    _context = tls.context(_serving.tls)  # once, and here: files that cannot be used stop the start

    def ssl_context(_: Any, __: Any) -> Any:
        """Give gunicorn the one context of all connections."""
        return _context


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
    """Tell the process which counters are its own."""
    FAMILY.occupy(worker)


def child_exit(_: Any, worker: Any) -> None:
    """Give back what a dead process held."""
    FAMILY.bury(worker)


def post_worker_init(worker: Any) -> None:
    """Watch the enclaves from each process, which is one of its own by now; it is not ready any more once it stops."""
    monitor = getattr(worker.wsgi, "extensions", {}).get("monitor")  # other applications may be served with this file
    if monitor is not None:
        monitor.start(stopping=lambda: not worker.alive)
