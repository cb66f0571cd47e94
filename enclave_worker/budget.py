"""How long one call or query may take, and how much of that is kept back for its attestation."""

import time
from dataclasses import dataclass
from typing import Self

from enclave_worker.journey import Journey

DEFAULT_TIMEOUT_MS = 25_000  # the predecessor's limit for one upstream fetch
MAX_TIMEOUT_MS = 60_000  # the predecessor's limit for one call to the enclave
ATTESTATION_SECONDS = 1.0  # kept back from the caller's time, so that a fetch that times out can still be attested


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Instants on `time.monotonic()`: when the work began, when the last upstream call and when the reply is due.

    `journey` is where the time that was spent is noted.
    """

    began: float
    upstream: float
    reply: float
    journey: Journey

    @classmethod
    def of(cls, timeout_ms: int | None, journey: Journey) -> Self:
        """Begin now; the caller waits for `timeout_ms`, or did not say."""
        began = time.monotonic()
        seconds = min(timeout_ms or DEFAULT_TIMEOUT_MS, MAX_TIMEOUT_MS) / 1000
        kept_back = min(ATTESTATION_SECONDS, seconds / 4)
        return cls(began=began, upstream=began + seconds - kept_back, reply=began + seconds, journey=journey)

    def spent_ms(self) -> int:
        """Return how many milliseconds ago the work began."""
        return round((time.monotonic() - self.began) * 1000)
