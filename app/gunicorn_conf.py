"""How gunicorn serves the parent: threads, since a request is mostly waiting for an enclave.

`gunicorn --config app/gunicorn_conf.py 'app:create_app()'`. BIND and WEB_WORKERS may be set in the environment. Without
authentication in front of it, the parent listens on loopback only.
"""

import os
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


def post_worker_init(worker: Any) -> None:
    """Watch the enclaves from each process, which is one of its own by now; it is not ready any more once it stops."""
    monitor = getattr(worker.wsgi, "extensions", {}).get("monitor")  # other applications may be served with this file
    if monitor is not None:
        monitor.start(stopping=lambda: not worker.alive)
