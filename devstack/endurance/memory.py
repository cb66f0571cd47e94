"""What the processes hold while a run lasts: memory, file descriptors and threads, and whether they go on growing.

A process is judged if it lived for JUDGED_SECONDS. Its memory goes on growing if straight lines through the last two
thirds of its samples and through the last third both climb by more than MAX_GROWTH_KIB in ten minutes. A leak does; a
process whose threads meet their first large answers one after another only climbs at first.
"""

import contextlib
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from devstack.endurance.ledger import Ledger
from devstack.memory import Memory

MAX_GROWTH_KIB = 1024.0  # in TEN_MINUTES
TEN_MINUTES = 600.0
JUDGED_SECONDS = 900.0  # a shorter life says more about warming up: the parent took some ten minutes under this load
SLACK = 8  # descriptors or threads that may be there at the end above what was usual under load
WARM, LAST = 1 / 3, 2 / 3  # of a life


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at a process. `at` is in seconds since the run began; memory in KiB."""

    at: float
    rss: int
    pss: int
    descriptors: int
    threads: int


@dataclass
class Life:
    """One process, from when it was first seen."""

    name: str
    pid: int
    samples: list[Sample] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """From the first look to the last."""
        return self.samples[-1].at - self.samples[0].at

    @property
    def growth(self) -> float:
        """KiB of resident memory in ten minutes, in the last two thirds, by the method of least squares."""
        return self._growth(WARM)

    @property
    def growth_at_last(self) -> float:
        """The same in the last third."""
        return self._growth(LAST)

    def _growth(self, share: float) -> float:
        return slope([(each.at, float(each.rss)) for each in self._after(share)]) * TEN_MINUTES

    def _after(self, share: float) -> list[Sample]:
        first = self.samples[0].at + self.seconds * share
        return [sample for sample in self.samples if sample.at >= first]

    def problems(self) -> list[str]:
        """Say what does not return, or does not end to grow."""
        if self.seconds < JUDGED_SECONDS:
            return []
        growth = min(self.growth, self.growth_at_last)
        found = [] if growth <= MAX_GROWTH_KIB else [f"grows by {growth:.0f} KiB in ten minutes"]
        late = self._after(WARM)
        for what in ("descriptors", "threads"):
            usual = sorted(getattr(each, what) for each in late)[len(late) // 2]
            last = getattr(self.samples[-1], what)
            if last > usual + SLACK:
                found.append(f"{last} {what} at the end, {usual} in between")
        return found


def slope(points: list[tuple[float, float]]) -> float:
    """Return how much the best straight line climbs per unit; 0.0 for fewer than two points."""
    if len(points) < 2:
        return 0.0
    middle_x = sum(x for x, _ in points) / len(points)
    middle_y = sum(y for _, y in points) / len(points)
    spread = sum((x - middle_x) ** 2 for x, _ in points)
    return sum((x - middle_x) * (y - middle_y) for x, y in points) / spread if spread else 0.0


class Watch:
    """Looks at all processes of a system from time to time."""

    def __init__(self, ledger: Ledger) -> None:
        self._began = ledger.began
        self._lock = threading.Lock()
        self.lives: dict[tuple[int, str], Life] = {}

    def look(self, processes: dict[int, str]) -> None:
        """Look at each of them once; one that ends meanwhile is left out. Raises: PermissionError: this takes root."""
        for pid, name in processes.items():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError, StopIteration, KeyError):
                sample = sample_of(pid, time.monotonic() - self._began)
                with self._lock:
                    self.lives.setdefault((pid, name), Life(name, pid)).samples.append(sample)


def sample_of(pid: int, at: float) -> Sample:
    """Look at one process. Raises: OSError, StopIteration, KeyError, where it has ended, and OSError without root."""
    memory = Memory.of(pid)
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    threads = next(int(line.split()[1]) for line in status if line.startswith("Threads:"))
    descriptors = sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    return Sample(at, memory.resident, memory.proportional, descriptors, threads)
