"""What gunicorn's master hands down to the processes that it forks: the callers that it read, and the shared counters.

`FAMILY` is the one global of this room. gunicorn forces it: its configuration file, its hooks and the application that
its processes build meet nowhere but in a module. A program that is not forked by gunicorn finds it empty.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from app.callers.registry import Callers
from app.limits.table import MAX_PROCESSES, Meter, Table
from app.limits.values import Limits
from app.log import Log

DEFAULT_THREADS = 96


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One process among its siblings: its row in their counters, and how many threads answer in it."""

    table: Table = field(default_factory=Table)
    row: int = 0
    threads: int = DEFAULT_THREADS

    def meter(self, name: str, limits: Limits) -> Meter:
        """Return the counter of `name`, shared with the siblings."""
        return Meter(self.table, name, limits, row=self.row, clock=time.monotonic_ns)


def counted(caller: str) -> str:
    """Return the name under which a caller's questions are counted."""
    return f"caller {caller}"


class Family:
    """One gunicorn: its master, and through fork every process of it."""

    def __init__(self) -> None:
        self.callers: Callers | None = None
        self.context: Any = None  # of TLS, where gunicorn ends it
        self.started = False  # whether both have been read
        self._table: Table | None = None
        self._process: Process | None = None

    def close(self) -> None:
        """End the sharing. gunicorn's master never does: what it shares ends with it."""
        if self._table is not None:
            self._table.close()

    def read(
        self, callers: Callable[[], Callers | None], error: type[Exception], *, context: Callable[[], Any]
    ) -> None:
        """Read the callers and the context of TLS, at the start and at every reload.

        A file that cannot be used stops the start; at a reload both stay what they were, and the log says so: a slip
        of the pen takes no running service down. Processes get what was read here, so that all know the same callers.

        Raises:
            error: what `callers` or `context` raises, at the start.
        """
        try:
            self.callers, self.context = callers(), context()
        except error as exc:
            if not self.started:
                raise
            Log().event("reload refused", error=str(exc))
        self.started = True
        self._make_room()

    def _make_room(self) -> None:
        """Let the processes to come count in a table of their own, where this one has no columns for their callers.

        Those of before keep theirs until they end: meanwhile each generation counts by itself.
        """
        names = [counted(caller.name) for caller in self.callers.all] if self.callers is not None else []
        if self._table is not None and not self._table.has_room(names):
            self._table.close()
            self._table = None

    def adopt(self, worker: Any) -> None:
        """gunicorn's pre_fork: give the process that comes a row."""
        if self._table is None:
            self._table = Table(processes=MAX_PROCESSES, shared=True)
        worker.table, worker.row = self._table, self._table.adopt(os.getpid())

    def occupy(self, worker: Any) -> None:
        """gunicorn's post_fork: this is the process. One too many for the table counts by itself."""
        threads = int(worker.cfg.threads)
        if self._table is None or worker.row is None:
            self._process = Process(threads=threads)
            return
        self._table.occupy(worker.row, os.getpid())
        self._process = Process(table=self._table, row=worker.row, threads=threads)

    def bury(self, worker: Any) -> None:
        """gunicorn's child_exit: give back what the dead process held."""
        row: int | None = getattr(worker, "row", None)
        if row is not None:
            worker.table.clear(row)

    def process(self) -> Process:
        """Return this process; one of its own where gunicorn did not fork it."""
        return self._process if self._process is not None else Process()


FAMILY = Family()
