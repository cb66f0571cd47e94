"""The parent for gunicorn, in front of one worker of a folder: `gunicorn "bench.parent:create('FOLDER', 'NAME')"`.

As it is deployed: with callers (TOKENS_FILE), limits, log and watch. The one caller's limits are beyond any load here.
"""

from hashlib import sha256
from pathlib import Path

from flask import Flask

from app import create_app
from app.admission import Admission
from app.config import Config
from app.prefork import FAMILY
from bench.caller import TOKEN
from devstack.worker import socket_path
from policy import manifest
from wire.addresses import UnixAddress

MOST_AT_ONCE = 4096


def create(folder: str, name: str, *, services: str, connections: int) -> Flask:
    """Return the application. `connections` bounds those of one process to the worker."""
    policy = manifest.load(Path(services, f"{name}.toml").read_bytes())
    address = UnixAddress(path=str(socket_path(Path(folder), name)))
    return create_app(
        Config(
            manifests=(policy,),
            addresses={name: (address,)},
            connections=connections,
            state=Path(folder, "state"),
            admission=Admission(callers=FAMILY.callers),
        )
    )


def write_callers(folder: Path) -> Path:
    """Write the file of callers, with the one that the load generators are; return it."""
    path = folder / "tokens.toml"
    digest = sha256(TOKEN.encode()).hexdigest()
    path.write_text(f'[[tokens]]\nname = "bench"\nsha256 = "{digest}"\nconcurrent = {MOST_AT_ONCE}\n', encoding="ascii")
    return path
