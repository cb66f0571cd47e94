"""The trace of one request, as the rest of the parent sees it, and the tracer of a parent that makes no spans."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from wire import hops


class Trace(Protocol):
    """The trace of one request."""

    @property
    def id(self) -> str | None:
        """The trace id, 32 hex digits; None where there is no trace."""

    def asks(self, service: str) -> str | None:
        """Note that an enclave of this service is asked now; return the `traceparent` for it."""

    def heard(self) -> None:
        """Note that it has answered."""

    def end(self, outcome: str, http_status: int, timings_us: Mapping[str, int], *, boot: str) -> None:
        """Note that the request is answered, with one of metrics.outcomes.

        `timings_us` is how long it spent in each phase, `boot` the enclave's; both are empty where none reported.
        """


class Tracer(Protocol):
    """Begins traces."""

    def begin(self, route: str, traceparent: str | None) -> Trace:
        """Begin the trace of a request to a route, under the caller's trace if it named one."""

    def close(self) -> None:
        """Send what is not sent yet."""


@dataclass(frozen=True, slots=True)
class PassedOn:
    """A trace to which the parent adds nothing: the caller's `traceparent`, if any, goes to the enclave as it came."""

    traceparent: str | None

    @property
    def id(self) -> str | None:
        """See `Trace`."""
        return self.traceparent[3:35] if self.traceparent else None

    def asks(self, service: str) -> str | None:  # noqa: ARG002
        """See `Trace`."""
        return self.traceparent

    def heard(self) -> None:
        """See `Trace`."""

    def end(self, outcome: str, http_status: int, timings_us: Mapping[str, int], *, boot: str) -> None:
        """See `Trace`."""


NO_TRACE = PassedOn(None)


class NoTracer:
    """Makes no spans."""

    def begin(self, route: str, traceparent: str | None) -> Trace:  # noqa: ARG002
        """See `Tracer`."""
        named = traceparent is not None and hops.TRACEPARENT.fullmatch(traceparent)
        return PassedOn(traceparent) if named else NO_TRACE

    def close(self) -> None:
        """See `Tracer`."""
