"""How fresh the NSM is: when it last gave a document, and how often it has failed since. A ping tells it."""

import time
from collections.abc import Callable


class NsmRecord:
    """Written by the NSM's thread, read by any. `clock` is monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last: float | None = None
        self._failures = 0

    @property
    def age_ms(self) -> int | None:
        """Milliseconds since the NSM last gave a document; None where it has given this worker none yet."""
        return None if self._last is None else round((self._clock() - self._last) * 1000)

    @property
    def failures(self) -> int:
        """How often it has failed since then."""
        return self._failures

    def succeeded(self) -> None:
        """Note a document."""
        self._last = self._clock()
        self._failures = 0

    def failed(self) -> None:
        """Note that none came."""
        self._failures += 1
