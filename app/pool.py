"""Connections to one enclave: bounded, kept open, healed by themselves.

Rule on repeating: a call whose last byte may have reached the enclave is never sent again. A kept connection that the
enclave has closed is noticed before anything is sent on it; one that breaks while a frame is still being sent carried
no whole call, so that call may go out again on a new connection.
"""

import socket
import time
from collections import deque
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

from app.said import json_object
from wire import frames, hops, messages, sockets
from wire.addresses import Address
from wire.errors import DeadlinePassed, PeerLost, WireError
from wire.hops import Hop, Report

MAX_IDLE_SECONDS = 60.0  # half of what the worker grants: the parent is the one to close
MAX_WAIT_SECONDS = 5.0  # for a place, when every connection is in use
PROBE_SECONDS = 1.0


class PoolFull(Exception):
    """Every connection to the enclave is in use, and none came free in time. Nothing was sent."""

    advice = "Try again later, or allow more connections."


@dataclass(frozen=True, slots=True)
class Carried:
    """What an enclave answered: the reply, and the worker's report of it where one was wanted and is known of."""

    report: Report | None
    reply: bytes


@dataclass(slots=True)
class _Connection:
    sock: socket.socket
    decoder: frames.Decoder = field(default_factory=frames.Decoder)
    idle_since: float = 0.0

    def is_quiet(self) -> bool:
        """Whether nothing has come that was not asked for: it would be taken for the next reply."""
        return not self.decoder.pending and sockets.is_quiet(self.sock)

    def is_good(self) -> bool:
        return time.monotonic() - self.idle_since < MAX_IDLE_SECONDS and self.is_quiet()

    def exchange(self, frame: bytes, *, deadline: float) -> "Carried":
        sockets.send(self.sock, frame, deadline=deadline)
        payload = self._receive(deadline)
        report = hops.read_report(payload)
        return Carried(report, payload if report is None else self._receive(deadline))

    def _receive(self, deadline: float) -> bytes:
        payload = sockets.receive_frame(self.sock, self.decoder, deadline=deadline)
        if payload is None:
            raise PeerLost("Connection closed: expected 4 bytes, got 0", delivered=True)
        return payload

    def close(self) -> None:
        self.sock.close()


class EnclavePool:
    """Calls one enclave. Safe to use from many threads; one call holds one connection."""

    def __init__(self, address: Address, *, connections: int) -> None:
        self.address = address
        self._places: SimpleQueue[None] = SimpleQueue()  # as many as there may be connections, less those in use
        for _ in range(connections):
            self._places.put(None)
        self._idle: deque[_Connection] = deque()  # the last one is the one used last
        self._keeps: bool | None = None  # whether this worker keeps connections open; the predecessor's does not

    def call(self, payload: bytes, *, deadline: float) -> bytes:
        """Send one payload and return the reply's. As `ask`, without a report."""
        return self._carry(payload, deadline).reply

    def ask(self, question: bytes, *, deadline: float, trace: str | None = None) -> Carried:
        """Send one question and return what was answered. `deadline` is an instant on `time.monotonic()`.

        `trace` is a W3C `traceparent`.

        Raises:
            PoolFull: no connection came free.
            PeerLost, FrameError: the enclave is unreachable, broke off, or does not speak the protocol.
            DeadlinePassed: it was too slow.
        """
        return self._carry(hops.attach(question, Hop(report=True, trace=trace)), deadline)

    def _carry(self, payload: bytes, deadline: float) -> Carried:
        wait = min(deadline - time.monotonic(), MAX_WAIT_SECONDS)
        try:
            self._places.get(timeout=max(0.0, wait))
        except Empty as exc:
            raise PoolFull("all connections to the enclave are in use") from exc
        try:
            return self._call(frames.encode(payload), deadline)
        finally:
            self._places.put(None)

    def ping(self, *, deadline: float) -> bytes:
        """Ask whether the enclave is alive; return its answer unread.

        Raises:
            PeerLost, FrameError, DeadlinePassed: as `call`.
        """
        return self.ask_apart(messages.PING, deadline=deadline)

    def ask_apart(self, payload: bytes, *, deadline: float) -> bytes:
        """Ask on a connection of its own, so that a busy pool is not taken for a dead enclave.

        Raises:
            PeerLost, FrameError, DeadlinePassed: as `call`.
        """
        connection = _Connection(sockets.connect(self.address, deadline=deadline))
        try:
            return connection.exchange(frames.encode(payload), deadline=deadline).reply
        finally:
            connection.close()

    @property
    def idle(self) -> int:
        """How many open connections are in no use."""
        return len(self._idle)

    def close(self) -> None:
        """Close the idle connections."""
        while (connection := self._pop()) is not None:
            connection.close()

    def _call(self, frame: bytes, deadline: float) -> Carried:
        connection = self._take()
        if connection is not None:
            try:
                return self._exchange(connection, frame, deadline)
            except PeerLost as exc:
                self.close()  # the others lead to the same enclave, which is probably gone
                if exc.delivered:
                    raise
        try:
            connection = _Connection(sockets.connect(self.address, deadline=deadline))
        except PeerLost:
            self._keeps = None  # another worker may come back at this address
            raise
        return self._exchange(connection, frame, deadline)

    def _exchange(self, connection: _Connection, frame: bytes, deadline: float) -> Carried:
        try:
            carried = connection.exchange(frame, deadline=deadline)
        except WireError:
            connection.close()
            raise
        self._give(connection, deadline)
        return carried

    def _take(self) -> _Connection | None:
        while (connection := self._pop()) is not None:
            if connection.is_good():
                return connection
            connection.close()
            self._keeps = None
        return None

    def _give(self, connection: _Connection, deadline: float) -> None:
        if self._keeps is None and connection.is_quiet():
            self._keeps = _answers_again(connection, min(deadline, time.monotonic() + PROBE_SECONDS))
        if not self._keeps:
            connection.close()
            return
        connection.idle_since = time.monotonic()
        self._idle.append(connection)

    def _pop(self) -> _Connection | None:
        try:
            return self._idle.pop()
        except IndexError:
            return None


def _answers_again(connection: _Connection, deadline: float) -> bool | None:
    """Whether the worker serves a second frame on a connection, found out with a ping; None when it was too slow."""
    try:
        return is_pong(connection.exchange(frames.encode(messages.PING), deadline=deadline).reply)
    except DeadlinePassed:
        return None
    except WireError:
        return False


def is_pong(payload: bytes) -> bool:
    """Whether `payload` is the answer to a ping."""
    answer = json_object(payload)
    return answer is not None and answer.get("type") == "pong"
