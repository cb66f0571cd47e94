"""The parent for gunicorn, as it is deployed: tokens (TOKENS_FILE), limits, metrics, an archive, all services.

`gunicorn "devstack.endurance.parent:create('FOLDER')"`.
"""

import json
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path

from flask import Flask

from app import create_app
from app.admission import Admission
from app.archive.settings import ArchiveSettings
from app.config import SERVICES, Config
from app.prefork import FAMILY
from devstack.parent import STATE
from devstack.worker import socket_path
from policy import manifest
from policy.manifest import Manifest
from wire.addresses import Address, UnixAddress

ENCLAVES = {"vies": 3, "sicae": 1, "stripe-payment": 1, "monerium-payment": 1}  # places; of vies, two are in use
ARCHIVE = "archive.db"
TOKENS = "tokens.toml"
TOKEN = "tytle_endurance"  # noqa: S105  of a parent that lives for one run
SCOPES = ("fetch", "metrics", "archive")
CONCURRENT = 64


def manifests(names: Iterable[str] = tuple(ENCLAVES)) -> tuple[Manifest, ...]:
    """Return the services that are served, as shipped."""
    return tuple(manifest.load((SERVICES / f"{name}.toml").read_bytes()) for name in names)


def create(folder: str) -> Flask:
    """Return the application for the workers in `folder`."""
    here = Path(folder)
    return application(
        here,
        {
            name: tuple(UnixAddress(path=str(socket_path(here, name, number))) for number in range(count))
            for name, count in ENCLAVES.items()
        },
    )


def application(folder: Path, addresses: Mapping[str, tuple[Address, ...]], *, required: bool = False) -> Flask:
    """Return the application for enclaves at these addresses. `required` demands the archive, which is in `folder`."""
    return create_app(
        Config(
            manifests=manifests(addresses),
            addresses=addresses,
            state=folder / STATE,
            admission=Admission(callers=FAMILY.callers),
            archive=ArchiveSettings(url=f"sqlite:///{folder / ARCHIVE}", required=required),
        )
    )


def write_callers(folder: Path) -> Path:
    """Write the file of callers, with the one that every client of a run is; return it."""
    path = folder / TOKENS
    entry = {"name": "endurance", "sha256": sha256(TOKEN.encode()).hexdigest(), "scopes": list(SCOPES)}
    lines = [f"{name} = {json.dumps(value)}" for name, value in {**entry, "concurrent": CONCURRENT}.items()]
    path.write_text("\n".join(["[[tokens]]", *lines, ""]), encoding="ascii")
    return path
