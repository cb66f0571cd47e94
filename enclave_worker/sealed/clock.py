"""A clock that never goes back: what has once become too old stays so, whatever the host does to the machine's time."""

import threading
from collections.abc import Callable


class ForwardClock:
    """Returns the latest time that `clock_ms` has ever shown, in Unix milliseconds. Safe to use from many threads."""

    def __init__(self, clock_ms: Callable[[], int]) -> None:
        self._clock_ms = clock_ms
        self._latest = 0
        self._lock = threading.Lock()

    def __call__(self) -> int:
        """Return the time."""
        with self._lock:
            self._latest = max(self._latest, self._clock_ms())
            return self._latest
