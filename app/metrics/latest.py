"""A number that an enclave reports of itself, and that nobody reports any more when nobody asks the enclave."""

import time
from collections.abc import Callable, Iterator

from app.metrics.numbers import Labels

QUIET_SECONDS = 10.0  # without a report for so long, nothing waits there for anything that this process asked


class Latest:
    """The newest report of a number by the values of its labels. Each is read once; after a silence it is zero."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._noted: dict[Labels, int] = {}
        self._shown: dict[Labels, float] = {}  # what was shown last and is not zero: when

    def note(self, labels: Labels, value: int) -> None:
        """Keep a report. Safe from many threads; of two at once either is the newest."""
        self._noted[labels] = value

    def read(self) -> Iterator[tuple[Labels, float]]:
        """Yield what was reported since this was last read, and zero for what has been silent."""
        now = self._clock()
        noted, self._noted = self._noted, {}
        for labels in list(noted):
            value = noted[labels]
            if value:
                self._shown[labels] = now
            else:
                self._shown.pop(labels, None)
            yield labels, value
        for labels, shown in list(self._shown.items()):
            if now - shown > QUIET_SECONDS:
                del self._shown[labels]
                yield labels, 0
