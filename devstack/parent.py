"""The parent for gunicorn, pointed at the workers of a folder: `gunicorn "devstack.parent:create('FOLDER', NAMES)"`.

Its state folder is FOLDER/state, so that `STATE_DIR=FOLDER/state python -m app.drain` speaks to it.
"""

from pathlib import Path

from flask import Flask

from app import create_app
from app.config import SERVICES, Config
from devstack.worker import socket_path
from policy import manifest
from wire.addresses import UnixAddress

STATE = "state"


def create(folder: str, *names: str, services: str = str(SERVICES), enclaves: int = 1) -> Flask:
    """Return the application for the named services, each with a policy in `services` and `enclaves` in `folder`."""
    chosen = tuple(manifest.load(Path(services, f"{name}.toml").read_bytes()) for name in names)
    sockets = {
        service.name: tuple(
            UnixAddress(path=str(socket_path(Path(folder), service.name, number))) for number in range(enclaves)
        )
        for service in chosen
    }
    return create_app(Config(manifests=chosen, addresses=sockets, state=Path(folder, STATE)))
