"""One enclave as this process knows it: its connections, what is under way there, and what the last ping found."""

import time
from dataclasses import dataclass
from typing import NamedTuple

from app.pong import Pong
from app.pool import EnclavePool
from policy.manifest import Manifest
from wire.addresses import Address, VsockAddress

MAX_NSM_FAILURES = 3  # one may be a caller's; as many in a row are the NSM's
MAX_NSM_AGE_MS = 180_000  # three times the age at which the monitor has it asked


class Slot(NamedTuple):
    """Where others may read how many calls this process has under way at an enclave, and whether it leaves it out."""

    cells: "memoryview[int]"
    calls: int
    draining: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the last ping found. `at` is on `time.monotonic()`, in seconds; `pong` is None where none came."""

    at: float
    took_ms: int | None = None
    pong: Pong | None = None
    right_service: bool = True

    @property
    def nsm_age_ms(self) -> int | None:
        """Milliseconds since the NSM last gave a document; None where the worker has none, or does not say."""
        if self.pong is None or self.pong.nsm_age_ms is None:
            return None
        return self.pong.nsm_age_ms + round((time.monotonic() - self.at) * 1000)

    @property
    def nsm(self) -> str:
        """`fresh`, `failing`, `stale`, or `unknown` where the worker does not say or has not asked yet."""
        if self.pong is None or self.pong.nsm_failures is None:
            return "unknown"
        if self.pong.nsm_failures >= MAX_NSM_FAILURES:
            return "failing"
        if self.pong.nsm_age_ms is None:
            return "unknown"
        return "fresh" if self.pong.nsm_age_ms <= MAX_NSM_AGE_MS else "stale"

    @property
    def fit(self) -> bool:
        """Whether calls may go there: it answered, is of the service that it is taken for, and can attest."""
        return self.pong is not None and self.right_service and self.nsm in ("fresh", "unknown")


class Enclave:
    """One enclave: its connections, and what this process knows of it. `name` is `vies/16`.

    `in_flight`, `failures` (calls that failed in a row), `held_until` (0.0: not held), `ejected` (calls go elsewhere,
    if there is anywhere else, because of what went wrong here) and `draining` are plain values, for whoever wants to
    show them; only the `Fleet` writes them.
    """

    __slots__ = (
        *("cid", "draining", "ejected", "failures", "held_until", "in_flight"),
        *("name", "pool", "seen", "service", "slot"),
    )

    def __init__(self, service: Manifest, address: Address, *, number: int, connections: int) -> None:
        self.service = service
        self.pool = EnclavePool(address, connections=connections)
        # Where AF_VSOCK is not used there is no CID: the manifest's stands for the first, that and 100 for the second.
        self.cid = address.cid if isinstance(address, VsockAddress) else service.cid + 100 * number
        self.name = f"{service.name}/{self.cid}"
        self.in_flight = 0
        self.failures = 0
        self.held_until = 0.0
        self.ejected = False
        self.draining = False
        self.seen: Seen | None = None
        self.slot: Slot | None = None

    @property
    def badness(self) -> int:
        """How many calls have failed in a row, while it is held; what has come back is as good as any."""
        return self.failures if self.held_until else 0

    @property
    def fit(self) -> bool:
        """Whether calls may go there: it is not held, and was not found unfit by the last ping."""
        return not self.held_until and (self.seen is None or self.seen.fit)
