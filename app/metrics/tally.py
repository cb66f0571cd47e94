"""What requests add up in their process, until it is handed to prometheus_client.

The library takes a lock, asks for the process id and writes to a mapped file for each number of each request. Here all
numbers of a request are added under one lock, and the sums are handed over now and then: what a scrape shows is the
same, and a process that is killed loses what it counted since the last time.
"""

import threading
from bisect import bisect_left
from collections.abc import Sequence

from prometheus_client import Counter, Histogram

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)  # seconds


class SummedHistogram(Histogram):
    """The library's, to which many observations can be added at once. Made with BUCKETS."""

    def add(self, counts: Sequence[int], total: float) -> None:
        """Add observations: how many there were in each bucket (the last has no bound), and their sum."""
        for bucket, count in zip(self._buckets, counts, strict=True):
            if count:
                bucket.inc(count)
        self._sum.inc(total)


class Count:
    """How often something happened since the last hand-over. `more` is changed while the tally's lock is held."""

    __slots__ = ("_counter", "more")

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self.more = 0

    def hand_over(self) -> None:
        """Give the library what was counted. The tally's lock is held."""
        if self.more:
            self._counter.inc(self.more)
            self.more = 0


class Durations:
    """How long something took, in seconds, each time since the last hand-over."""

    __slots__ = ("_counts", "_histogram", "_total")

    def __init__(self, histogram: SummedHistogram) -> None:
        self._histogram = histogram
        self._counts = [0] * (len(BUCKETS) + 1)
        self._total = 0.0

    def add(self, seconds: float) -> None:
        """Add one. The tally's lock is held."""
        self._counts[bisect_left(BUCKETS, seconds)] += 1  # the first bucket whose bound is not below, as in the library
        self._total += seconds

    def hand_over(self) -> None:
        """Give the library what was added. The tally's lock is held."""
        if any(self._counts):
            self._histogram.add(self._counts, self._total)
            self._counts = [0] * len(self._counts)
            self._total = 0.0


class Tally:
    """The sums of one process. `lock` is held while anything is added."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._sums: list[Count | Durations] = []

    def count(self, counter: Counter) -> Count:
        """Return what counts for `counter`. The lock is held, or nobody adds yet."""
        self._sums.append(made := Count(counter))
        return made

    def durations(self, histogram: SummedHistogram) -> Durations:
        """Return what adds up durations for `histogram`. The lock is held, or nobody adds yet."""
        self._sums.append(made := Durations(histogram))
        return made

    def hand_over(self) -> None:
        """Give the library all that was added since the last time."""
        with self.lock:
            for each in self._sums:
                each.hand_over()
