"""Interleaved rounds: every subject is loaded once in each round, so that a busy machine troubles all of them alike."""

import json
import resource
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Self

from bench.figures import Figures
from bench.machine import cpu_time
from bench.processes import Child, Processes

CLIENT = "client"
FEWER_ROUNDS = 3  # a whole run takes 12 minutes so


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How much is measured: `seconds` per subject and round, `rounds`, `clients` that ask at the same time."""

    seconds: float = 2.0
    rounds: int = 5
    clients: int = 16

    def fewer(self) -> Self:
        """Return these with at most FEWER_ROUNDS, for measurements with much to measure in each."""
        return replace(self, rounds=min(FEWER_ROUNDS, self.rounds))


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is loaded: `command` prints `Figures` and takes the seconds as its last argument.

    `serving` are the processes whose CPU time is told apart. `at_least` seconds of it are needed for a figure.
    """

    name: str
    command: tuple[str, ...]
    serving: tuple[Child, ...]
    at_least: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One subject in one round. `cpu_ms` is the CPU time per answer, by process; the client's is among them.

    `others` is the share of the machine's CPU time that went to work that is not ours: the noise.
    """

    figures: Figures
    cpu_ms: dict[str, float]
    others: float

    @property
    def rate(self) -> float:
        """Good answers per second."""
        return self.figures.requests / self.figures.seconds

    def served_ms(self) -> float:
        """Return the CPU milliseconds per answer of everybody but the client."""
        return sum(spent for name, spent in self.cpu_ms.items() if name != CLIENT)


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of the rounds, and their least and greatest value."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Self:
        """Return the spread of at least one value."""
        ordered = sorted(values)
        return cls(statistics.median(ordered), ordered[0], ordered[-1])


@dataclass(frozen=True, slots=True)
class Series:
    """One subject in all rounds."""

    subject: Subject
    samples: tuple[Sample, ...]

    def spread(self, read: Callable[[Sample], float]) -> Spread:
        """Return the spread of what `read` finds in a sample."""
        return Spread.of(read(sample) for sample in self.samples)

    def ratio_to(self, peer: "Series") -> Spread:
        """Return the spread of the ratios of answers per second, round by round."""
        return Spread.of(ours.rate / theirs.rate for ours, theirs in zip(self.samples, peer.samples, strict=True))

    @property
    def errors(self) -> int:
        """Bad and missing answers in all rounds."""
        return sum(sample.figures.errors for sample in self.samples)


def interleave(processes: Processes, subjects: Sequence[Subject], settings: Settings) -> list[Series]:
    """Load each subject in turn, `settings.rounds` times; return the series in the subjects' order."""
    samples: list[list[Sample]] = [[] for _ in subjects]
    for _ in range(settings.rounds):
        for subject, so_far in zip(subjects, samples, strict=True):
            so_far.append(sample(processes, subject, settings.seconds))
    return [Series(subject, tuple(series)) for subject, series in zip(subjects, samples, strict=True)]


def sample(processes: Processes, subject: Subject, seconds: float) -> Sample:
    """Load one subject once."""
    machine_before, client_before = cpu_time(), _ended_children()
    before = [child.cpu_seconds() for child in subject.serving]
    figures = Figures(**json.loads(processes.run([*subject.command, str(max(seconds, subject.at_least))])))
    used = [child.cpu_seconds() - then for child, then in zip(subject.serving, before, strict=True)]
    ours, machine = sum(used) + _ended_children() - client_before, cpu_time()
    spent = {CLIENT: figures.cpu_seconds} | dict(zip((child.name for child in subject.serving), used, strict=True))
    return Sample(
        figures=figures,
        cpu_ms={name: cpu * 1000 / max(1, figures.answered) for name, cpu in spent.items()},
        others=max(0.0, (machine.busy - machine_before.busy - ours) / (machine.total - machine_before.total)),
    )


def _ended_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
