"""Processes that hold a secret and crash, with their defences against core dumps or with some of them taken away.

`python -m tests.planted.crashing SECRET [limit] [dumpable]` is a worker that answers a request, is confined as in an
image's boot, and crashes. `create` is a parent for gunicorn that crashes when it is asked to; SITE keeps it from
setting limits, since not even root can raise one again everywhere.
"""

from __future__ import annotations

import ctypes
import resource
import signal
import sys

from flask import Flask, request

from app import create_app
from app.config import Config
from app.confinement import PR_SET_DUMPABLE
from enclave_worker import boot
from tests.enclave_kit import enclave
from tests.parent import VIES

LIMIT, DUMPABLE = "limit", "dumpable"
UID = 1000
SITE = "import resource\nresource.setrlimit = lambda *_: None\n"  # as sitecustomize.py
UNLIMITED = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


def crash(undone: list[str]) -> None:
    """Die of a segmentation fault, dumpable and without a limit where that is asked for."""
    if DUMPABLE in undone:
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)
    signal.raise_signal(signal.SIGSEGV)  # in this thread


def create() -> Flask:
    app = create_app(Config(manifests=(VIES,)))
    app.add_url_rule("/crash", "crash", _crash, methods=["POST"])
    return app


def _crash() -> str:
    undone = request.args.getlist("undone")
    body = request.get_data()
    crash(undone)
    return f"survived {body!r}"


def main(secret: str, *undone: str) -> None:
    with enclave() as running:
        reply = running.fetch("/a1", headers={"authorization": secret}, method="POST", body=secret)
        if LIMIT not in undone:
            boot.confine_process(UID)
        else:
            boot.system.drop_privileges(UID)
        crash([*undone])
        raise SystemExit(f"survived {reply}")


if __name__ == "__main__":
    main(*sys.argv[1:])
