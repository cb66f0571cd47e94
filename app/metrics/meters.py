"""The parent's metrics themselves: names, buckets, and the series that a request adds to.

A request adds to plain numbers of its process (`tally`). They are handed to the library at every look (`numbers`): once
a second, before anything is shown, and at the end. Whether the library keeps them in this process's memory or in a file
shared with gunicorn's others, it decides when it is imported: `files`.
"""

import platform
from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.exposition import choose_encoder

from app.log import Log
from app.metrics import files, outcomes
from app.metrics.numbers import Numbers
from app.metrics.tally import BUCKETS, Count, Durations, SummedHistogram, Tally

NO_SERVICE = "none"  # the request did not get as far as an enclave
OTHER_ROUTE = "other"  # there is no such route
REQUESTS = "tytle_requests_total"
QUESTIONS = ("fetch", "query", "sealed")  # the routes that ask an enclave
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
        self._seconds = SummedHistogram(
            "tytle_request_seconds",
            "Time from a request's head to its answer, in the parent.",
            ("service", "route"),
            buckets=BUCKETS,
            registry=registry,
        )
        phases = SummedHistogram(
            "tytle_phase_seconds",
            "Time that a request spent in one phase; total is all of it inside the enclave.",
            ("service", "phase"),
            buckets=BUCKETS,
            registry=registry,
        )
        self._tally = Tally()
        self.numbers.at_each_look(self._tally.hand_over)
        self._phases = {
            service: {told: self._tally.durations(phases.labels(service, shown)) for told, shown in PHASES.items()}
            for service in self.services
        }
        self._answers: dict[tuple[str, str], Durations] = {}
        self._counts: dict[tuple[str, str, str], Count] = {}
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
        key = service, route, outcome
        with self._tally.lock:
            count = self._counts.get(key) or self._make(*key)
            count.more += 1
            self._answers[service, route].add(seconds)

    def phases(self, service: str, timings_us: Mapping[str, int]) -> None:
        """Count what an enclave measured, in whole microseconds. Phases that it makes up are passed over."""
        known = self._phases[service]
        with self._tally.lock:
            for phase, spent in timings_us.items():
                durations = known.get(phase)
                if durations is not None:
                    durations.add(spent / 1_000_000)

    def questions(self) -> Iterator[tuple[tuple[str, str, str], int]]:
        """Yield (service, route, outcome) and how many questions ended so, where any did, in all processes."""
        self.numbers.look()
        for metric in self._collected().collect():
            for sample in metric.samples:
                said = sample.labels
                if sample.name == REQUESTS and sample.value and said["route"] in QUESTIONS:
                    yield (said["service"], said["route"], said["outcome"]), round(sample.value)

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """Return every metric as text, in the format that an Accept header asks for, and its media type."""
        self.numbers.look()
        try:
            encode, media_type = choose_encoder(accept)
        except (TypeError, ValueError):  # a version that is none
            encode, media_type = choose_encoder("")
        return encode(self._collected()), media_type

    def _collected(self) -> CollectorRegistry:
        """Return what holds the numbers of all processes."""
        if not self._folder:
            return self._registry
        registry = CollectorRegistry()
        files.Shared(registry, path=self._folder)  # type: ignore[no-untyped-call]
        return registry

    def _make(self, service: str, route: str, outcome: str) -> Count:
        """Return a new series, the tally's lock held: two at once would make it twice."""
        if (service, route) not in self._answers:
            self._answers[service, route] = self._tally.durations(self._seconds.labels(service, route))
        made = self._counts[service, route, outcome] = self._tally.count(self._requests.labels(service, route, outcome))
        return made
