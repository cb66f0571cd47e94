"""What a limit is, and what it says when it is reached."""

import math
from dataclasses import dataclass

MAX_RETRY_SECONDS = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """For one caller or one service, on one host, over all its processes.

    `rate` is questions per second in the long run (None: no limit), `burst` how many may come at once before that
    counts, `concurrent` how many may be under way (None: no limit).
    """

    rate: float | None = None
    burst: int = 1
    concurrent: int | None = None

    def __post_init__(self) -> None:
        if self.rate is not None and not 0 < self.rate < math.inf:
            raise ValueError("a rate is above 0")
        if self.burst < 1 or (self.concurrent is not None and self.concurrent < 1):
            raise ValueError("burst and concurrent are at least 1")


class OverLimit(Exception):
    """A limit is reached. `seconds` is when the same question would find room; `rate` tells the two limits apart."""

    advice = "Ask again later, or have the limit raised."

    def __init__(self, *, seconds: float, rate: bool) -> None:
        super().__init__("too many questions in this time" if rate else "too many questions under way")
        self.seconds = seconds
        self.rate = rate


def retry_after(seconds: float) -> int:
    """Return a value of the header Retry-After: whole seconds, rounded up, from 1 to MAX_RETRY_SECONDS."""
    return max(1, min(MAX_RETRY_SECONDS, math.ceil(seconds)))
