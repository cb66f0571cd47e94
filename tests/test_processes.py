"""Processes that are held still or ended: when they are said to be, they are."""

import mmap
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.processes import kill, runs, states, stopped

ROUNDS = 50
COUNTS = """
import mmap, sys, threading
file = open(sys.argv[1], "r+b")
memory = mmap.mmap(file.fileno(), 0)

def count(at):
    while True:
        for number in range(256):
            memory[at] = number

threading.Thread(target=count, args=(0,), daemon=True).start()
count(1)
"""


@pytest.fixture
def counter(tmp_path: Path) -> Iterator[tuple[int, mmap.mmap]]:
    """A process whose two threads never rest, and the memory that they write to."""
    path = tmp_path / "memory"
    path.write_bytes(bytes(2))
    with (
        path.open("r+b") as file,
        mmap.mmap(file.fileno(), 0) as memory,
        subprocess.Popen([sys.executable, "-c", COUNTS, str(path)]) as process,
    ):
        try:
            while not (memory[0] and memory[1]):
                assert process.poll() is None
                time.sleep(0.01)
            yield process.pid, memory
        finally:
            process.kill()


def test_a_process_that_is_stopped_does_nothing_from_then_on(counter: tuple[int, mmap.mmap]) -> None:
    pid, memory = counter
    for _ in range(ROUNDS):
        with stopped([pid]):
            before = bytes(memory)
            time.sleep(0.002)
            assert bytes(memory) == before
            assert states(pid) == {"T"}
        assert "T" not in states(pid)
        time.sleep(0.001)


def test_a_process_that_is_killed_does_nothing_from_then_on(counter: tuple[int, mmap.mmap]) -> None:
    pid, memory = counter
    assert runs(pid)
    kill([pid])
    before = bytes(memory)
    time.sleep(0.01)
    assert bytes(memory) == before
    assert not runs(pid)


def test_a_process_that_is_gone_does_not_run() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert states(process.pid) == set()
    assert not runs(process.pid)
