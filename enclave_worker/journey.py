"""One question's way through the worker: under which trace, and where its time went. For operators, attested by nobody.

Of a sealed question only what its carrier can measure from outside is told.
"""

import time
from dataclasses import dataclass, field

LEAST_WAIT_NS = 100_000  # ours: shorter than that is no wait but the work of looking


@dataclass(slots=True)
class Journey:
    """Nanoseconds by phase, added up over a question's upstream calls; zero where a phase did not take place.

    `queue`: for what the NSM must give before the upstream is asked · `connect`, `tls`: for a new connection ·
    `first_byte`: from sending the request · `body`: from there to its end · `attest`: for the NSM, and in it.
    Written by the one thread that answers. `trace` is the id of the question's trace, 32 hex digits.
    """

    trace: str | None = None
    began: int = field(default_factory=time.monotonic_ns)
    queue: int = 0
    connect: int = 0
    tls: int = 0
    first_byte: int = 0
    body: int = 0
    attest: int = 0

    def timings_us(self, *, sealed: bool) -> dict[str, int]:
        """Return the phases that took place, under the names of a report, in whole microseconds."""
        spent = {"attest": self.attest, "total": time.monotonic_ns() - self.began}
        if self.queue >= LEAST_WAIT_NS:
            spent["queue"] = self.queue
        if not sealed:
            spent |= {"connect": self.connect, "tls": self.tls, "firstByte": self.first_byte, "body": self.body}
        return {name: nanoseconds // 1000 for name, nanoseconds in spent.items() if nanoseconds}
