"""Fixtures that more than one module needs. Support code that is not a fixture has modules of its own."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import settings

from devstack.hmrc import Hmrc
from devstack.stack import Stack
from devstack.upstream import Request, Response
from devstack.vies import Vies

# A busy machine is slow, which makes no code wrong: what must be fast is measured in steps, not in seconds.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")

# `make e2e` boots machines, `make web` needs a browser; `make deploy-check` and `make promtool` need others' checkers.
# `make secrets` takes a minute, `make faults` three.
SUITES_OF_THEIR_OWN = {"e2e", "faults", "planted", "promtool", "rendered", "web"}

SLOW_PATH = "/taxation_customs/vies/rest-api/ms/PT/vat/100000001"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out the suites that `make test` must not need, unless they are asked for by name."""
    name = collection_path.name
    asked = any(name in Path(each).parts for each in config.args)
    return True if name in SUITES_OF_THEIR_OWN and not asked else None


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
