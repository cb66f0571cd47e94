"""What goes wrong with processes: gunicorn's master and its processes, the enclaves, and what they need to start."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from devstack.endurance.parent import write_callers
from devstack.endurance.system import Place, answers
from devstack.processes import kill, runs, stopped
from tests.faults.registry import TWO_ENCLAVES, Ask, fault
from tests.faults.world import World, wait_until

VIES: Place = ("vies", 0)
FIRST_OF_TWO: Place = ("sicae", 0)
PAUSE_SECONDS = 0.8
START_SECONDS = 14.0


# --- the parent


def serving(world: World) -> int:
    """Return the process of gunicorn that has the disturbed caller's connection; where it has none, any."""
    sock = world.connection._connection.sock
    pids = world.servers
    if sock is None:
        return pids[0]
    inode = _inode(world.port, sock.getsockname()[1])
    return next((pid for pid in pids if inode in _sockets(pid)), pids[0])


def _inode(port: int, callers_port: int) -> str:
    """Return what /proc calls the parent's end of a connection."""
    ends = f"0100007F:{port:04X}", f"0100007F:{callers_port:04X}"
    lines = Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    return next((fields[9] for line in lines if tuple((fields := line.split())[1:3]) == ends), "")


def _sockets(pid: int) -> set[str]:
    found = set()
    for path in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            found.add(str(path.readlink()).removeprefix("socket:[").removesuffix("]"))
    return found


@fault("a process of the parent", "killed")
def kill_server(world: World, _: str) -> Iterator[Ask | None]:
    """The one that has the caller's connection; gunicorn starts another."""
    pid = serving(world)
    kill([pid])
    yield None
    wait_until("a new process", lambda: world.is_whole_without([pid]))


@fault("a process of the parent", "hangs")
def stop_server(world: World, moment: str) -> Iterator[Ask | None]:
    """It stands still: for ever in the eyes of who asks another, for a moment where it has the question."""
    pid = serving(world)
    if moment == "while waiting":
        with stopped([pid]):
            time.sleep(PAUSE_SECONDS)
        yield None
        return
    world.connection.close()
    with stopped([pid]):
        yield None


@fault("parent", "reloaded")
def reload(world: World, _: str) -> Iterator[Ask | None]:
    """SIGHUP: new processes, while the old ones finish."""
    before = set(world.servers)
    os.kill(world.master, signal.SIGHUP)
    yield None
    wait_until("a reload", lambda: world.is_whole_without(before))


@fault("parent", "reloaded with a broken list of callers")
def reload_broken(world: World, moment: str) -> Iterator[Ask | None]:
    """The new list is not taken, the old one goes on to hold."""
    path = write_callers(world.folder)
    right = path.read_bytes()
    path.write_bytes(b"[[tokens]\n")
    before = set(world.servers)
    os.kill(world.master, signal.SIGHUP)
    if moment == "before the request":
        wait_until("a reload", lambda: world.is_whole_without(before))
    yield None
    path.write_bytes(right)
    yield from _reloaded(world)


def _reloaded(world: World) -> Iterator[Ask | None]:
    before = set(world.servers)
    os.kill(world.master, signal.SIGHUP)
    wait_until("a reload", lambda: world.is_whole_without(before))
    yield from ()


@fault("parent", "told to end")
def end_parent(world: World, _: str) -> Iterator[Ask | None]:
    """SIGTERM: what it has begun it finishes."""
    os.kill(world.master, signal.SIGTERM)
    yield None
    world.restart_parent()


@fault("parent", "killed")
def kill_parent(world: World, _: str) -> Iterator[Ask | None]:
    """Master and processes at once, as a power cut would."""
    kill([world.master, *world.servers])
    yield None
    world.restart_parent()


@fault("master of the parent", "killed")
def kill_master(world: World, _: str) -> Iterator[Ask | None]:
    """Its processes see it, finish, and end."""
    before = world.servers
    kill([world.master])
    yield None
    wait_until("its processes end", lambda: not any(map(runs, before)))
    world.restart_parent()


@fault("parent", "no enclave is there")
def start_alone(world: World, _: str) -> Iterator[Ask | None]:
    """It starts before the enclave does."""
    world.stop_parent()
    world.kill(VIES)
    world.start_parent()
    yield None
    world.start(VIES)
    wait_until("all are there", world.is_whole)


@contextlib.contextmanager
def not_starting(world: World, **environ: str) -> Iterator[Ask]:
    """The parent is down; what is asked is whether it starts, with these variables more."""
    world.stop_parent()

    def start() -> str:
        process = world.begin_parent(**environ)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return "does not start" if process.wait(START_SECONDS) else "ended well"
        return "starts" if answers(world.url, "/livez") else "neither starts nor ends"

    yield start
    world.restart_parent()


@fault("parent", "its list of callers is broken")
def start_broken(world: World, _: str) -> Iterator[Ask | None]:
    """TOKENS_FILE cannot be read as a list."""
    path = world.folder / "broken.toml"
    path.write_bytes(b"[[tokens]\n")
    with not_starting(world, TOKENS_FILE=str(path)) as start:
        yield start


@fault("parent", "its port is taken")
def start_without_port(world: World, _: str) -> Iterator[Ask | None]:
    """Somebody else listens there; gunicorn tries five times, a second apart."""
    with not_starting(world) as start, socket.create_server(("127.0.0.1", world.port)):
        yield start


# --- an enclave


@fault("enclave", "killed")
def kill_enclave(world: World, _: str) -> Iterator[Ask | None]:
    """As a power cut would."""
    world.kill(VIES)
    yield None
    world.start(VIES)


@fault("enclave", "hangs")
def stop_enclave(world: World, _: str) -> Iterator[Ask | None]:
    """It stands still. Nothing tells the parent but the time that passes."""
    with stopped([world.enclave_pid(VIES)]):
        yield None


@fault("enclave", "hangs for a moment")
def pause_enclave(world: World, _: str) -> Iterator[Ask | None]:
    """It stands still for less time than a caller allows."""
    with stopped([world.enclave_pid(VIES)]):
        time.sleep(PAUSE_SECONDS)
    yield None


@fault("enclave", "told to end")
def end_enclave(world: World, moment: str) -> Iterator[Ask | None]:
    """SIGTERM: what it has begun it finishes, and takes nothing more."""
    if moment == "while waiting":
        world.signal(VIES, signal.SIGTERM)
        yield None
        world.stop(VIES)
    else:
        world.stop(VIES)
        yield None
    world.start(VIES)


@fault("enclave", "rebooted")
def reboot_enclave(world: World, _: str) -> Iterator[Ask | None]:
    """It ends, and another comes up with new keys and another boot id."""
    world.kill(VIES)
    world.start(VIES)
    yield None


@fault(TWO_ENCLAVES, "killed")
def kill_one(world: World, _: str) -> Iterator[Ask | None]:
    """As a power cut would."""
    world.kill(FIRST_OF_TWO)
    yield None
    world.start(FIRST_OF_TWO)


@fault(TWO_ENCLAVES, "hangs")
def stop_one(world: World, _: str) -> Iterator[Ask | None]:
    """It stands still; pings have told the parent."""
    with stopped([world.enclave_pid(FIRST_OF_TWO)]):
        time.sleep(5.0)
        yield None


@fault(TWO_ENCLAVES, "link down")
def unlink_one(world: World, _: str) -> Iterator[Ask | None]:
    """Nobody listens where the parent looks for it."""
    world.links[FIRST_OF_TWO].stop()
    yield None
    world.links[FIRST_OF_TWO] = world.new_link(FIRST_OF_TWO)
