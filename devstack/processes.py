"""Processes as seen from outside: who started whom, whether they run; how they are held still, and ended."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator, Sequence, Set
from pathlib import Path

PROC = Path("/proc")
WAIT_SECONDS = 10.0  # for the last thread of a process to stand still, or to end
POLL_SECONDS = 0.001
ENDED = frozenset("ZX")


def children(pid: int) -> list[int]:
    """Return the ids of the processes that a process, by any of its threads, has started and that are there."""
    return [int(child) for text in _of_threads(pid, "children") for child in text.split()]


def family(pid: int) -> list[int]:
    """Return a process and all its descendants, by process id."""
    found = [pid]
    for parent in found:
        found += children(parent)
    return found


def states(pid: int) -> set[str]:
    """Return the states of a process' threads, as proc(5) has them: `T` is stopped, `Z` ended and not waited for."""
    return {text.rpartition(")")[2].split()[0] for text in _of_threads(pid, "stat")}


def runs(pid: int) -> bool:
    """Whether a process has a thread that has not ended: one that nobody has waited for yet does not run."""
    return not states(pid) <= ENDED


@contextlib.contextmanager
def stopped(pids: Sequence[int]) -> Iterator[None]:
    """Hold these processes still (SIGSTOP), with all that they have open, until the block ends.

    Within the block no thread of theirs runs: a signal is on its way for a moment, and one that has not got it goes on.

    Raises:
        TimeoutError: a thread goes on.
    """
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        _wait(pids, ENDED | {"T"})
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def kill(pids: Sequence[int]) -> None:
    """End these processes as a power cut would (SIGKILL); when this returns, no thread of theirs runs.

    Raises:
        TimeoutError: one goes on.
    """
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    _wait(pids, ENDED)


def _of_threads(pid: int, file: str) -> Iterator[str]:
    """Yield what a file of /proc says of each thread of a process: of those that do not end meanwhile."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for thread in (PROC / str(pid) / "task").iterdir():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                yield (thread / file).read_text(encoding="ascii", errors="replace")


def _wait(pids: Sequence[int], wanted: Set[str]) -> None:
    end = time.monotonic() + WAIT_SECONDS
    while not all(states(pid) <= wanted for pid in pids):
        if time.monotonic() > end:
            raise TimeoutError(f"a thread of {pids} goes on")
        time.sleep(POLL_SECONDS)
