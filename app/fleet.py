"""The enclaves of one service: which of them gets a call, and which does not for now.

Rules. The one with the fewest calls under way in this process gets the next call. One that could not be reached or
broke off is left out for a while that grows, and comes back when it answers a ping (`app/monitor.py`). One that is
drained gets no new calls. Where none is left, the least bad is tried: leaving out never refuses a call by itself.

A call that was not delivered goes to another enclave; one that may have been, never. What is sealed goes to the enclave
that has the key. Where that is not known, each is asked in turn: one without the key has opened and done nothing.
"""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from app.enclave import Enclave, Seen
from app.pool import Carried
from app.said import json_object
from policy.manifest import Manifest
from wire import frames
from wire.addresses import Address
from wire.errors import DeadlinePassed, FrameError, PeerLost

FIRST_HOLD_SECONDS = 0.5  # ours: longer than an enclave's hiccup, shorter than a caller's patience
MAX_HOLD_SECONDS = 30.0
HOP_BYTES = 128  # at least what a question grows by on its way: wire/hops.py
MAX_REFUSAL_BYTES = 1024  # a refusal is one short sentence
MAX_KEYS = 256  # ours: far more than a service's enclaves have at a time
UNKNOWN_KEY = "sealed.unknown-key"  # enclave_worker/sealed/opening.py: nothing was opened


class Served(NamedTuple):
    """What was answered, and by which enclave."""

    carried: Carried
    enclave: Enclave


class Fleet:
    """The enclaves of one service. Safe to use from many threads.

    `on_trouble` is called, without a lock, for an enclave that should be pinged: it failed a call, let its time pass,
    or was asked while it was ejected.
    """

    def __init__(self, service: Manifest, addresses: Sequence[Address], *, connections: int) -> None:
        self.service = service
        self.enclaves = tuple(
            Enclave(service, address, number=number, connections=connections)
            for number, address in enumerate(addresses)
        )
        self.on_trouble: Callable[[Enclave], None] = _nobody
        self._lock = threading.Lock()
        self._usable = self.enclaves
        self._turn = 0
        self._keys: dict[bytes, Enclave] = {}

    def ask(
        self,
        question: bytes,
        *,
        deadline: float,
        key: bytes | None = None,
        again: Callable[[], bytes] | None = None,
        trace: str | None = None,
    ) -> Served:
        """Put a question to one of the enclaves. `deadline` is on `time.monotonic()`, `trace` a `traceparent`.

        `key` is the id of the key that a sealed call is for. `again` words the question anew for another enclave, since
        time has passed.

        Raises:
            PoolFull, PeerLost, FrameError, DeadlinePassed: as `EnclavePool.ask`.
        """
        tried: tuple[Enclave, ...] = ()
        refused: Served | None = None
        while True:
            frames.check_length(len(question) + HOP_BYTES)  # what fits no frame is no enclave's failure
            enclave = self._begin(key, tried)
            tried = (*tried, enclave)
            try:
                served = Served(self._ask(enclave, question, deadline, trace), enclave)
            except PeerLost as exc:
                if exc.delivered:
                    raise
                if len(tried) == len(self.enclaves):
                    if refused is None:
                        raise
                    return refused
            else:
                if key is None or not self._lacks_key(served, key):
                    return served
                refused = served
                if len(tried) == len(self.enclaves):
                    return served
            question = question if again is None else again()

    def drain(self, names: Iterable[str]) -> None:
        """Give the enclaves with these names no new calls, and all others some again."""
        chosen = frozenset(names)
        with self._lock:
            for enclave in self.enclaves:
                enclave.draining = enclave.name in chosen
                if enclave.slot is not None:
                    enclave.slot.cells[enclave.slot.draining] = int(enclave.draining)
            self._sort()

    def saw(self, enclave: Enclave, seen: Seen) -> None:
        """Take note of what a ping found: an enclave that is fit, and whose time is over, gets calls again."""
        with self._lock:
            enclave.seen = seen
            if seen.fit and enclave.held_until <= seen.at:
                enclave.held_until = 0.0
            if seen.pong is not None:
                self._learn(enclave, seen.pong.keys)
            self._sort()

    def close(self) -> None:
        """Close the idle connections."""
        for enclave in self.enclaves:
            enclave.pool.close()

    def _ask(self, enclave: Enclave, question: bytes, deadline: float, trace: str | None) -> Carried:
        """Return its answer, and take note of how that went. The call has begun; it is over however this ends."""
        well: bool | None = None
        try:
            carried = enclave.pool.ask(question, deadline=deadline, trace=trace)
            well = True
        except (PeerLost, FrameError):
            well = False
            raise
        except DeadlinePassed:
            self.on_trouble(enclave)  # it may hang; that is for a ping to tell, since callers choose their deadlines
            raise
        finally:
            self._end(enclave, well=well)
            if well is False or enclave.ejected:  # what an ejected one answers is news, too
                self.on_trouble(enclave)
        return carried

    def _begin(self, key: bytes | None, tried: tuple[Enclave, ...]) -> Enclave:
        with self._lock:
            enclave = self._choose(key, tried)
            enclave.in_flight += 1
            if enclave.slot is not None:
                enclave.slot.cells[enclave.slot.calls] = enclave.in_flight
        return enclave

    def _end(self, enclave: Enclave, *, well: bool | None) -> None:
        """`well` is None where it cannot be told whose fault the end was."""
        with self._lock:
            enclave.in_flight -= 1
            if enclave.slot is not None:
                enclave.slot.cells[enclave.slot.calls] = enclave.in_flight
            if well is False:
                enclave.failures += 1
                hold = min(FIRST_HOLD_SECONDS * 2 ** (min(enclave.failures, 16) - 1), MAX_HOLD_SECONDS)
                enclave.held_until = time.monotonic() + hold
                self._sort()
            elif well and enclave.failures:
                enclave.failures = 0
                enclave.held_until = 0.0
                self._sort()

    def _choose(self, key: bytes | None, tried: tuple[Enclave, ...]) -> Enclave:
        if key is not None:
            holder = self._keys.get(key)
            if holder is not None and holder not in tried:
                return holder
        usable: Sequence[Enclave] = self._usable
        if tried:
            usable = [enclave for enclave in usable if enclave not in tried]
            usable = usable or [enclave for enclave in self.enclaves if enclave not in tried]
        if len(usable) == 1:
            return usable[0]
        self._turn += 1
        best = usable[self._turn % len(usable)]
        for enclave in usable:
            if enclave.in_flight < best.in_flight or (
                enclave.in_flight == best.in_flight and enclave.badness < best.badness
            ):
                best = enclave
        return best

    def _sort(self) -> None:
        """Find who gets calls: the fit that are not drained; else the fit; else all."""
        for enclave in self.enclaves:
            enclave.ejected = not enclave.fit
        fit = [enclave for enclave in self.enclaves if not enclave.ejected]
        self._usable = tuple([enclave for enclave in fit if not enclave.draining] or fit or self.enclaves)

    def _lacks_key(self, served: Served, key: bytes) -> bool:
        """Whether the enclave refused because the key is not one of its own. If it answered, the key is."""
        if _is_unknown_key(served.carried.reply):
            with self._lock:
                if self._keys.get(key) is served.enclave:
                    del self._keys[key]
            return True
        if served.carried.reply.startswith(b'{"sealed":') and key not in self._keys:
            with self._lock:
                self._learn(served.enclave, (key,))
        return False

    def _learn(self, enclave: Enclave, keys: Iterable[bytes]) -> None:
        for key in keys:
            if len(self._keys) >= MAX_KEYS:
                self._keys.clear()  # they are learnt again from the next pings
            self._keys[key] = enclave


def _is_unknown_key(reply: bytes) -> bool:
    if len(reply) > MAX_REFUSAL_BYTES or UNKNOWN_KEY.encode() not in reply:
        return False
    said = json_object(reply)
    return said is not None and said.get("code") == UNKNOWN_KEY and said.get("success") is False


def _nobody(_: Enclave) -> None:
    """There is no monitor yet."""
