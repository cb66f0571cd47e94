"""The C library's heaps, seen from outside: what a process of many threads maps."""

import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, sys, threading
from app import heap

if sys.argv[1] == "small" and not heap.keep_small():
    raise SystemExit(3)
malloc = ctypes.CDLL(None).malloc
all_here = threading.Barrier(9)

def hold():
    malloc(ctypes.c_size_t(4096))
    all_here.wait()
    all_here.wait()

for _ in range(8):
    threading.Thread(target=hold, daemon=True).start()
all_here.wait()
print(sum(1 for line in open("/proc/self/maps") if " ---p " in line and line.endswith(" 0 \\n")))
all_here.wait()
"""


def heaps(how: str) -> int:
    """Return how many heaps eight threads opened beside the first: each reserves what it may grow into."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, check=False, timeout=60)
    if done.returncode == 3:
        pytest.skip("this C library is not glibc")
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_eight_threads_share_two_heaps() -> None:
    assert heaps("shipped") - heaps("small") >= 4
