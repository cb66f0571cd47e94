"""The files where gunicorn's processes keep their numbers, so that any of them can show the sum of all.

The folder is named by PROMETHEUS_MULTIPROC_DIR, for prometheus_client as for us; gunicorn_conf.py sees to it.

As shipped, the library makes a file longer without taking the space: where the file system turns out to have none, the
write to such a page ends the process (SIGBUS), and every call under way in it. Here the space is taken first.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from prometheus_client import Metric, mmap_dict, multiprocess, values

from app.log import Log

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


def shared(environ: Mapping[str, str]) -> str:
    """Return the folder that the library keeps this process's numbers in; empty where they stay in its memory."""
    return environ.get(VARIABLE, "") if values.ValueClass._multiprocess else ""


def empty(folder: Path) -> None:
    """Remove what a master before this one left behind: its counts would be added to ours."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path in folder.glob("*.db"):
        path.unlink(missing_ok=True)


class Reserved(mmap_dict.MmapedDict):
    """A process's file, with room for all that is written to it.

    Where there is no room, the numbers go on in memory of this process alone: it serves, and others show of it what the
    file has.
    """

    def __init__(self, filename: str) -> None:
        with Path(filename).open("ab") as file:
            has_room = _reserve(file.fileno(), max(file.tell(), mmap_dict._INITIAL_MMAP_SIZE))
        if has_room:
            super().__init__(filename)  # type: ignore[no-untyped-call]
        else:
            self._go_apart(b"")

    def _init_value(self, key: str) -> None:
        text = len(key.encode())
        needed = self._used + 4 + text + 8 - (text + 4) % 8 + 16  # as the library pads: length, text, two doubles
        if needed > self._capacity and not _reserve(self._f.fileno(), _doubled(self._capacity, needed)):
            content = self._m[:]
            self.close()  # type: ignore[no-untyped-call]
            self._go_apart(content)
        super()._init_value(key)  # type: ignore[no-untyped-call]

    def _go_apart(self, content: bytes) -> None:
        with os.fdopen(os.memfd_create("tytle-metrics", os.MFD_CLOEXEC), "wb") as file:
            file.write(content)
            file.flush()
            super().__init__(f"/proc/self/fd/{file.fileno()}")  # type: ignore[no-untyped-call]  # opens it for itself


values.MmapedDict = Reserved  # type: ignore[attr-defined, assignment]  # where the library looks it up for every file


def _doubled(capacity: int, needed: int) -> int:
    while capacity < needed:
        capacity *= 2
    return capacity


def _reserve(descriptor: int, size: int) -> bool:
    """Make a file that long, with the space for all of it; False where there is no room."""
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError as exc:
        Log().event("full", what="numbers", error=exc.strerror)
        return False
    return True


class Shared(multiprocess.MultiProcessCollector):
    """The sums over all processes. A file without a byte is passed over: a process is making it in this instant."""

    def collect(self) -> Iterable[Metric]:
        """Return every metric."""
        paths = (path for path in Path(self._path).glob("*.db") if _holds_something(path))
        return self.merge([str(path) for path in paths])  # type: ignore[no-any-return,no-untyped-call]


def _holds_something(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:  # of a process that has ended
        return False


def forget(folder: Path, pid: int) -> None:
    """Take the gauges of a process that has ended out of the sums. Its counts stay: a counter never goes back."""
    multiprocess.mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]
