"""A folder that the parent's processes share: which enclaves are drained, and how many calls are under way at each.

`draining/SERVICE.CID` is an empty file for each enclave that gets no new calls. `calls/*.calls` is one file for each
process, which it maps into its memory and locks for as long as it lives: a lock that can be taken has no process any
more, however that ended. A file is named so only when it is whole and locked.

Layout of such a file: 64 bytes for each enclave: its name, filled up with zeros (48 bytes), then two numbers as this
machine writes them (8 bytes each): the calls under way there, and 1 where this process gives it no new ones.
"""

import contextlib
import fcntl
import mmap
import os
import re
import secrets
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.enclave import Slot

RECORD = struct.Struct("=48sQQ")  # a service's name has at most 32 bytes, a CID at most 10 digits
_CELLS = RECORD.size // 8
_CALLS, _DRAINING = 6, 7  # the two numbers, counted in cells of 8 bytes
_ENCLAVE = re.compile(r"([a-z0-9-]{1,32})\.([0-9]{1,10})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What one process says of one enclave. `name` is `vies/16`."""

    name: str
    calls: int
    draining: bool


class Ledger:
    """This process's file. It is open, mapped and locked until the process ends or `close` is called."""

    def __init__(self, path: Path, descriptor: int, names: Sequence[str]) -> None:
        self._path = path
        self._descriptor = descriptor
        self._map = mmap.mmap(descriptor, len(names) * RECORD.size)
        self._cells = memoryview(self._map).cast("Q")
        self.slots = {
            name: Slot(self._cells, number * _CELLS + _CALLS, number * _CELLS + _DRAINING)
            for number, name in enumerate(names)
        }

    def close(self) -> None:
        """Give the file up. The slots are written on by calls that are still under way; nobody reads them any more."""
        self._path.unlink(missing_ok=True)
        os.close(self._descriptor)


class StateFolder:
    """The folder. Nothing is made or read until a method is called."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._calls = path / "calls"
        self._draining = path / "draining"

    def open(self, names: Sequence[str]) -> Ledger:
        """Make this process's file for the enclaves `names`; remove those of processes that are gone.

        Raises:
            OSError: the folder cannot be used.
        """
        self._make()
        for _ in self.held():
            pass  # looking removes
        unfinished = self._calls / f"{os.getpid()}-{secrets.token_hex(8)}.new"
        descriptor = os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            os.write(descriptor, b"".join(RECORD.pack(name.encode("ascii"), 0, 0) for name in names))
            path = unfinished.rename(unfinished.with_suffix(".calls"))
            return Ledger(path, descriptor, names)
        except BaseException:
            os.close(descriptor)
            raise

    def draining(self) -> frozenset[str]:
        """Return the names of the enclaves that are drained; none where there is no folder. Raises: OSError."""
        try:
            files = [path.name for path in self._draining.iterdir()]
        except FileNotFoundError:
            return frozenset()
        return frozenset(f"{match[1]}/{match[2]}" for file in files if (match := _ENCLAVE.fullmatch(file)))

    def drain(self, service: str, cid: int) -> None:
        """Say that an enclave gets no new calls. Raises: OSError."""
        self._make()
        self._mark(service, cid).touch()

    def undo(self, service: str, cid: int) -> None:
        """Say that it gets some again. Raises: OSError."""
        self._mark(service, cid).unlink(missing_ok=True)

    def held(self) -> Iterator[list[Held]]:
        """Yield what each living process says of its enclaves; remove the files of those that are gone."""
        for path in sorted(self._calls.glob("*.calls")):
            with contextlib.suppress(OSError), path.open("rb") as file:
                if _is_free(file.fileno()):
                    path.unlink(missing_ok=True)
                else:
                    yield list(_records(file.read()))

    def _mark(self, service: str, cid: int) -> Path:
        return self._draining / f"{service}.{cid}"

    def _make(self) -> None:
        for folder in (self._calls, self._draining):
            folder.mkdir(mode=0o755, parents=True, exist_ok=True)


def idle(states: Iterable[list[Held]], name: str) -> bool:
    """Whether every process that knows the enclave `name` gives it no new calls, and has none under way there."""
    return all(held.draining and held.calls == 0 for state in states for held in state if held.name == name)


def _records(data: bytes) -> Iterator[Held]:
    whole = len(data) - len(data) % RECORD.size
    for name, calls, draining in RECORD.iter_unpack(data[:whole]):
        yield Held(name=name.rstrip(b"\0").decode("ascii", "replace"), calls=calls, draining=bool(draining))


def _is_free(descriptor: int) -> bool:
    """Whether no process holds the lock any more."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
