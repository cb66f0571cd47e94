"""How gunicorn serves the parent: threads, since a request is mostly waiting for an enclave.

`gunicorn --config app/gunicorn_conf.py 'app:create_app()'`. BIND and WEB_WORKERS may be set in the environment. Without
authentication in front of it, the parent listens on loopback only.
"""

import os
from typing import Any

from app.metrics import files

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

files.prepare(os.environ)  # before any process imports prometheus_client


def on_starting(server: Any) -> None:
    """In the master, before the first worker: forget the counts of a parent before this one."""
    if not server.master_pid:  # otherwise that one still serves, and this one takes over (USR2)
        files.empty(os.environ)


def post_worker_init(worker: Any) -> None:
    """In a worker that is about to serve: begin to read the numbers that nothing pushes."""
    for numbers in _numbers(worker):
        numbers.start()


def worker_exit(_server: Any, worker: Any) -> None:
    """In a worker that ends: read them a last time, if it came so far as to have any."""
    for numbers in _numbers(worker):
        numbers.stop()


def child_exit(_server: Any, worker: Any) -> None:
    """In the master, when a worker has ended, however it did: its gauges no longer count."""
    files.forget(worker.pid)


def _numbers(worker: Any) -> list[Any]:
    """Return the numbers of the worker's application, if it could be made."""
    extensions = getattr(getattr(worker, "wsgi", None), "extensions", {})
    return [extensions["numbers"]] if "numbers" in extensions else []
