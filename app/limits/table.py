"""Counters that all processes of one gunicorn share, without a lock between them.

The memory is one anonymous mapping, made by gunicorn's master before it forks. A column is a caller or a service, a row
is a process. Rule: a word in a row is written by the process of that row alone, so that nothing can be lost between two
of them, and a process that is killed leaves no lock; what it held is set to zero by the master (`clear`). Every process
reads all rows of a column.

- Concurrency: a process adds one to its own word, then sums the column; over the limit it takes the one back. So the
  limit is never passed. Two that ask for the last place at the same instant may both be refused.
- Rate: a token bucket kept as one instant, the theoretical arrival time of ITU-T I.371 (GCRA): `since` and what the
  processes spent, summed, in nanoseconds. `since` is the one word that several write; it moves only when the bucket is
  full again, and two processes that move it at the same instant can give one question away.
"""

import fcntl
import mmap
import os
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from hashlib import sha256

from app.limits.values import Limits, OverLimit

MAX_PROCESSES = 256  # rows: processes alive at once, those of former reloads included
MAX_NAMES = 2048  # columns: callers and services since the table was made
SPARE_NAMES = 256  # of them, for what the processes count beside the callers that the master knows: services
NANOSECONDS = 1_000_000_000
_WORD_BYTES = 8


class Table:
    """The shared memory. Pages that are never touched cost nothing: about 4 KiB for each caller and service.

    `shared` is for a master that is about to fork; without it, claims of a column are not guarded between processes.
    """

    def __init__(self, *, processes: int = 1, names: int = MAX_NAMES, shared: bool = False) -> None:
        self._processes = processes
        cells = processes * names
        self._memory = memoryview(mmap.mmap(-1, _WORD_BYTES * (1 + processes + 2 * names + 2 * cells)))
        self._offset = 0
        self.used = self._words(1)  # rows that have ever been in use, the first ones
        self.used[0] = processes if not shared else 0
        self._pids = self._words(processes)
        self._keys = self._words(names)
        self.since = self._words(names)
        self.spent = self._words(cells)
        self.held = self._words(cells)
        self._claims = tempfile.TemporaryFile() if shared else None  # noqa: SIM115  open as long as the master lives

    def close(self) -> None:
        """Close the file behind the claims of a shared table; its counters stay as they are."""
        if self._claims is not None:
            self._claims.close()

    def column(self, name: str) -> int:
        """Return the column of `name`, the same one in every process.

        Raises:
            ValueError: as many other names have come since the table was made.
        """
        key = _key(name)
        with self._claiming():
            for column, taken in enumerate(self._keys):
                if taken in (0, key):
                    self._keys[column] = key
                    return column
        raise ValueError(f"over {len(self._keys)} callers and services since the start: start the parent again")

    def has_room(self, names: Iterable[str]) -> bool:
        """Whether each of `names` has a column or can still get one, and SPARE_NAMES others too."""
        keys = set(self._keys)
        fresh = sum(_key(name) not in keys for name in names)
        return fresh + SPARE_NAMES <= sum(not key for key in self._keys)

    def cells(self, column: int) -> slice:
        """Return where a column's words are in `spent` and `held`."""
        return slice(column * self._processes, (column + 1) * self._processes)

    def adopt(self, pid: int) -> int | None:
        """Return a free row for a process that is about to be forked, or None. For the master alone.

        The row is the master's (`pid`) until `occupy`.
        """
        for row, owner in enumerate(self._pids):
            if owner and not _lives(owner):
                self.clear(row)
            if not self._pids[row]:
                self._pids[row] = pid
                self.used[0] = max(self.used[0], row + 1)
                return row
        return None

    def occupy(self, row: int, pid: int) -> None:
        """Note which process writes to a row."""
        self._pids[row] = pid

    def clear(self, row: int) -> None:
        """Give back all that a process held that is no more. What it spent stays spent."""
        for column, key in enumerate(self._keys):
            if not key:
                break  # columns are claimed in order
            self.held[column * self._processes + row] = 0
        self._pids[row] = 0

    def _words(self, count: int) -> "memoryview[int]":
        begin, self._offset = self._offset, self._offset + _WORD_BYTES * count
        return self._memory[begin : self._offset].cast("q")

    @contextmanager
    def _claiming(self) -> Iterator[None]:
        """Hold the lock of claims: only while a process starts. The kernel frees it when its holder dies."""
        if self._claims is None:
            yield
            return
        fcntl.lockf(self._claims, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self._claims, fcntl.LOCK_UN)


class Meter:
    """One caller's or service's limits, as one process counts against them. Safe to use from many threads."""

    __slots__ = (
        "_burst",
        "_clock",
        "_column",
        "_concurrent",
        "_held",
        "_lock",
        "_period",
        "_row",
        "_since",
        "_spent",
        "_used",
    )

    def __init__(self, table: Table, name: str, limits: Limits, *, row: int, clock: Callable[[], int]) -> None:
        column = table.column(name)
        self._used, self._since = table.used, table.since
        self._column, self._row = column, row
        self._held = table.held[table.cells(column)]
        self._spent = table.spent[table.cells(column)]
        self._lock = threading.Lock()
        self._clock = clock  # nanoseconds, one clock for all processes, as CLOCK_MONOTONIC is
        self._concurrent = limits.concurrent
        self._period = round(NANOSECONDS / limits.rate) if limits.rate else 0  # between two questions in the long run
        self._burst = limits.burst * self._period

    def take(self, cost: float = 1.0) -> None:
        """Count a question: one more under way, and `cost` of the rate. `give` has to follow.

        Raises:
            OverLimit: one of the limits is reached; nothing was counted.
        """
        with self._lock:
            self._held[self._row] += 1
            if self._concurrent is not None and sum(self._held[: self._used[0]]) > self._concurrent:
                self._held[self._row] -= 1
                raise OverLimit(seconds=1.0, rate=False)
            if self._period:
                self._spend(int(cost * self._period))

    def give(self, refund: float = 0.0) -> None:
        """Count the end of a question; `refund` is the cost of one that was not put after all."""
        with self._lock:
            self._held[self._row] -= 1
            self._spent[self._row] -= int(refund * self._period)

    @property
    def under_way(self) -> int:
        """How many questions are under way on this host."""
        return sum(self._held[: self._used[0]])

    def _spend(self, nanoseconds: int) -> None:
        now = self._clock()
        self._spent[self._row] += nanoseconds
        ahead = self._since[self._column] + sum(self._spent[: self._used[0]]) - now
        if ahead < nanoseconds:  # the bucket was full
            self._since[self._column] += nanoseconds - ahead
        elif ahead > self._burst:
            self._spent[self._row] -= nanoseconds
            self._held[self._row] -= 1
            raise OverLimit(seconds=(ahead - self._burst) / NANOSECONDS, rate=True)


def _key(name: str) -> int:
    return int.from_bytes(sha256(name.encode()).digest()[: _WORD_BYTES - 1], "big") or 1


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
