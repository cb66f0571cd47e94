"""Dumps of the memory of running processes, as the root user of a host can make them at any time.

Linux: /proc/PID/maps says what is mapped, /proc/PID/mem holds it (proc(5)); reading it needs the right to ptrace.
"""

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from io import FileIO
from typing import BinaryIO

from devstack.processes import PROC, stopped

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
WINDOW_BYTES = 64 * 1024
OVERLAP_BYTES = 1024  # more than the longest spelling of a secret
UNREADABLE = {"[vvar]", "[vvar_vclock]", "[vsyscall]"}  # of the kernel: timekeeping, and no memory of a process
_MAPPING = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (r|-)\S+ \S+ \S+ \S+ *(.*)")


def may_read(pid: int) -> bool:
    """Whether this process may read the memory of that one."""
    try:
        with (PROC / str(pid) / "mem").open("rb", buffering=0):
            return True
    except PermissionError:
        return False


def dump(pids: Sequence[int], file: BinaryIO, *, seen: set[bytes]) -> int:
    """Append every readable page of the processes, all of them stopped meanwhile; return how many bytes were read.

    Windows that overlap are kept, so that nothing hides on a boundary; one whose digest is in `seen` is not kept again.

    Raises: PermissionError where `may_read` says no.
    """
    total = 0
    with stopped(pids):
        for window in (window for pid in pids for window in _windows(pid)):
            total += len(window)
            digest = hashlib.blake2b(window, digest_size=16).digest()
            if digest not in seen:
                seen.add(digest)
                file.write(window + b"\0")
    return total


def _windows(pid: int) -> Iterator[bytes]:
    """Yield all that can be read of one process, neighbouring windows with an overlap."""
    with (PROC / str(pid) / "mem").open("rb", buffering=0) as memory:
        for start, end in _regions(pid):
            for at in range(start, end, WINDOW_BYTES):
                yield _read(memory, at, min(at + WINDOW_BYTES + OVERLAP_BYTES, end))


def _read(memory: FileIO, at: int, end: int) -> bytes:
    """Return what is between two addresses, without the pages that the kernel shows to nobody."""
    data = bytearray()
    while at < end:
        memory.seek(at)
        try:
            part = memory.read(end - at)
        except OSError:
            part = b""
        data += part
        at = at + len(part) if part else (at // PAGE_BYTES + 1) * PAGE_BYTES
    return bytes(data)


def _regions(pid: int) -> Iterator[tuple[int, int]]:
    """Yield first and last address of what is readable; neighbours in one piece."""
    pending: tuple[int, int] | None = None
    for line in (PROC / str(pid) / "maps").read_text(encoding="utf-8", errors="replace").splitlines():
        match = _MAPPING.fullmatch(line)
        if match is None:
            raise ValueError(f"a line of /proc/{pid}/maps is not of proc(5)'s form")
        if match[3] != "r" or match[4] in UNREADABLE:
            continue
        start, end = int(match[1], 16), int(match[2], 16)
        if pending and pending[1] == start:
            pending = pending[0], end
            continue
        if pending:
            yield pending
        pending = start, end
    if pending:
        yield pending
