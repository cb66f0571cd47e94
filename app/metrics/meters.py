"""The parent's metrics themselves: names, buckets, and the series that a request adds to.

A series is looked up once and kept, since the library's own look-up costs as much as counting. Whether a number lies in
this process's memory or in a file shared with gunicorn's others, the library decides when it is imported: `files`.
"""

import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import choose_encoder

from app.log import Log
from app.metrics import files, outcomes
from app.metrics.numbers import Numbers

NO_SERVICE = "none"  # the request did not get as far as an enclave
OTHER_ROUTE = "other"  # there is no such route
REQUESTS = "tytle_requests_total"
QUESTIONS = ("fetch", "query", "sealed")  # the routes that ask an enclave
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)  # seconds
QUEUE, TOTAL = "queue", "total"
PHASES = {
    QUEUE: "queue",
    "connect": "connect",
    "tls": "tls",
    "firstByte": "first_byte",
    "body": "body",
    "attest": "attest",
    TOTAL: "total",
}  # an enclave's name for a phase -> ours


@dataclass(frozen=True, slots=True)
class _Series:
    count: Callable[[], None]
    observe: Callable[[float], None]


class Meters:
    """The metrics of one parent process, or with `folder` of all the processes that keep theirs there.

    `services` are the names that the settings know; `build` says which build this is.
    """

    def __init__(self, services: Iterable[str], *, build: str, log: Log, folder: str = "") -> None:
        self.services = tuple(services)
        self._folder = folder
        self._registry = registry = CollectorRegistry()
        self.numbers = Numbers(registry, log)
        self._requests = Counter(
            REQUESTS,
            "Requests answered, by how they ended.",
            ("service", "route", "outcome"),
            registry=registry,
        )
        self._seconds = Histogram(
            "tytle_request_seconds",
            "Time from a request's head to its answer, in the parent.",
            ("service", "route"),
            buckets=BUCKETS,
            registry=registry,
        )
        phases = Histogram(
            "tytle_phase_seconds",
            "Time that a request spent in one phase; total is all of it inside the enclave.",
            ("service", "phase"),
            buckets=BUCKETS,
            registry=registry,
        )
        self._phases = {
            service: {told: phases.labels(service, shown).observe for told, shown in PHASES.items()}
            for service in self.services
        }
        self._series: dict[tuple[str, str, str], _Series] = {}
        for service in self._phases:
            for route in QUESTIONS:
                for outcome in outcomes.OF_A_SERVICE:
                    self._make(service, route, outcome)  # a rate needs the zero that it rises from
        about = Gauge(
            "tytle_build_info",
            "Always 1; the labels say what runs.",
            ("build", "python"),
            registry=registry,
            multiprocess_mode="livemax",
        )
        about.labels(build, platform.python_version()).set(1)

    def answered(self, *, service: str, route: str, outcome: str, seconds: float) -> None:
        """Count one request. `service` is a known one or NO_SERVICE; `route` is the code's, `outcome` of the list."""
        series = self._series.get((service, route, outcome)) or self._make(service, route, outcome)
        series.count()
        series.observe(seconds)

    def phases(self, service: str, timings_us: Mapping[str, int]) -> None:
        """Count what an enclave measured, in whole microseconds. Phases that it makes up are passed over."""
        observers = self._phases[service]
        for phase, spent in timings_us.items():
            observe = observers.get(phase)
            if observe is not None:
                observe(spent / 1_000_000)

    def questions(self) -> Iterator[tuple[tuple[str, str, str], int]]:
        """Yield (service, route, outcome) and how many questions ended so, where any did, in all processes."""
        for metric in self._collected().collect():
            for sample in metric.samples:
                said = sample.labels
                if sample.name == REQUESTS and sample.value and said["route"] in QUESTIONS:
                    yield (said["service"], said["route"], said["outcome"]), round(sample.value)

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """Return every metric as text, in the format that an Accept header asks for, and its media type."""
        self.numbers.look()
        encode, media_type = choose_encoder(accept)
        return encode(self._collected()), media_type

    def _collected(self) -> CollectorRegistry:
        """Return what holds the numbers of all processes."""
        if not self._folder:
            return self._registry
        registry = CollectorRegistry()
        files.Shared(registry, path=self._folder)  # type: ignore[no-untyped-call]
        return registry

    def _make(self, service: str, route: str, outcome: str) -> _Series:
        series = _Series(
            count=self._requests.labels(service, route, outcome).inc,
            observe=self._seconds.labels(service, route).observe,
        )
        self._series[service, route, outcome] = series
        return series
