"""The load generator with a schedule: `python -m bench.paced PORT REQUEST RATE SECONDS`.

Requests are due at RATE per second at instants that were fixed beforehand, with the random gaps of independent callers
(a Poisson process; the seed is fixed, so that everybody gets the same one). They are sent when they are due, whether or
not earlier ones have been answered (an open loop), and a latency counts from the instant that a request was due. So a
server that stalls is charged for everyone who came meanwhile. It prints `Figures` once all have been answered.
"""

import random
import select
import sys
import time
from array import array
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.caller import GOOD_BODY, Caller
from bench.figures import Figures, cpu_seconds, percentile, summary
from bench.load import GIVE_UP_SECONDS, WARM_UP_SECONDS

CONNECTIONS = 64  # whoever is due when all are in use waits, as in a listener's backlog
SEED = 7


def schedule(rate: float, seconds: float) -> list[float]:
    """Return the instants, in seconds from the start, at which requests are due."""
    gaps, due, now = random.Random(SEED), [], 0.0  # noqa: S311  a schedule is no secret
    while (now := now + gaps.expovariate(rate)) < seconds:
        due.append(now)
    return due


class Paced:
    """One run of a schedule. Latencies of what is due before `warm_up` (seconds) are not kept.

    Leaving the context closes the connections.
    """

    def __init__(self, port: int, request: bytes, due: list[float], *, warm_up: float) -> None:
        self._port = port
        self._request = request
        self._coming = deque(due)
        self._warm_up = warm_up
        self._waiting: deque[float] = deque()
        self._poll = select.epoll()
        self._callers: dict[int, Caller] = {}
        self._free: deque[Caller] = deque()
        self.latencies = array("d")
        self.late: list[float] = []
        self.errors = 0
        self.answered = 0
        self._began = time.perf_counter()
        for _ in range(CONNECTIONS):
            self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for caller in self._callers.values():
            caller.sock.close()
        self._poll.close()

    def run(self) -> float:
        """Send and receive until the last answer; return the seconds since the start."""
        self._began = time.perf_counter()
        while self._coming or self._waiting or len(self._free) < CONNECTIONS:
            self._send_due(self._now())
            pause = max(0.0, self._coming[0] - self._now()) if self._coming else GIVE_UP_SECONDS
            # select() takes microseconds, where epoll would round up to a millisecond
            if not select.select([self._poll.fileno()], [], [], pause)[0] and not self._coming:
                raise TimeoutError(f"no answer within {GIVE_UP_SECONDS} s")
            for descriptor, _ in self._poll.poll(0):
                self._serve(self._callers[descriptor])
        return self._now()

    def _now(self) -> float:
        return time.perf_counter() - self._began

    def _send_due(self, now: float) -> None:
        while self._coming and self._coming[0] <= now:
            self.late.append(now - self._coming[0])
            self._waiting.append(self._coming.popleft())
        while self._waiting and self._free:
            caller = self._free.popleft()  # the one that rested longest: all of the server's processes take part
            try:
                caller.send(self._request, since=self._waiting.popleft())
            except OSError:
                self._lose(caller)

    def _serve(self, caller: Caller) -> None:
        try:
            good = caller.receive(GOOD_BODY)
        except OSError:
            self._lose(caller)
            return
        if good is None:
            return
        self.answered += 1
        if not good:
            self.errors += 1
        elif caller.since >= self._warm_up:
            self.latencies.append(self._now() - caller.since)
        self._free.append(caller)

    def _lose(self, caller: Caller) -> None:
        self.errors += 1
        del self._callers[caller.sock.fileno()]
        caller.sock.close()
        self._open()

    def _open(self) -> None:
        caller = Caller(self._port)
        self._callers[caller.sock.fileno()] = caller
        self._poll.register(caller.sock.fileno(), select.EPOLLIN)
        self._free.append(caller)


def measure(port: int, request: bytes, rate: float, seconds: float) -> Figures:
    """Run once. Answers per second are counted until the last answer: below RATE when the server fell behind."""
    used_before = cpu_seconds()
    with Paced(port, request, schedule(rate, WARM_UP_SECONDS + seconds), warm_up=WARM_UP_SECONDS) as paced:
        taken = paced.run()
    return summary(
        paced.latencies,
        errors=paced.errors,
        answered=paced.answered,
        seconds=taken - WARM_UP_SECONDS,
        cpu_seconds=cpu_seconds() - used_before,
        late_ms=percentile(sorted(paced.late), 99) * 1000,
    )


def main(arguments: list[str]) -> int:
    """Run once and print the figures."""
    port, path, rate, seconds = arguments
    measure(int(port), Path(path).read_bytes(), float(rate), float(seconds)).print()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
