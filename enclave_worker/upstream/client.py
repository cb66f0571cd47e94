"""Fetches what the policy allowed: over a kept or a new connection, against deadlines, to an answer or a failure.

Rule on repeating: a request is sent again only when a kept connection ended before the first byte of a response and
the method is safe to repeat (RFC 9110, 9.2.2, safe methods only). A 408 on a kept connection is such an end, and no
answer: the server had stopped waiting for a request, perhaps before this one came. TLS does not say which was first.
Every connection on which a request was begun is counted in `attempts`, which the statement shows.
"""

import hashlib
import ssl
import time

from enclave_worker.journey import Journey
from enclave_worker.upstream.connection import Connection, Dial, open_connection
from enclave_worker.upstream.exchange import Answer, Failure, UpstreamError
from enclave_worker.upstream.phases import DEFAULT_PHASES, Phases
from enclave_worker.upstream.pool import Key, Pool
from enclave_worker.upstream.request import serialise
from enclave_worker.upstream.response import ResponseReader
from policy.rules import Allowed

REPEATABLE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
REQUEST_TIMEOUT = 408  # RFC 9110 15.5.9


class Client:
    """The upstreams as one enclave sees them. Safe to use from many threads; one call holds one thread."""

    def __init__(self, *, dial: Dial, tls: ssl.SSLContext, phases: Phases = DEFAULT_PHASES) -> None:
        self._dial = dial
        self._tls = tls
        self._phases = phases
        self._pool = Pool()

    def fetch(self, allowed: Allowed, *, deadline: float, journey: Journey) -> Answer | Failure:
        """Send one allowed request and return what came of it. `deadline` is an instant on `time.monotonic()`.

        The time that it takes is added to `journey`.
        """
        request = serialise(allowed)
        key = self._pool.key(allowed)
        connection = self._pool.take(key)
        attempts = 1
        if connection is not None:
            reader = _reader(allowed)
            outcome = self._exchange(connection, request, reader, key, deadline, attempts, journey)
            if not (_is_lost(outcome, reader) and allowed.method in REPEATABLE_METHODS):
                return outcome
            attempts = 2
        try:
            connection = open_connection(
                allowed.upstream,
                dial=self._dial,
                context=self._tls,
                phases=self._phases,
                deadline=deadline,
                journey=journey,
            )
        except UpstreamError as exc:
            return Failure(kind=exc.kind, detail=exc.detail, transport=None, attempts=attempts)
        return self._exchange(connection, request, _reader(allowed), key, deadline, attempts, journey)

    def close(self) -> None:
        """Close the idle connections. Calls under way keep theirs."""
        self._pool.close()

    def _exchange(
        self,
        connection: Connection,
        request: bytes,
        reader: ResponseReader,
        key: Key,
        deadline: float,
        attempts: int,
        journey: Journey,
    ) -> Answer | Failure:
        try:
            self._converse(connection, request, reader, deadline, journey)
            if connection.kept and reader.status == REQUEST_TIMEOUT:
                raise UpstreamError("truncated", "the upstream had given up the kept connection: it says 408")
        except UpstreamError as exc:
            connection.close()
            return Failure(kind=exc.kind, detail=exc.detail, transport=connection.transport, attempts=attempts)
        if reader.reusable:
            self._pool.give(key, connection)
        else:
            connection.close()
        body = reader.body
        return Answer(
            status=reader.status,
            headers=reader.headers,
            body=body,
            sha256=hashlib.sha256(body).digest(),
            framing=reader.framing,
            transport=connection.transport,
            attempts=attempts,
        )

    def _converse(
        self, connection: Connection, request: bytes, reader: ResponseReader, deadline: float, journey: Journey
    ) -> None:
        began, came = time.monotonic_ns(), 0
        try:
            connection.send(request, deadline=deadline)
            first_byte = min(deadline, time.monotonic() + self._phases.first_byte)
            while not reader.complete:
                data = connection.receive(deadline=deadline if reader.begun else first_byte)
                came = came or time.monotonic_ns()
                if data:
                    reader.feed(data)
                else:
                    reader.end(authenticated=connection.transport.tls is not None)
        finally:
            ended = time.monotonic_ns()
            journey.first_byte += (came or ended) - began
            journey.body += ended - (came or ended)


def _is_lost(outcome: Answer | Failure, reader: ResponseReader) -> bool:
    """Whether a kept connection was over before the request: no byte came, or a whole message that answers nothing."""
    return isinstance(outcome, Failure) and outcome.kind == "truncated" and (reader.complete or not reader.begun)


def _reader(allowed: Allowed) -> ResponseReader:
    return ResponseReader(allowed.method, cap=allowed.rule.max_response_bytes)
