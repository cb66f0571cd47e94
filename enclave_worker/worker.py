"""The worker: frames' payloads in, replies out. Composition of the room; knows no socket.

Whoever builds a `Worker` says what it trusts: the exchange with the NSM, the TLS context, the way to the upstreams, the
policy. In an image that is `__main__.py` and nothing else.
"""

import itertools
import os
import ssl
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from enclave_worker import catalogue, reply
from enclave_worker.attestation import AttestationFailed, Attestor, QueueFull
from enclave_worker.boot import Report as Findings
from enclave_worker.fetch import Fetcher
from enclave_worker.handlers.operation import Operation
from enclave_worker.identity import Card
from enclave_worker.journey import Journey
from enclave_worker.log import CallLog, Log
from enclave_worker.places import Places
from enclave_worker.query import Querier
from enclave_worker.reply import Reply
from enclave_worker.sealed.clock import ForwardClock
from enclave_worker.sealed.keys import DEFAULT_LIFETIME, KeyRing, Lifetime
from enclave_worker.sealed.opening import Opened, Opener, SealedRefused
from enclave_worker.sealed.replays import DEFAULT_PLACES, ReplayMemory
from enclave_worker.session import Session
from enclave_worker.statement import Identity
from enclave_worker.upstream.client import Client
from enclave_worker.upstream.connection import Dial
from enclave_worker.upstream.phases import DEFAULT_PHASES, Phases
from enclave_worker.witness import Witness
from nsm.client import Exchange
from policy.manifest import Manifest
from wire import hops, messages
from wire.errors import MessageError
from wire.hops import Report
from wire.messages import CALL_FIELDS, Call, IdentityQuestion, Message, Ping
from wire.queries import QUERY_FIELDS, Query
from wire.sealed import SealedCall


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """How much one worker takes on at once: `fetches` and queries, a thread each, `attestations`, places at the NSM,
    `identities`, how many of these may be for the asking, and `replays`, the sealed requests that it remembers.
    """

    fetches: int = 64
    attestations: int = 256
    identities: int = 32  # ours: who asks is unknown, and what was fetched waits behind them for its own document
    replays: int = DEFAULT_PLACES


DEFAULT_CAPACITY = Capacity()
KNOWN_FIELDS = CALL_FIELDS | QUERY_FIELDS  # what a log may name; other names are the caller's words


def unix_milliseconds() -> int:
    """Return the time of this machine in Unix milliseconds."""
    return time.time_ns() // 1_000_000


class Worker:
    """Answers calls and queries, sealed or not, pings and questions for its identity. Safe to use from many threads.

    `operations` are the handlers of the service, `report` is what `boot.boot` found; outside an enclave there is none.

    Raises:
        CatalogueError: the manifest declares an operation that no handler runs.
    """

    def __init__(  # noqa: PLR0913  whatever a worker trusts is said in one place
        self,
        *,
        manifest: Manifest,
        exchange: Exchange,
        dial: Dial,
        tls: ssl.SSLContext,
        operations: Iterable[Operation] = (),
        phases: Phases = DEFAULT_PHASES,
        report: Findings = (),
        capacity: Capacity = DEFAULT_CAPACITY,
        lifetime: Lifetime = DEFAULT_LIFETIME,
        clock_ms: Callable[[], int] = unix_milliseconds,
        log: Log | None = None,
    ) -> None:
        offers = catalogue.bind(manifest.operations, operations)  # before anything is started
        self._log = log or Log(manifest.name)
        self._slots = Places(capacity.fetches)
        self._identities = Places(capacity.identities)
        self._clock_ms = clock_ms
        self._identity = Identity(service=manifest.name, manifest=manifest.digest, boot=os.urandom(16))
        self._card = Card.of(self._identity, report)
        forward = ForwardClock(clock_ms)
        self._keys = KeyRing(forward, lifetime)
        self._opener = Opener(
            service=manifest.name, keys=self._keys, replays=ReplayMemory(places=capacity.replays), clock_ms=forward
        )
        self._attestor = Attestor(exchange, places=capacity.attestations)
        self._client = Client(dial=dial, tls=tls, phases=phases)
        witness = Witness(
            identity=self._identity,
            attestor=self._attestor,
            session=Session(self._attestor, self._identity),
            clock_ms=clock_ms,
            sequence=itertools.count(),
        )
        self._fetcher = Fetcher(manifest=manifest, client=self._client, witness=witness, log=self._log)
        self._querier = Querier(
            manifest=manifest,
            offers=offers,
            client=self._client,
            witness=witness,
            log=self._log,
        )

    def answer(self, payload: bytes) -> bytes:
        """Return the reply to one frame's payload. Never raises for anything that a peer can cause."""
        return self.payloads(payload)[-1]

    def payloads(self, payload: bytes) -> tuple[bytes, ...]:
        """Return the payloads that answer one frame's: the reply, and before it a report, where the parent wants one.

        Never raises for anything that a peer can cause.
        """
        try:
            question = messages.decode_question(payload)
        except MessageError as exc:
            self._log.event("bad message", field=exc.field if exc.field in KNOWN_FIELDS else "")
            return (reply.refusal(400, str(exc)).payload,)
        message, hop = question.message, question.hop
        journey = Journey(hop.trace_id)
        given = self._reply(message, journey)
        if not hop.report:
            return (given.payload,)
        return self._report(given, journey.timings_us(sealed=isinstance(message, SealedCall))), given.payload

    def _report(self, given: Reply, timings_us: dict[str, int]) -> bytes:
        report = Report(
            success=given.success,
            status=given.status,
            boot=self._identity.boot.hex(),
            timings_us=timings_us,
            nsm_queue=self._attestor.waiting,
            fetches=self._slots.taken,
        )
        return hops.encode_report(report)

    def _reply(self, message: Message, journey: Journey) -> Reply:
        match message:
            case Ping():
                return self._pong()
            case IdentityQuestion():
                return self._show_identity(message.challenge)
            case SealedCall():
                return self._answer_sealed(message, journey)
            case Call() | Query():
                return self._work(message, journey, sealed=False)

    def _pong(self) -> Reply:
        return reply.pong(
            timestamp_ms=self._clock_ms(),
            boot=self._identity.boot,
            service=self._identity.service,
            nsm=self._attestor.record,
            keys=self._keys.ids(),
        )

    def _show_identity(self, challenge: bytes | None) -> Reply:
        if not self._identities.take():
            self._log.event("full", what="identities")
            return reply.refusal(503, "Enclave at capacity")
        try:
            return self._card.show(self._attestor, challenge, self._keys.current(), clock_ms=self._clock_ms)
        except QueueFull:
            return reply.refusal(503, "Enclave at capacity")
        except AttestationFailed as exc:
            self._log.event("attestation failed", error=str(exc))
            return reply.refusal(502, f"Attestation failed: {exc}")
        finally:
            self._identities.give_back()

    def _answer_sealed(self, sealed: SealedCall, journey: Journey) -> Reply:
        try:
            opened = self._opener.open(sealed)
        except SealedRefused as exc:
            self._log.event("refused", reason=exc.code)
            return reply.refusal(exc.status, str(exc), code=exc.code)
        return reply.sealed(opened.seal(self._answer_opened(opened, sealed.timeout_ms, journey).payload))

    def _answer_opened(self, opened: Opened, timeout_ms: int | None, journey: Journey) -> Reply:
        """Answer what was inside, within the time of whoever carries it."""
        try:
            request = messages.read_question(opened.request)
        except MessageError as exc:
            self._log.event("bad message", sealed=True)  # which field is the caller's affair
            return reply.refusal(400, str(exc))
        limits = [limit for limit in (request.timeout_ms, timeout_ms) if limit is not None]
        return self._work(replace(request, timeout_ms=min(limits, default=None)), journey, sealed=True)

    def _work(self, request: Call | Query, journey: Journey, *, sealed: bool) -> Reply:
        if not self._slots.take():
            log = CallLog(log=self._log, id=request.id or "", sealed=sealed, trace=journey.trace)
            log.event("full", what="fetches")
            return reply.refusal(503, "Enclave at capacity")
        try:
            if isinstance(request, Query):
                return self._querier.answer(request, journey=journey, sealed=sealed)
            return self._fetcher.answer(request, journey=journey, sealed=sealed)
        finally:
            self._slots.give_back()

    def close(self) -> None:
        """End the NSM thread and close idle connections. Call it when no call is under way any more."""
        self._attestor.close()
        self._client.close()
