"""One attack after another, each in rounds between calm times in which the same honest callers work."""

import json
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.machine import cpu_time
from bench.processes import Child, Processes
from bench.siege import events, tokens
from bench.siege.attacks import Attack, Command
from bench.siege.events import Event
from bench.siege.system import System, memory_mib

WARM_UP_SECONDS = 1.0  # until all connections and threads are in use
LOOK_SECONDS = 0.5
END_SECONDS = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """Seconds of an attack and of the calm behind it, and how many rounds of both."""

    attack: float = 4.0  # the slowest of the attackers have had their turn by then
    calm: float = 3.0
    rounds: int = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A time, and the CPU seconds that went by in it: of all cores, and of those who are no part of what is measured.

    `attackers` are ours, `others` are not. `system` is what parent, workers and upstream used.
    """

    begin: float
    end: float
    cores: float
    system: float
    attackers: float
    others: float

    @property
    def left(self) -> float:
        """The share of the machine that the attackers' own work and other jobs left."""
        return max(0.01, 1 - (self.attackers + self.others) / self.cores)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What an attack left: calm and attack phases in turn, a calm one first and last; everybody's events; what slow
    attackers say at their end; the memory of parent and worker (MiB) before, the most during it, and behind it.
    """

    calm: tuple[Phase, ...]
    attack: tuple[Phase, ...]
    honest: tuple[Event, ...]
    flood: tuple[Event, ...]
    said: tuple[dict[str, object], ...]
    memory: tuple[dict[str, float], ...]


@dataclass
class _Watch:
    """The most memory that parent and worker held."""

    children: Sequence[Child]
    most: dict[str, float] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)

    def look(self) -> dict[str, float]:
        now = {child.name: memory_mib(child) for child in self.children}
        self.most = {name: max(mib, self.most.get(name, 0.0)) for name, mib in now.items()}
        return now

    @contextmanager
    def running(self) -> Iterator[None]:
        thread = threading.Thread(target=self._run)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()

    def _run(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            self.look()


def measure_peak(processes: Processes, system: System, attack: Attack, seconds: float) -> float:
    """Return the good answers per second of an attack's honest callers alone."""
    with _honest(processes, system, attack) as (_, seen):
        time.sleep(WARM_UP_SECONDS)
        begin = time.monotonic()
        time.sleep(seconds)
        end = time.monotonic()
    return events.rate(seen, begin, end)


def besiege(processes: Processes, system: System, attack: Attack, lengths: Lengths, *, peak: float) -> Seen:
    """Run one attack. `peak` is what a flood's rate follows from."""
    watch = _Watch((system.parent, system.worker))
    calm, attacks, flood, said = list[Phase](), list[Phase](), list[Event](), list[dict[str, object]]()
    before = watch.look()
    with watch.running(), _honest(processes, system, attack) as (honest, seen):
        time.sleep(WARM_UP_SECONDS)
        calm.append(_phase(system, honest, (), lengths.calm))
        for _ in range(lengths.rounds):
            children = [_start(processes, command) for command in attack.commands(system, peak)]
            time.sleep(attack.ramp)
            attacks.append(_phase(system, honest, children, lengths.attack))
            for child in children:
                child.check()
                child.process.send_signal(signal.SIGTERM)
            calm.append(_phase(system, honest, (), lengths.calm))
            for child in children:
                child.process.wait(END_SECONDS)
                said += _said(child)
            flood += _flood(processes.folder)
    return Seen(
        calm=tuple(calm),
        attack=tuple(attacks),
        honest=tuple(seen),
        flood=tuple(flood),
        said=tuple(said),
        memory=(before, watch.most, watch.look()),
    )


def _phase(system: System, honest: Child, attackers: Sequence[Child], seconds: float) -> Phase:
    groups = (system.serving, (honest,), attackers)

    def used() -> list[float]:
        return [sum(child.cpu_seconds() for child in group) for group in groups]

    before, machine, begin = used(), cpu_time(), time.monotonic()
    time.sleep(seconds)
    spent = [after - then for after, then in zip(used(), before, strict=True)]
    now = cpu_time()
    return Phase(
        begin=begin,
        end=time.monotonic(),
        cores=now.total - machine.total,
        system=spent[0],
        attackers=spent[2],
        others=max(0.0, now.busy - machine.busy - sum(spent)),
    )


@contextmanager
def _honest(processes: Processes, system: System, attack: Attack) -> Iterator[tuple[Child, list[Event]]]:
    """Let honest callers work; what they saw is in the list afterwards."""
    path, seen = processes.folder / "honest.json", list[Event]()
    request = system.requests[tokens.HONEST, attack.service]
    child = processes.module("honest callers", "bench.siege.callers", path, system.port, request, attack.clients)
    try:
        yield child, seen
        child.check()
    finally:
        child.process.terminate()
        child.process.wait(END_SECONDS)
    seen += events.read(path)


def _start(processes: Processes, command: Command) -> Child:
    name, *arguments = (str(processes.folder / "flood.json") if word == "EVENTS" else word for word in command)
    return processes.start("attackers", [sys.executable, "-m", name, *arguments])


def _flood(folder: Path) -> list[Event]:
    path = folder / "flood.json"
    if not path.exists():
        return []
    found = events.read(path)
    path.unlink()
    return found


def _said(child: Child) -> list[dict[str, object]]:
    text = child.output.read_text(encoding="utf-8", errors="replace").strip()
    return [json.loads(text)] if text.startswith("{") else []
