"""Replies for the archive, and an archive on each of the two databases."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.archive import entry
from app.archive.archive import Archive
from app.archive.engine import open_engine
from app.archive.entry import Entry
from app.archive.storage import Store
from app.archive.waiting import Waiting
from app.log import Log
from tests import postgres_kit

NOW_MS = 1_772_366_405_123
DATABASES = ("sqlite", "postgresql")


def new_id() -> str:
    return f"enc-{uuid.uuid4()}"


def reply(attestation_id: str | None = None, *, body: str = "hi") -> bytes:
    """A reply as far as the archive looks at it; spelled so that writing it anew would change it."""
    attestation = {"attestationId": attestation_id or new_id(), "timestamp": 1}
    made = {"success": True, "status": 200, "headers": {}, "rawBody": body, "attestation": attestation}
    return json.dumps(made, indent=1).encode() + b"\n"


def id_of(data: bytes) -> str:
    found: str = json.loads(data)["attestation"]["attestationId"]
    return found


def entry_of(data: bytes, caller: str | None = None) -> Entry:
    found = entry.read(data, caller)
    assert found is not None
    return found


def entries(count: int) -> list[Entry]:
    return [entry_of(reply()) for _ in range(count)]


def leaf_of(data: bytes) -> bytes:
    """The leaf of a reply, written down once more."""
    return hashlib.sha256(b"\x00tytle/archive/v1" + id_of(data).encode() + hashlib.sha256(data).digest()).digest()


@pytest.fixture(scope="module")
def postgresql() -> Iterator[postgres_kit.Server]:
    with postgres_kit.server() as running:
        yield running


@pytest.fixture(params=DATABASES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database, of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'archive.db'}"
    running: postgres_kit.Server = request.getfixturevalue("postgresql")
    running.empty()
    return running.url


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    made = Store(open_engine(url))
    yield made
    made.close()


@contextlib.contextmanager
def archive(
    store: Store, *, log: io.StringIO | None = None, max_bytes: int | None = None, **settings: Any
) -> Iterator[Archive]:
    waiting = Waiting() if max_bytes is None else Waiting(max_bytes=max_bytes)
    chosen = {"days": 30, "required": False, **settings}
    made = Archive(store, Log(stream=log if log is not None else io.StringIO()), waiting=waiting, **chosen)
    try:
        yield made
    finally:
        made.close()
