"""What runs out on a host: room on the disk, file descriptors, somebody who reads the log."""

import contextlib
import os
import resource
import shutil
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.endurance.parent import ARCHIVE
from devstack.endurance.system import Place, answers
from devstack.parent import STATE
from devstack.processes import kill
from tests.faults.parent import REQUIRED
from tests.faults.registry import Ask, fault
from tests.faults.world import World, wait_until

VIES: Place = ("vies", 0)
FULL = Path("/dev/full")  # every write fails with ENOSPC
STARTING_SECONDS = 2.5


# --- disk


@contextlib.contextmanager
def full(world: World, disk: Path | None = None) -> Iterator[None]:
    """No room is left on the parent's disk, or on another one of the world's."""
    if not world.has_disk:
        pytest.skip("no small disk can be mounted here: that is for root")
    filler = (disk or world.disk) / "filler"
    with filler.open("wb") as file:
        with contextlib.suppress(OSError):
            while True:
                os.write(file.fileno(), bytes(1024 * 1024))
        with contextlib.suppress(OSError):
            while True:
                os.write(file.fileno(), bytes(512))
    yield
    filler.unlink()


@fault("parent's disk", "full")
def fill_disk(world: World, moment: str) -> Iterator[Ask | None]:
    """ENOSPC for the archive and the state. At a start of the parent: its processes come up when there is room."""
    if moment != "at start":
        with full(world):
            yield None
        return
    world.stop_parent()
    shutil.rmtree(world.disk / STATE)  # what is left there would make room when it is cleared away
    with full(world):
        world.begin_parent()
        time.sleep(STARTING_SECONDS)
        yield lambda: "it serves" if answers(world.url, "/livez") else "no answer"
    wait_until("there is room, and it serves", world.is_whole)


@fault("a process of the parent", "killed while the disk is full")
def kill_without_room(world: World, _: str) -> Iterator[Ask | None]:
    """No other can begin until there is room; its sibling serves."""
    pid = world.servers[0]
    with full(world):
        kill([pid])
        time.sleep(STARTING_SECONDS)
        yield None
    wait_until("there is room for another", lambda: world.is_whole_without([pid]))


@fault("parent's disk", "full, and an archive is demanded")
def fill_demanded(world: World, _: str) -> Iterator[Ask | None]:
    """As above; the operator wants no answer that is not archived."""
    world.restart_parent(**{REQUIRED: "1"})
    with full(world):
        world.ask()  # the first one that cannot be saved is how the parent finds out
        world.ask()
        wait_until("both processes know", lambda: [world.ask() for _ in range(4)] == ["503 archive_unavailable"] * 4)
        yield None
    wait_until("it saves again", lambda: [world.ask() for _ in range(6)] == ["verified"] * 6)
    world.restart_parent()


@fault("parent's numbers", "no room for them")
def fill_numbers(world: World, _: str) -> Iterator[Ask | None]:
    """The folder where its processes keep them (PROMETHEUS_MULTIPROC_DIR, or /dev/shm) is full."""
    with full(world, world.numbers):
        world.restart_parent(PROMETHEUS_MULTIPROC_DIR=str(world.numbers))
        yield None
    world.restart_parent()


@fault("parent's disk", "archive locked")
def lock_archive(world: World, _: str) -> Iterator[Ask | None]:
    """Another program writes to the database, and does not end."""
    holder = sqlite3.connect(world.disk / ARCHIVE, isolation_level=None)
    try:
        holder.execute("BEGIN IMMEDIATE")
        yield None
    finally:
        holder.close()


@fault("parent's disk", "state folder gone")
def remove_state(world: World, _: str) -> Iterator[Ask | None]:
    """Somebody cleared it away."""
    state, aside = world.disk / "state", world.disk / "aside"
    state.rename(aside)
    yield None
    aside.rename(state)


@contextlib.contextmanager
def writing_to(world: World, name: str, target: Path) -> Iterator[None]:
    """What a process that starts within writes goes to `target`."""
    log, aside = world.logs / f"{name}.log", world.logs / f"{name}.aside"
    log.rename(aside)
    log.symlink_to(target)
    yield
    log.unlink()
    aside.rename(log)


@fault("parent's log", "full")
def fill_parents_log(world: World, _: str) -> Iterator[Ask | None]:
    """Each line fails with ENOSPC."""
    with writing_to(world, "gunicorn", FULL):
        world.restart_parent()
        yield None
    world.restart_parent()


@fault("enclave's console", "full")
def fill_enclaves_console(world: World, _: str) -> Iterator[Ask | None]:
    """Each line fails with ENOSPC."""
    with writing_to(world, "vies-0", FULL):
        world.kill(VIES)
        world.start(VIES)
        yield None
    world.kill(VIES)
    world.start(VIES)


# --- file descriptors


@contextlib.contextmanager
def no_descriptors(*pids: int) -> Iterator[None]:
    """These processes can open nothing more."""
    before = {pid: resource.prlimit(pid, resource.RLIMIT_NOFILE) for pid in pids}
    for pid, (_, hard) in before.items():
        taken = {int(path.name) for path in Path(f"/proc/{pid}/fd").iterdir()}
        lowest = next(number for number in range(max(taken) + 2) if number not in taken)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (lowest, hard))  # a new one gets the lowest number that is free
    yield
    for pid, limits in before.items():
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)


@fault("parent's file descriptors", "none left")
def exhaust_parent(world: World, _: str) -> Iterator[Ask | None]:
    """EMFILE for every new connection, from callers and to enclaves. Who connects waits for a descriptor."""
    with no_descriptors(*world.servers):
        yield None


@fault("enclave's file descriptors", "none left")
def exhaust_enclave(world: World, _: str) -> Iterator[Ask | None]:
    """EMFILE for every new connection, from the parent and to the upstream; those that are kept go on."""
    with no_descriptors(world.enclave_pid(VIES)):
        yield None
