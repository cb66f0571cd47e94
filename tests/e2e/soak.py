"""2,000 requests through two machines, and what they leave behind in the worker. `make soak` runs it, `make e2e` not.

The numbers are the kernel's about the worker, told by a child of it that only this image has (`reporter.py`).
"""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.pool import MAX_IDLE_SECONDS
from devstack import nitro
from devstack.relay import connect
from devstack.two_machines import TwoMachines
from eif.measure import Measurements
from tests.e2e.asking import ask, verify
from tests.e2e.conftest import ROOT, Images
from tests.e2e.figures import FIGURES
from tests.e2e.reporter import PORT
from tests.e2e.test_boot import CALL, measured

REQUESTS = 2000
PORTIONS = 4  # numbers are taken after each
WARM_UP = 200  # until every thread of the parent has had its connection, and memory its shape
CALLERS = 8
PROCESSES = 2  # of gunicorn (app/gunicorn_conf.py); each keeps its own connections
VERIFIED_EVERY = 50
MAX_GROWTH_KB = 2048  # 1 KiB a request would be a leak that matters
ROOM = "opt/tytle/enclave_worker/"


@pytest.fixture(scope="module")
def image(images: Images, tmp_path_factory: pytest.TempPathFactory) -> Path:
    entry = (ROOT / "enclave_worker" / "__main__.py").read_bytes()
    with_entry = nitro.with_file(images.test_unsigned.read_bytes(), f"{ROOM}entry.py", entry)
    path = tmp_path_factory.mktemp("soak") / "soak.eif"
    reporter = Path(__file__).with_name("reporter.py").read_bytes()
    path.write_bytes(nitro.with_file(with_entry, f"{ROOM}__main__.py", reporter))
    return path


@pytest.fixture(scope="module")
def soaked(image: Path, parent_initrd: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoMachines]:
    with TwoMachines(image, parent_initrd, tmp_path_factory.mktemp("machines")) as running:
        yield running


def numbers(machines: TwoMachines, when: str) -> dict[str, int]:
    with connect(machines.guest(PORT), timeout=60) as sock, sock.makefile("rb") as line:
        found: dict[str, int] = json.loads(line.readline())
    FIGURES.append(f"{when}: {found}")
    return found


def one(machines: TwoMachines, image: Measurements, number: int) -> None:
    sent, answer = ask(machines, CALL)
    assert answer.json()["success"] is True
    if number % VERIFIED_EVERY == 0:
        verify(machines, image, sent, answer.content)


def many(machines: TwoMachines, image: Measurements, count: int, *, callers: int) -> float:
    began = time.monotonic()
    with ThreadPoolExecutor(callers) as threads:
        list(threads.map(lambda number: one(machines, image, number), range(count)))
    return time.monotonic() - began


def test_2000_requests_leave_no_descriptor_thread_or_memory_behind(soaked: TwoMachines, image: Path) -> None:
    pinned = measured(image)
    many(soaked, pinned, 10, callers=1)
    quiet = numbers(soaked, "after 10 requests")
    many(soaked, pinned, WARM_UP, callers=CALLERS)
    warm = numbers(soaked, f"after {WARM_UP} more, {CALLERS} at once")
    seconds = 0.0
    for portion in range(1, PORTIONS + 1):
        seconds += many(soaked, pinned, REQUESTS // PORTIONS, callers=CALLERS)
        soaking = numbers(soaked, f"after {portion * REQUESTS // PORTIONS} more")
    FIGURES.append(f"{REQUESTS} requests in {seconds:.1f} s")
    time.sleep(MAX_IDLE_SECONDS + 1)
    many(soaked, pinned, 10, callers=1)  # the parent closes what was idle for too long when it is asked again
    after = numbers(soaked, f"{MAX_IDLE_SECONDS:.0f} s idle and 10 requests later")
    assert soaking["descriptors"] <= warm["descriptors"] + CALLERS
    assert soaking["VmRSS"] <= warm["VmRSS"] + MAX_GROWTH_KB
    assert after["descriptors"] <= quiet["descriptors"] + PROCESSES
    assert after["Threads"] <= quiet["Threads"] + PROCESSES
