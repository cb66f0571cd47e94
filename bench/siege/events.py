"""What callers saw, one event for each request, and what follows from a list of them. Nothing here asks or waits.

Instants are seconds on `time.monotonic()`, which all processes of a machine share.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.figures import percentile

GOOD, REFUSED, FAILED, LATE = "good", "refused", "failed", "late"
BAD, LOST, UNHEARD = "bad", "lost", "unheard"
WINDOW_SECONDS = 1.0  # over which a rate is looked at when it is asked when it was back
STEP_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Event:
    """A request that ended at this instant, `seconds` after it was sent or due.

    `good`: a whole attested answer. `refused`: 429 or 503 with Retry-After and a code, or the enclave's own 503.
    `failed`: a failure of the upstream's, attested, or 504 `deadline`. `late`: good, but after its caller's deadline.
    `bad`, with its status and code: any other answer. `lost`: none, the connection ended. `unheard`: never sent,
    because every connection of its callers was in use.
    """

    at: float
    seconds: float
    outcome: str


def write(path: Path, events: Iterable[Event]) -> None:
    """Write events for `read`."""
    path.write_text(json.dumps([[one.at, one.seconds, one.outcome] for one in events]), encoding="ascii")


def read(path: Path) -> list[Event]:
    """Return the events of a file."""
    return [Event(*fields) for fields in json.loads(path.read_text(encoding="ascii"))]


def between(events: Iterable[Event], begin: float, end: float) -> list[Event]:
    """Return those that ended in this time."""
    return [one for one in events if begin <= one.at < end]


def rate(events: Iterable[Event], begin: float, end: float) -> float:
    """Return good answers per second in this time."""
    return sum(one.outcome == GOOD for one in between(events, begin, end)) / (end - begin)


def p99(events: Iterable[Event], begin: float, end: float) -> float:
    """Return the 99th percentile of the good answers' seconds; 0 where there are none."""
    return percentile(sorted(one.seconds for one in between(events, begin, end) if one.outcome == GOOD), 99)


def outcomes(events: Iterable[Event], begin: float, end: float) -> dict[str, int]:
    """Return how many ended in this time, by outcome."""
    return dict(Counter(one.outcome for one in between(events, begin, end)))


def recovery(
    events: Sequence[Event], since: float, until: float, *, least_rate: float, most_p99: float
) -> float | None:
    """Return how many seconds after `since` a window begins whose rate and 99th percentile are good enough.

    None when there is no such window before `until`.
    """
    steps = int((until - since - WINDOW_SECONDS) / STEP_SECONDS)
    for step in range(steps + 1):
        begin = since + step * STEP_SECONDS
        window = between(events, begin, begin + WINDOW_SECONDS)
        end = begin + WINDOW_SECONDS
        if rate(window, begin, end) >= least_rate and p99(window, begin, end) <= most_p99:
            return step * STEP_SECONDS
    return None
