"""The parent for gunicorn as it is deployed: four services, archive, spans, callers; and routes that have defects.

Each defect holds what its caller sent and lets Python, a library or gunicorn speak about it. A leak lets it out by one
outlet, on purpose: that shows that this outlet is looked at.
"""

from __future__ import annotations

import gc
import logging
import os
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable
from pathlib import Path

from flask import Flask, current_app, request
from prometheus_client import CollectorRegistry, Counter

from app import create_app
from app.archive.settings import ArchiveSettings
from app.config import SERVICES, Config, admission
from app.prefork import FAMILY
from devstack.parent import STATE
from devstack.worker import socket_path
from policy import manifest
from wire.addresses import UnixAddress

VAULT, VIES, SCRIPTED, ABSENT = "vault", "vies", "sicae", "monerium-payment"
ARCHIVE = "archive.db"


class Unhappy:
    """Fails when it is collected: Python can raise that nowhere, and prints it."""

    def __init__(self, said: str) -> None:
        self.said = said
        self.itself = self

    def __del__(self) -> None:
        raise ValueError(self.said)


def raises(said: str) -> None:
    raise ValueError(said)


def in_thread(said: str) -> None:
    thread = threading.Thread(target=raises, args=(said,), name=said)
    thread.start()
    thread.join()


def unraisable(said: str) -> None:
    Unhappy(said)
    gc.collect()


def warns(said: str) -> None:
    warnings.warn(said, RuntimeWarning, stacklevel=1)


def logs(said: str) -> None:
    logging.getLogger("some.library").error("it said %s", said)


def server_logs(said: str) -> None:
    """Have gunicorn log an exception of ours with its traceback."""
    try:
        raises(said)
    except ValueError:
        logging.getLogger("gunicorn.error").exception("something happened")


def unwinds(said: str) -> None:
    """Raise behind the last handler of errors, where gunicorn has to answer."""
    request.environ["tests.unwinds"] = said


DEFECTS: dict[str, Callable[[str], None]] = {
    "raises": raises,
    "in-thread": in_thread,
    "unraisable": unraisable,
    "warns": warns,
    "logs": logs,
    "server-logs": server_logs,
    "unwinds": unwinds,
}


def to_log(said: str) -> None:
    os.write(2, f"{said}\n".encode())


def to_numbers(said: str) -> None:
    Counter("leak", "A leak.", ("path",), registry=CollectorRegistry()).labels(said).inc()


def to_spans(said: str) -> None:
    current_app.extensions["tracer"]._library.start_span("leak", attributes={"header": said}).end()


def to_temporary_files(said: str) -> None:
    with tempfile.NamedTemporaryFile("w", delete=False) as file:
        file.write(said)


def to_state(said: str) -> None:
    current_app.extensions["leaks"].joinpath("leak").write_text(said)


def to_nitro_cli(said: str) -> None:
    subprocess.run(
        ["nitro-cli", "describe-enclaves"],
        env={"PATH": os.environ["PATH"], "SAID": said},
        stdin=subprocess.DEVNULL,
        check=True,
    )


def to_command_lines(said: str) -> None:
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(20)", said])


LEAKS: dict[str, Callable[[str], None]] = {
    "parent's log": to_log,
    "numbers": to_numbers,
    "spans": to_spans,
    "temporary files": to_temporary_files,
    "nitro-cli": to_nitro_cli,
    "state": to_state,
    "command lines": to_command_lines,
}


def create(folder: str) -> Flask:
    """Return the application for the enclaves, the archive and the state in `folder`."""
    here = Path(folder)
    services = {VAULT: here / "services", **dict.fromkeys((VIES, SCRIPTED, ABSENT), SERVICES)}
    manifests = tuple(manifest.load((place / f"{name}.toml").read_bytes()) for name, place in services.items())
    app = create_app(
        Config(
            manifests=manifests,
            addresses={name: (UnixAddress(path=str(socket_path(here, name))),) for name in services},
            state=here / STATE,
            admission=admission(os.environ, services, callers=FAMILY.callers),
            archive=ArchiveSettings(url=f"sqlite:///{here / ARCHIVE}"),
            tracing=True,
        )
    )
    app.add_url_rule("/defects/<name>", "defect", _defect, methods=["POST"])
    app.add_url_rule("/leaks/<name>", "leak", _leak, methods=["POST"])
    app.teardown_request(_unwind)
    app.extensions["leaks"] = here / STATE
    return app


def _defect(name: str) -> str:
    DEFECTS[name](request.get_data(as_text=True))
    return "survived"


def _leak(name: str) -> str:
    LEAKS[name](request.get_data(as_text=True))
    return "survived"


def _unwind(_: BaseException | None) -> None:
    said = request.environ.get("tests.unwinds")
    if said is not None:
        raise ValueError(said)
