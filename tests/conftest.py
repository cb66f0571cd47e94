"""Fixtures that more than one module needs. Support code that is not a fixture has modules of its own."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from devstack.hmrc import Hmrc
from devstack.stack import Stack
from devstack.upstream import Request, Response
from devstack.vies import Vies

SLOW_PATH = "/taxation_customs/vies/rest-api/ms/PT/vat/100000001"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out tests/e2e unless it is asked for by name (`make e2e`): it boots machines and takes minutes."""
    return True if collection_path.name == "e2e" and not any("e2e" in each for each in config.args) else None


@dataclass
class SlowVies:
    """VIES, but one address answers only when `go_on` is set; `waiting` counts who is held there."""

    vies: Vies = field(default_factory=Vies)
    go_on: threading.Event = field(default_factory=threading.Event)
    waiting: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def __call__(self, request: Request) -> Response:
        if request.path == SLOW_PATH:
            self.waiting.release()
            self.go_on.wait(20)
        return self.vies(request)


@pytest.fixture(scope="session")
def slow_vies() -> SlowVies:
    return SlowVies()


@pytest.fixture(scope="session")
def running_stack(slow_vies: SlowVies) -> Iterator[Stack]:
    handlers = {"ec.europa.eu": slow_vies, "api.service.hmrc.gov.uk": Hmrc()}
    with Stack(handlers=handlers) as stack:
        yield stack
