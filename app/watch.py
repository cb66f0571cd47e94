"""Watches every request from its head to its answer: for the metrics, and for a trace where there is one.

The other modules say two things, through `flask.g.passage`: that an enclave is asked now, and what it reported.
"""

import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from flask import Flask, Response

from app.application import asked, here
from app.metrics import outcomes
from app.metrics.latest import Latest
from app.metrics.meters import NO_SERVICE, OTHER_ROUTE, QUESTIONS, QUEUE, Meters
from app.metrics.numbers import Labels
from app.status.recent import Recent
from app.tracing.traces import Trace, Tracer
from wire.hops import Report

LEAST_WAIT_US = 100  # ours, as in the enclave: shorter than that is no wait but the work of looking
NOTHING: Mapping[str, int] = {}


@dataclass(slots=True)
class Passage:
    """One request on its way. `report` is what the enclave said of its answer, once there is one.

    `waited_us` is how long the request waited in the parent for a place at its service.
    """

    watch: "Watch"
    route: str
    trace: Trace
    began_ns: int = field(default_factory=time.monotonic_ns)
    service: str = NO_SERVICE
    report: Report | None = None
    waited_us: int = 0

    def asks(self, service: str) -> str | None:
        """Note that an enclave of `service` is asked now. Returns the `traceparent` that goes with the question."""
        self.service = service
        self.watch.in_flight[service].append(None)
        return self.trace.asks(service)

    def admitted(self, since_ns: int) -> None:
        """Note that a place was had. It was wanted at `since_ns`, on `time.monotonic_ns()`."""
        waited_us = (time.monotonic_ns() - since_ns) // 1000
        if waited_us >= LEAST_WAIT_US:
            self.waited_us = waited_us

    def timings_us(self) -> Mapping[str, int]:
        """Return what the enclave measured, and with its own wait the one before it."""
        told = NOTHING if self.report is None else self.report.timings_us
        return {**told, QUEUE: told.get(QUEUE, 0) + self.waited_us} if self.waited_us else told

    def heard(self, cid: int, report: Report) -> None:
        """Note that the enclave with this CID has answered, and what it reported."""
        self.trace.heard()
        self.report = report
        self.watch.note_load((self.service, str(cid)), report)


class Watch:
    """Begins and ends passages."""

    def __init__(self, meters: Meters, tracer: Tracer, recent: Recent) -> None:
        self._meters = meters
        self._recent = recent
        self._tracer = tracer
        self.in_flight: dict[str, deque[None]] = {
            service: deque() for service in meters.services
        }  # see _read_in_flight
        self._nsm_queue = Latest()
        self._fetches = Latest()
        numbers = meters.numbers
        numbers.gauge(
            "tytle_calls_in_flight", "Requests that wait for an enclave's answer.", ("service",), self._read_in_flight
        )
        numbers.gauge(
            "tytle_nsm_queue",
            "Answers that wait for an enclave's NSM, as its newest report says.",
            ("service", "enclave"),
            self._nsm_queue.read,
            mode="livemostrecent",
        )
        numbers.gauge(
            "tytle_enclave_fetches",
            "Fetches and queries under way in an enclave, as its newest report says.",
            ("service", "enclave"),
            self._fetches.read,
            mode="livemostrecent",
        )

    def install(self, app: Flask) -> None:
        """Watch every request of `app`, from here on in the order of what is done before a request."""
        app.before_request(self._begin)
        app.after_request(self._end)

    def note_load(self, enclave: Labels, report: Report) -> None:
        """Keep what an enclave says of its queues; `enclave` is service and CID."""
        self._nsm_queue.note(enclave, report.nsm_queue)
        self._fetches.note(enclave, report.fetches)

    def _begin(self) -> None:
        request = asked()
        route = (request.endpoint or OTHER_ROUTE).partition(".")[0]
        here().passage = Passage(self, route, self._tracer.begin(route, request.environ.get("HTTP_TRACEPARENT")))

    def _end(self, response: Response) -> Response:
        passage: Passage = here().passage
        service, report, status = passage.service, passage.report, response.status_code
        if service != NO_SERVICE:
            self.in_flight[service].pop()
        if report is not None and status == 200:
            outcome = outcomes.of_reply(success=report.success, status=report.status)
        else:
            outcome = outcomes.of_http(status)
        seconds = (time.monotonic_ns() - passage.began_ns) / 1e9
        self._meters.answered(service=service, route=passage.route, outcome=outcome, seconds=seconds)
        if passage.route in QUESTIONS:
            self._recent.note(service=service, route=passage.route, outcome=outcome, seconds=seconds)
        timings_us = passage.timings_us()
        if timings_us and service != NO_SERVICE:  # a question for an identity may have waited, too
            self._meters.phases(service, timings_us)
        passage.trace.end(outcome, status, timings_us, boot="" if report is None else report.boot)
        return response

    def _read_in_flight(self) -> Iterable[tuple[Labels, float]]:
        """Each question is an entry while it is answered: a deque grows and shrinks without a lock."""
        return [((service,), len(questions)) for service, questions in self.in_flight.items()]
