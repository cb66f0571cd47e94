"""Processes as they are seen from outside: who started whom, and all of them held still."""

import contextlib
import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

PROC = Path("/proc")


def children(pid: int) -> list[int]:
    """Return the ids of the processes that a process, by any of its threads, has started and that are there."""
    listed = (PROC / str(pid) / "task").glob("*/children")
    return [int(child) for path in listed for child in path.read_text(encoding="ascii").split()]


def family(pid: int) -> list[int]:
    """Return a process and all its descendants, by process id."""
    found = [pid]
    for parent in found:
        found += children(parent)
    return found


@contextlib.contextmanager
def stopped(pids: Sequence[int]) -> Iterator[None]:
    """Hold these processes still (SIGSTOP), with all that they have open, until the block ends."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
