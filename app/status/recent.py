"""How the newest questions to this process ended: a short list in memory, without anything that was asked."""

import time
from collections import deque
from typing import NamedTuple

MOST = 32


class Question(NamedTuple):
    """`at` is in Unix seconds; `route` is one of `metrics.meters.QUESTIONS`, `outcome` one of `metrics.outcomes`."""

    at: float
    service: str
    route: str
    outcome: str
    seconds: float


class Recent:
    """The last MOST questions. Safe to use from many threads: a deque grows and is copied without a lock."""

    def __init__(self) -> None:
        self._kept: deque[Question] = deque(maxlen=MOST)

    def note(self, *, service: str, route: str, outcome: str, seconds: float) -> None:
        """Keep how a question ended that was answered just now."""
        self._kept.append(Question(time.time(), service, route, outcome, seconds))

    def newest_first(self) -> list[Question]:
        """Return what is kept."""
        return list(self._kept)[::-1]
