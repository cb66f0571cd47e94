"""How every call ended, and whether that may be: a good end, an error with a type, or what may never be.

    verified                       the answer held, and says what it must
    attested KIND                  verified: the enclave had no complete answer, or one that is no result
    refused CODE                   the refusal that the question was made to get
    error STATUS CODE              an error of the parent's or the enclave's in the API's form
    connection KIND                the connection to the parent ended without an answer
    WRONG, UNVERIFIED, UNTYPED, LOST, CRASHED     never

The first and third are always good. An error or a connection's end is good while something happens that excuses it.
"""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

NEVER = ("WRONG", "UNVERIFIED", "UNTYPED", "LOST", "CRASHED")
GOOD = ("verified", "refused")
MAX_DETAILS = 100


@dataclass(slots=True, kw_only=True)
class Excuse:
    """From `since` until `until` (both on `time.monotonic()`), calls to `service` (None: to any) may end as `ends`.

    A call counts as under way from when it began until it ended. `ends` are beginnings of outcomes.
    """

    service: str | None
    ends: tuple[str, ...]
    since: float
    until: float = float("inf")

    def covers(self, service: str, outcome: str, began: float, ended: float) -> bool:
        """Whether this is why such a call ended so."""
        concerned = self.service in (None, service) and began <= self.until and ended >= self.since
        return concerned and outcome.startswith(self.ends)


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """One end that may not be. `at` and `until` are in seconds since the run began."""

    at: float
    until: float
    kind: str
    service: str
    outcome: str
    text: str


@dataclass
class Ledger:
    """All ends. Safe between threads."""

    began: float = field(default_factory=time.monotonic)
    ends: Counter[tuple[str, str]] = field(default_factory=Counter)  # by kind of question and outcome
    excused: Counter[str] = field(default_factory=Counter)
    broken: Counter[str] = field(default_factory=Counter)
    details: list[Detail] = field(default_factory=list)
    events: list[tuple[float, str]] = field(default_factory=list)
    slowest: dict[str, float] = field(default_factory=dict)
    _excuses: list[Excuse] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def end(
        self, kind: str, service: str, outcome: str, *, began: float, ended: float | None = None, text: str = ""
    ) -> None:
        """Write down how one call ended; `ended` is now, where it is not given."""
        ended = time.monotonic() if ended is None else ended
        with self._lock:
            self.ends[kind, outcome] += 1
            self.slowest[kind] = max(self.slowest.get(kind, 0.0), ended - began)
            if outcome.startswith(GOOD):
                return
            if not outcome.startswith(NEVER) and any(
                excuse.covers(service, outcome, began, ended) for excuse in self._excuses
            ):
                self.excused[outcome] += 1
                return
            since, until = began - self.began, ended - self.began
            self._break(Detail(at=since, until=until, kind=kind, service=service, outcome=outcome, text=text))

    def complain(self, rule: str, text: str) -> None:
        """Write down that a rule was broken that is not about one call."""
        now = time.monotonic() - self.began
        with self._lock:
            self._break(Detail(at=now, until=now, kind="rule", service="", outcome=rule, text=text))

    def event(self, text: str) -> None:
        """Write down what was done to the system."""
        with self._lock:
            self.events.append((time.monotonic() - self.began, text))

    def excuse(self, service: str | None, *ends: str) -> Excuse:
        """Excuse such ends from now on."""
        excuse = Excuse(service=service, ends=ends, since=time.monotonic())
        with self._lock:
            self._excuses.append(excuse)
        return excuse

    @contextmanager
    def excusing(self, service: str | None, *ends: str, after: float) -> Iterator[None]:
        """Excuse such ends during the block, and of calls that begin up to `after` seconds behind it."""
        excuse = self.excuse(service, *ends)
        try:
            yield
        finally:
            excuse.until = time.monotonic() + after

    def count(self, outcome: str) -> int:
        """Return how many calls ended so."""
        return sum(number for (_, each), number in self.ends.items() if each.startswith(outcome))

    def _break(self, detail: Detail) -> None:
        self.broken[detail.outcome] += 1
        if len(self.details) < MAX_DETAILS:
            self.details.append(detail)
