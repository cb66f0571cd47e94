"""One process's threads, shared among its services so that a slow one cannot starve another.

Every question holds a thread until its answer is there. Half of the threads are promised, the same number to each
service; the other half is for whoever comes. However slow the others are, a service finds its promised threads. A few
threads are left out: they answer health checks, and refuse.

A service has `capacity` places: its enclaves' connections, and at most three quarters of the threads that it can get,
for the rest is where its callers wait. When all are taken, the next questions wait in the order in which they
came, as many as there are places, for MAX_WAIT_SECONDS at most; one whose expected wait is longer than that, or than
its caller waits, is refused at once. The expected wait is a place in the queue times the time between two places that
come free.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from app.errors import ApiError
from app.limits.values import retry_after

MAX_WAIT_SECONDS = 2.0
MAX_EXPECTED_SECONDS = 60.0  # what is said of a service from which nothing comes back
_SPARE = 12  # one thread in twelve is no service's: 8 of 96
_LEAST_QUEUE = 4  # how many may wait for a service with fewer places than this; for another, as many as it has places
_SMOOTHING = 0.1  # weight of the newest call in the mean time that one takes


@dataclass(frozen=True, slots=True, kw_only=True)
class Occupancy:
    """One service in this process at one instant. `refused` counts since the process began; `seconds` is the mean of
    what its latest calls took.
    """

    service: str
    capacity: int
    running: int
    waiting: int
    refused: int
    seconds: float


@dataclass(slots=True)
class _Service:
    capacity: int
    running: int = 0
    threads: int = 0  # running and waiting
    refused: int = 0
    mean: float = 0.0  # seconds that a call takes
    moved: float = 0.0  # when a place last came free, or the last one was taken
    queue: deque[threading.Event] = field(default_factory=deque)


class Bulkheads:
    """The places of every service in this process. Safe to use from many threads.

    `capacities` is by service; `clock` counts seconds.
    """

    def __init__(
        self, capacities: Mapping[str, int], *, threads: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        usable = max(len(capacities), threads - max(1, threads // _SPARE))
        self._promised = max(1, usable // (2 * len(capacities)))
        self._common = max(0, usable - self._promised * len(capacities))  # threads for whoever comes
        self._common_used = 0
        running = max(1, (self._promised + self._common) * 3 // 4)
        self._services = {name: _Service(min(capacity, running)) for name, capacity in capacities.items()}
        self._lock = threading.Lock()
        self._clock = clock

    def enter(self, name: str, *, deadline: float) -> float:
        """Take a place of a service; return the instant, for `leave`. `deadline` is an instant on the same clock.

        Raises:
            ApiError: 503, there is none, and none is expected in time.
        """
        service = self._services[name]
        with self._lock:
            now = self._clock()
            self._take_thread(service)
            if service.running < service.capacity:
                service.running += 1
                if service.running == service.capacity:
                    service.moved = now
                return now
            wait = self._worth_waiting(service, now, deadline)
            turn = threading.Event()
            service.queue.append(turn)
        if not turn.wait(wait):
            self._give_up(service, turn)
        return self._clock()

    def leave(self, name: str, entered: float) -> None:
        """Give a place back: to the first who waits, if anybody does."""
        service = self._services[name]
        with self._lock:
            service.moved = self._clock()
            service.mean += _SMOOTHING * (service.moved - entered - service.mean)
            self._give_thread(service)
            if service.queue:
                service.queue.popleft().set()
            else:
                service.running -= 1

    def occupancy(self) -> tuple[Occupancy, ...]:
        """Return every service's numbers."""
        with self._lock:
            return tuple(
                Occupancy(
                    service=name,
                    capacity=service.capacity,
                    running=service.running,
                    waiting=len(service.queue),
                    refused=service.refused,
                    seconds=service.mean,
                )
                for name, service in self._services.items()
            )

    def _worth_waiting(self, service: _Service, now: float, deadline: float) -> float:
        """Return how long to wait at most. Raises ApiError: it would be in vain; the thread is given back."""
        expected = _expected_wait(service, now)
        longest = min(MAX_WAIT_SECONDS, deadline - now)
        if expected > longest or len(service.queue) >= max(_LEAST_QUEUE, service.capacity):
            self._give_thread(service)
            raise _busy(service, expected)
        return longest

    def _give_up(self, service: _Service, turn: threading.Event) -> None:
        with self._lock:
            if turn.is_set():
                return  # it came at the last moment
            service.queue.remove(turn)
            self._give_thread(service)
            raise _busy(service, _expected_wait(service, self._clock()))

    def _take_thread(self, service: _Service) -> None:
        if service.threads >= self._promised:
            if self._common_used >= self._common:
                raise _busy(service, service.mean)
            self._common_used += 1
        service.threads += 1

    def _give_thread(self, service: _Service) -> None:
        service.threads -= 1
        if service.threads >= self._promised:
            self._common_used -= 1


def _expected_wait(service: _Service, now: float) -> float:
    """Return seconds. A service from which nothing has come back for long is expected to go on like that."""
    between = max(service.mean / service.capacity, now - service.moved)
    return between * (len(service.queue) + 1)


def _busy(service: _Service, seconds: float) -> ApiError:
    service.refused += 1
    later = retry_after(min(seconds, MAX_EXPECTED_SECONDS))
    return ApiError(503, "busy", "Every place for this service is taken", retry_after=later)
