"""Callers, a process that ends with SIGTERM: `python -m bench.siege.callers EVENTS PORT REQUEST CONNECTIONS`.

Without `--rate` a closed loop: each connection asks again when it has its answer, or RETRY_SECONDS after a refusal.
With it an open one: requests are due at that rate at random instants, whoever is served; one that finds no free
connection is not sent. What they saw goes into the file EVENTS.
"""

import argparse
import random
import re
import select
import signal
import sys
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from bench.caller import GOOD_BODY, Caller
from bench.siege import events
from bench.siege.events import BAD, FAILED, GOOD, LATE, LOST, REFUSED, UNHEARD, Event

PATIENCE_SECONDS = 2.0  # of a caller of the open loop
RETRY_SECONDS = 1.0  # what Retry-After says
SEED = 7
TICK_SECONDS = 0.05
BATCH = 64  # answers that are read before what is due is looked at again
AT_CAPACITY = (
    b'"status":503,"headers":{},"rawBody":"","error":"Enclave at capacity"'  # in an HTTP 200: the enclave's own
)
ATTESTED = b'"attestation":{'
_REFUSAL = re.compile(rb"HTTP/1.1 (?:429|503) .*\r\nretry-after: [0-9]+\r\n.*\"code\":", re.IGNORECASE | re.DOTALL)
_CODE = re.compile(rb'HTTP/1.1 ([0-9]{3}) .*?(?:"code": ?"([a-z._]+)"|$)', re.DOTALL)


def classify(answer: bytes, seconds: float, patience: float) -> str:
    """Return the outcome that a whole answer is."""
    if answer.startswith(b"HTTP/1.1 200 ") and GOOD_BODY in answer:
        return GOOD if seconds <= patience else LATE
    if _REFUSAL.match(answer) or AT_CAPACITY in answer:
        return REFUSED
    found = _CODE.match(answer)
    if (answer.startswith(b"HTTP/1.1 200 ") and ATTESTED in answer) or (found and found[2] == b"deadline"):
        return FAILED
    return " ".join([BAD, *(part.decode() for part in found.groups() if part)]) if found else BAD


class Callers:
    """Connections that ask. A lost one is replaced, so that their number stays."""

    def __init__(self, port: int, request: bytes, connections: int, *, patience: float) -> None:
        self._port = port
        self._request = request
        self._patience = patience
        self._poll = select.epoll()
        self._callers: dict[int, Caller] = {}
        self.free: deque[Caller] = deque()
        self.refused: deque[tuple[float, Caller]] = deque()  # and when
        self._missing = connections
        self.events: list[Event] = []

    def open_missing(self) -> None:
        """Open what was lost."""
        while self._missing:
            try:
                caller = Caller(self._port)
            except OSError:
                return  # another time
            self._missing -= 1
            self._callers[caller.sock.fileno()] = caller
            self._poll.register(caller.sock.fileno(), select.EPOLLIN)
            self.free.append(caller)

    def send(self, since: float) -> None:
        """Send a request over the connection that has been free for longest."""
        caller = self.free.popleft()
        try:
            caller.send(self._request, since=since)
        except OSError:
            self._lose(caller)

    def receive(self, seconds: float) -> None:
        """Read what has come, or comes in this time."""
        for descriptor, _ in self._poll.poll(seconds, BATCH):
            caller = self._callers.get(descriptor)
            if caller is not None:
                self._receive(caller)

    def close(self) -> None:
        """Close every connection."""
        for caller in self._callers.values():
            caller.sock.close()
        self._poll.close()

    def _receive(self, caller: Caller) -> None:
        try:
            whole = caller.receive(GOOD_BODY)
        except (OSError, ValueError):
            self._lose(caller)
            return
        if whole is not None and caller.last is not None:
            now = time.monotonic()
            outcome = classify(caller.last[1], now - caller.since, self._patience)
            self.events.append(Event(now, now - caller.since, outcome))
            if outcome == REFUSED:
                self.refused.append((now, caller))
            else:
                self.free.append(caller)

    def rested(self, seconds: float) -> None:
        """Take those for free that were refused so many seconds ago."""
        while self.refused and self.refused[0][0] <= time.monotonic() - seconds:
            self.free.append(self.refused.popleft()[1])

    def _lose(self, caller: Caller) -> None:
        if caller in self.free:  # between two requests: nothing was lost
            self.free.remove(caller)
        elif any(caller is each for _, each in self.refused):
            self.refused = deque(pair for pair in self.refused if pair[1] is not caller)
        else:
            now = time.monotonic()
            self.events.append(Event(now, now - caller.since, LOST))
        del self._callers[caller.sock.fileno()]
        caller.sock.close()
        self._missing += 1


def closed(callers: Callers) -> Iterator[None]:
    """Ask with every connection that is free, again and again."""
    while True:
        callers.open_missing()
        callers.rested(RETRY_SECONDS)
        while callers.free:
            callers.send(time.monotonic())
        callers.receive(TICK_SECONDS)
        yield


def opened(callers: Callers, rate: float) -> Iterator[None]:
    """Ask when something is due."""
    gaps = random.Random(SEED)  # noqa: S311  a schedule is no secret
    due = time.monotonic()
    while True:
        callers.open_missing()
        callers.rested(0.0)
        now = time.monotonic()
        while due <= now:
            if callers.free:
                callers.send(due)
            else:
                callers.events.append(Event(now, 0.0, UNHEARD))
            due += gaps.expovariate(rate)
        callers.receive(max(0.0, min(TICK_SECONDS, due - time.monotonic())))
        yield


def main(arguments: list[str]) -> int:
    """Ask until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m bench.siege.callers")
    parser.add_argument("events", type=Path)
    parser.add_argument("port", type=int)
    parser.add_argument("request", type=Path)
    parser.add_argument("connections", type=int)
    parser.add_argument("--rate", type=float)
    options = parser.parse_args(arguments)
    ended: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: ended.append(number))
    patience = PATIENCE_SECONDS if options.rate else float("inf")
    callers = Callers(options.port, options.request.read_bytes(), options.connections, patience=patience)
    for _ in opened(callers, options.rate) if options.rate else closed(callers):
        if ended:
            break
    callers.close()
    events.write(options.events, callers.events)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
