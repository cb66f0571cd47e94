"""Spans by OpenTelemetry, sent by OTLP over HTTP. Settings are the standard's: the SDK reads `OTEL_*` itself.

    attest.fetch                 the request in the parent          (server)
      enclave                    from asking the enclave to its reply (client); its id crosses the vsock
        queue connect tls first_byte body attest                    made here from what the enclave measured

The enclave sends durations, not instants: its phases are drawn one after another from the beginning of `enclave`.
"""

import logging
import time
from collections.abc import Mapping

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)
from opentelemetry.trace import Tracer as Library

from app.log import Log
from app.metrics import outcomes
from app.metrics.meters import PHASES, QUESTIONS, TOTAL
from app.tracing.traces import NO_TRACE, Trace
from wire import hops

DEFAULT_SERVICE_NAME = "tytle-parent"


class Spans:
    """The tracer of a parent that sends spans to a collector."""

    def __init__(self, log: Log) -> None:
        logger = logging.getLogger("opentelemetry")
        logger.handlers = [_Trouble(log)]
        logger.propagate = False
        found = Resource.create({})
        if str(found.attributes[SERVICE_NAME]).startswith("unknown_service"):
            found = found.merge(Resource({SERVICE_NAME: DEFAULT_SERVICE_NAME}))
        self._provider = TracerProvider(resource=found)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._library = self._provider.get_tracer("tytle")

    def begin(self, route: str, traceparent: str | None) -> Trace:
        """Begin the trace of a request; of one that asks no enclave there is none."""
        return _Spans(self._library, route, traceparent) if route in QUESTIONS else NO_TRACE

    def close(self) -> None:
        """Send what is left."""
        self._provider.shutdown()


class _Spans:
    """The spans of one request."""

    def __init__(self, library: Library, route: str, traceparent: str | None) -> None:
        self._library = library
        self._request = library.start_span(f"attest.{route}", _above(traceparent), SpanKind.SERVER)
        self._enclave: Span | None = None
        self._asked_ns = 0

    @property
    def id(self) -> str | None:
        return f"{self._request.get_span_context().trace_id:032x}"

    def asks(self, service: str) -> str | None:
        self._request.set_attribute("tytle.service", service)
        self._asked_ns = time.time_ns()
        self._enclave = self._below(self._request, "enclave", self._asked_ns, SpanKind.CLIENT)
        context = self._enclave.get_span_context()
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"

    def heard(self) -> None:
        if self._enclave is not None and self._enclave.is_recording():
            self._enclave.end()

    def end(self, outcome: str, http_status: int, timings_us: Mapping[str, int], *, boot: str) -> None:
        self.heard()
        self._draw(timings_us)
        if boot:
            self._request.set_attribute("tytle.boot", boot)
        self._request.set_attribute("tytle.outcome", outcome)
        self._request.set_attribute("http.response.status_code", http_status)
        if outcome != outcomes.SUCCESS:
            self._request.set_status(Status(StatusCode.ERROR, outcome))
        self._request.end()

    def _draw(self, timings_us: Mapping[str, int]) -> None:
        """Make a span of each phase that the enclave measured."""
        if self._enclave is None or not self._request.is_recording():
            return
        began_ns = self._asked_ns
        for told, shown in PHASES.items():
            if told in timings_us and told != TOTAL:
                ended_ns = began_ns + timings_us[told] * 1000
                self._below(self._enclave, shown, began_ns, SpanKind.INTERNAL).end(ended_ns)
                began_ns = ended_ns

    def _below(self, above: Span, name: str, began_ns: int, kind: SpanKind) -> Span:
        return self._library.start_span(name, set_span_in_context(above), kind, start_time=began_ns)


class _Trouble(logging.Handler):
    """Says in the parent's log that spans do not get through, in our own words: theirs may hold a collector's."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        self._log.event("tracing trouble", where=record.name)


def _above(traceparent: str | None) -> Context | None:
    """Return the caller's span as the one above, or None when it named none in the right form."""
    if traceparent is None or not hops.TRACEPARENT.fullmatch(traceparent):
        return None
    _, trace, span, flags = traceparent.split("-")
    context = SpanContext(int(trace, 16), int(span, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16)))
    return set_span_in_context(NonRecordingSpan(context))
