"""Who is let in, within which limits: first of all that happens to a request, and again before an enclave is asked.

`enter`, before a route runs: who asks (401), what for (403), the caller's own limits (429), room for the body (503).
`admit`, around the question to an enclave: the caller's services (403), the service's limits and places (503).

What belongs to the parent's caller is in the request's own head. Headers inside the JSON are the upstream's: they are
never looked at here, and nothing from here is passed on.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from flask import Flask
from werkzeug.wsgi import get_content_length

from app.admission import Admission
from app.application import asked, here
from app.callers.caller import FETCH, METRICS, Caller
from app.callers.proof import ProofError, bearer, forwarded
from app.errors import ApiError
from app.limits.bodies import BodyBudget, MeteredStream
from app.limits.bulkheads import Bulkheads, Occupancy
from app.limits.table import Meter
from app.limits.values import OverLimit, retry_after
from app.prefork import Process, counted

OPEN_PATHS = frozenset({"/", "/health", "/livez", "/readyz", "/openapi.json"})
SCOPES: Mapping[str, str | None] = {  # by route; every other one: FETCH
    **dict.fromkeys(("/metrics", "/status"), METRICS),  # what all callers together do
    **dict.fromkeys(("/routes", "/log/head", "/log/proof", "/log/consistency"), None),
    "/attestations/<attestation_id>": None,  # app.archive.access decides
}
QUESTION_COST = 1.0  # of a rate: a POST
LOOK_COST = 0.25  # anything else: an identity, a list
AFTER = "tytle.after"  # in the WSGI environment of gunicorn_worker: a list of what is done once the answer is taken


@dataclass(slots=True)
class Visit:
    """What one request holds until it ends. `meter` is its caller's, where the server does not say when that is."""

    meter: Meter | None = None
    body_bytes: int = 0
    stream: MeteredStream | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """This process at one instant. `refused_callers` counts 429, `refused_bodies` 503 for want of room for a body."""

    services: tuple[Occupancy, ...]
    body_bytes: int
    refused_bodies: int
    refused_callers: int
    unauthenticated: int


@dataclass(slots=True)
class _Counts:
    refused_callers: int = 0
    unauthenticated: int = 0


class Gate:
    """Admits requests to one application.

    `capacities` are the connections to the enclaves of each service; `max_body_bytes` is the size above which a body is
    not read at all. `clock` gives the Unix time.
    """

    def __init__(
        self,
        admission: Admission,
        process: Process,
        *,
        capacities: Mapping[str, int],
        max_body_bytes: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._admission = admission
        self._clock = clock
        self._max_body_bytes = max_body_bytes
        self._counts = _Counts()
        self._bodies = BodyBudget(admission.body_bytes)
        self.bulkheads = Bulkheads(capacities, threads=process.threads)
        callers = admission.callers.all if admission.callers is not None else ()
        self._meters = {caller.name: process.meter(counted(caller.name), caller.limits) for caller in callers}
        self._service_meters = {
            name: process.meter(f"service {name}", limits) for name, limits in admission.limits.items()
        }

    def install(self, app: Flask) -> None:
        """Put the gate in front of every route of `app`."""
        app.before_request(self.enter)
        app.teardown_request(self.leave)
        app.extensions["gate"] = self

    def enter(self) -> None:
        """Let the request at hand in; `g.caller` says whose it is, None where everybody may ask.

        Raises:
            ApiError: 401, 403, 429, 503.
        """
        state, request = here(), asked()
        state.caller = None
        state.visit = visit = Visit()
        rule, environ = request.url_rule, request.environ
        path = rule.rule if rule is not None else ""
        if path in OPEN_PATHS:
            return
        if self._admission.callers is not None:
            state.caller = caller = self._authenticate(environ)
            caller.check_scope(SCOPES.get(path, FETCH))
            self._count(caller, visit, environ)
        self._make_room(environ, visit)

    def leave(self, _: BaseException | None = None) -> None:
        """Give back what the request at hand held."""
        visit: Visit | None = here().pop("visit", None)
        if visit is None:
            return
        if visit.meter is not None:
            visit.meter.give()
        if visit.stream is not None:
            visit.body_bytes += visit.stream.size
        if visit.body_bytes:
            self._bodies.release(visit.body_bytes)

    def admit(self, service: str, *, caller: Caller | None, deadline: float) -> "Admitted":
        """Return a context in which `caller` may ask an enclave of `service`. `deadline` is on `time.monotonic()`.

        Raises:
            ApiError: 403, 503, when the context is entered.
        """
        return Admitted(self, service, caller, deadline)

    def numbers(self) -> Numbers:
        """Return what is under way in this process, and what was refused since it began."""
        return Numbers(
            services=self.bulkheads.occupancy(),
            body_bytes=self._bodies.held,
            refused_bodies=self._bodies.refused,
            refused_callers=self._counts.refused_callers,
            unauthenticated=self._counts.unauthenticated,
        )

    def service_meter(self, service: str) -> Meter | None:
        """Return the limits of a service on this host, if it has any beside its places."""
        return self._service_meters.get(service)

    def _authenticate(self, environ: Mapping[str, Any]) -> Caller:
        try:
            caller = self._shown(environ)
        except ProofError as exc:
            raise self._unauthenticated(str(exc), 'Bearer error="invalid_token"') from exc
        if caller is None:
            shown = "HTTP_AUTHORIZATION" in environ
            text = "This token is not known" if shown else "A token or a known client certificate is needed"
            raise self._unauthenticated(text, 'Bearer error="invalid_token"' if shown else "Bearer")
        if caller.expires is not None and self._clock() >= caller.expires:
            raise self._unauthenticated("This caller's time is over", 'Bearer error="invalid_token"')
        return caller

    def _shown(self, environ: Mapping[str, Any]) -> Caller | None:
        """Return who proved to be a caller: by token, else by a proxy's word, else by the certificate of this TLS."""
        callers = self._admission.callers
        if callers is None:
            return None
        authorization = environ.get("HTTP_AUTHORIZATION")
        if authorization is not None:
            return callers.of_token(bearer(authorization))
        header = environ.get("HTTP_CLIENT_CERT")
        if header is not None and self._admission.proxies.include(environ.get("REMOTE_ADDR", "?")):
            return callers.of_certificate(forwarded(header))
        certificate = getattr(environ.get("gunicorn.socket"), "client_certificate", None)  # tls.Connection
        return callers.of_certificate(certificate) if certificate is not None else None

    def _unauthenticated(self, text: str, challenge: str) -> ApiError:
        self._counts.unauthenticated += 1
        return ApiError(401, "unauthenticated", text, challenge=challenge)

    def _count(self, caller: Caller, visit: Visit, environ: Mapping[str, Any]) -> None:
        """Count a question against its caller until its answer is taken: who reads slowly holds a thread as long."""
        meter = self._meters[caller.name]
        cost = QUESTION_COST if environ["REQUEST_METHOD"] == "POST" else LOOK_COST
        try:
            meter.take(cost)
        except OverLimit as exc:
            self._counts.refused_callers += 1
            code = "rate.exceeded" if exc.rate else "concurrency.exceeded"
            raise ApiError(429, code, f"This caller has {exc}", retry_after=retry_after(exc.seconds)) from exc
        after: list[Callable[[], None]] | None = environ.get(AFTER)
        if after is None:
            visit.meter = meter
        else:
            after.append(meter.give)

    def _make_room(self, environ: dict[str, Any], visit: Visit) -> None:
        """Reserve room for the body; one that is too large is not read, and needs none."""
        length = get_content_length(environ)
        if length:
            size = length if length <= self._max_body_bytes else 0
            self._bodies.reserve(size)
            visit.body_bytes = size
        elif "HTTP_TRANSFER_ENCODING" in environ:
            visit.stream = environ["wsgi.input"] = MeteredStream(environ["wsgi.input"], self._bodies)


class Admitted:
    """A place at a service, for as long as the context lasts."""

    __slots__ = ("_caller", "_deadline", "_entered", "_gate", "_meter", "_service")

    def __init__(self, gate: Gate, service: str, caller: Caller | None, deadline: float) -> None:
        self._gate = gate
        self._service = service
        self._caller = caller
        self._deadline = deadline
        self._meter = gate.service_meter(service)
        self._entered = 0.0

    def __enter__(self) -> None:
        if self._caller is not None:
            self._caller.check_service(self._service)
        meter = self._meter
        if meter is not None:
            try:
                meter.take()
            except OverLimit as exc:
                raise ApiError(503, "busy", f"This service has {exc}", retry_after=retry_after(exc.seconds)) from exc
        try:
            self._entered = self._gate.bulkheads.enter(self._service, deadline=self._deadline)
        except ApiError:
            if meter is not None:
                meter.give(refund=1.0)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._gate.bulkheads.leave(self._service, self._entered)
        if self._meter is not None:
            self._meter.give()
