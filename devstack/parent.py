"""The parent for gunicorn, pointed at the workers of a folder: `gunicorn "devstack.parent:create('FOLDER', NAMES)"`."""

from pathlib import Path

from flask import Flask

from app import create_app
from app.config import SERVICES, Config
from devstack.worker import socket_path
from policy import manifest
from wire.addresses import UnixAddress


def create(folder: str, *names: str, services: str = str(SERVICES), connections: int = 64) -> Flask:
    """Return the application for the named services, each with a policy in `services` and a worker in `folder`.

    `connections` bounds those of one process to one worker.
    """
    chosen = tuple(manifest.load(Path(services, f"{name}.toml").read_bytes()) for name in names)
    sockets = {service.name: UnixAddress(path=str(socket_path(Path(folder), service.name))) for service in chosen}
    return create_app(Config(manifests=chosen, addresses=sockets, connections=connections))
