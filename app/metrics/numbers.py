"""Plain numbers that other modules keep anyway, made into gauges and counters at the time of looking.

A module hands over a function that returns its numbers; nothing is added to the path of a request. Under gunicorn the
process that is asked for metrics cannot call the functions of the others: each process looks once a second, and once
more before it shows anything and before it ends.
"""

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge

from app.log import Log

SAMPLE_SECONDS = 1.0

Labels = tuple[str, ...]
Mode = Literal["livesum", "livemin", "livemostrecent"]
Read = Callable[[], Iterable[tuple[Labels, float]]]  # the values of the labels, in their order, and the number


@dataclass(slots=True, kw_only=True)
class _Watched:
    metric: Gauge | Counter
    read: Read
    known: dict[Labels, float] = field(default_factory=dict)  # of a counter: what has been counted so far

    def look(self) -> None:
        for labels, value in self.read():
            child = self.metric.labels(*labels) if labels else self.metric
            if isinstance(child, Gauge):
                child.set(value)
            else:
                child.inc(max(0.0, value - self.known.get(labels, 0.0)))
                self.known[labels] = max(value, self.known.get(labels, 0.0))


class Numbers:
    """The registry of such functions, in one process."""

    def __init__(self, registry: CollectorRegistry, log: Log) -> None:
        self._registry = registry
        self._log = log
        self._steps: list[Callable[[], None]] = []
        self._lock = threading.Lock()
        self._end = threading.Event()

    def gauge(self, name: str, explained: str, labels: Sequence[str], read: Read, *, mode: Mode = "livesum") -> None:
        """Show what `read` returns as a gauge: of the processes that live the sum, the least, or the one set last."""
        metric = Gauge(name, explained, labels, registry=self._registry, multiprocess_mode=mode)
        self.at_each_look(_Watched(metric=metric, read=read).look)

    def counter(self, name: str, explained: str, labels: Sequence[str], read: Read) -> None:
        """Show what `read` returns as a counter. `name` ends in `_total`; `read` counts from the process's start."""
        metric = Counter(name, explained, labels, registry=self._registry)
        self.at_each_look(_Watched(metric=metric, read=read).look)

    def at_each_look(self, step: Callable[[], None]) -> None:
        """Do this, too, whenever the numbers are read. Never two at a time."""
        self._steps.append(step)

    def look(self) -> None:
        """Read every number now."""
        with self._lock:
            for step in self._steps:
                try:
                    step()
                except Exception as exc:  # noqa: BLE001  one broken number must not hide the others
                    self._log.event("internal error", what="metrics", error=type(exc).__name__)

    def start(self) -> None:
        """Look now, and every SAMPLE_SECONDS from now on, in a thread of its own. Call it in the process that serves.

        The first look opens the process's files while it has descriptors for them.
        """
        self.look()
        threading.Thread(target=self._run, name="metrics", daemon=True).start()

    def stop(self) -> None:
        """Look a last time, and no more."""
        self._end.set()
        self.look()

    def _run(self) -> None:
        while not self._end.wait(SAMPLE_SECONDS):
            self.look()
