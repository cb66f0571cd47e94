"""The parent under siege, with two services: `gunicorn "bench.siege.parent:create('FOLDER', 'SERVICES')"`.

As it is deployed: callers, limits, metrics, log and watch, with the defaults of every setting.
"""

from pathlib import Path

from flask import Flask

from app import create_app
from app.admission import Admission
from app.config import Config
from app.prefork import FAMILY
from devstack.worker import socket_path
from policy import manifest
from wire.addresses import UnixAddress


def create(folder: str, services: str) -> Flask:
    """Return the application; the workers of all policies in `services` listen in `folder`."""
    policies = tuple(manifest.load(path.read_bytes()) for path in sorted(Path(services).glob("*.toml")))
    return create_app(
        Config(
            manifests=policies,
            addresses={one.name: (UnixAddress(path=str(socket_path(Path(folder), one.name))),) for one in policies},
            state=Path(folder, "state"),
            admission=Admission(callers=FAMILY.callers),
        )
    )
