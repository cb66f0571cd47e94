"""Callers for tests of the gate, and the application behind real gunicorn: two services, each with an enclave."""

from __future__ import annotations

import os
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

from flask import Flask

from app import create_app
from app.admission import Admission
from app.callers import registry
from app.config import SERVICES, Config, admission
from app.prefork import FAMILY
from policy import manifest
from tests.parent import VIES
from wire.addresses import UnixAddress

SICAE = manifest.load((SERVICES / "sicae.toml").read_bytes())
SICAE_URL = "http://www.sicae.pt/x"
KNOWN = ("vies", "sicae")
TOKEN = "tytle_s3cr3ttoken"  # a test's: 256 random bits elsewhere


def bearer(token: str = TOKEN) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def token_toml(name: str, token: str = TOKEN, *more: str) -> str:
    return "\n".join(["[[tokens]]", f'name = "{name}"', f'sha256 = "{digest(token)}"', *more, ""])


def digest(token: str) -> str:
    return sha256(token.encode()).hexdigest()


def admitting(*entries: str, services: Iterable[str] = KNOWN) -> Admission:
    return Admission(callers=registry.load("\n".join(entries).encode(), services=services))


def create(folder: str) -> Flask:
    """Return the application for gunicorn: VIES and SICAE, their enclaves at FOLDER/vies and FOLDER/sicae."""
    addresses = {name: (UnixAddress(path=str(Path(folder, name))),) for name in KNOWN}
    return create_app(
        Config(
            manifests=(VIES, SICAE),
            addresses=addresses,
            admission=admission(os.environ, KNOWN, callers=FAMILY.callers),
        )
    )
