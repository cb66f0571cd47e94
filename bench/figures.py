"""What one process that asks has seen, and prints as one JSON object: counts, percentiles, its own CPU time."""

import json
import resource
from array import array
from collections.abc import Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """`requests` good answers in `seconds`, `answered` with those of the warm-up and the bad ones.

    `late_ms` is how late the generator itself was, 99th percentile; a closed loop has no schedule to be late for.
    """

    requests: int
    errors: int
    answered: int
    seconds: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    p999_ms: float
    cpu_seconds: float
    late_ms: float = 0.0

    def print(self) -> None:
        """Print them for whoever started this process."""
        print(json.dumps(asdict(self)))


def summary(
    latencies: "array[float]", *, errors: int, answered: int, seconds: float, cpu_seconds: float, late_ms: float = 0.0
) -> Figures:
    """Return the figures of a finished run. `latencies` are seconds, of the good answers in the measured time.

    `cpu_seconds` is what asking took, without the interpreter's start.
    """
    ordered = sorted(latencies)
    return Figures(
        requests=len(ordered),
        errors=errors,
        answered=answered,
        seconds=seconds,
        p50_ms=percentile(ordered, 50) * 1000,
        p90_ms=percentile(ordered, 90) * 1000,
        p99_ms=percentile(ordered, 99) * 1000,
        p999_ms=percentile(ordered, 99.9) * 1000,
        cpu_seconds=cpu_seconds,
        late_ms=late_ms,
    )


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Return the nearest-rank percentile of ordered values (to a tenth of a per cent); 0 when there are none."""
    tenths = round(percent * 10)
    return ordered[max(0, -(-len(ordered) * tenths // 1000) - 1)] if ordered else 0.0


def cpu_seconds() -> float:
    """Return the CPU time that this process and its ended children have used so far."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)
