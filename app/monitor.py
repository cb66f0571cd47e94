"""Watches the enclaves from the background, so that no request waits for it: pings, the host's own list, drain marks.

One thread for each enclave, since one that hangs must not hold up news of the others; one for `nitro-cli` where there
is one; one for the drain marks where there is a folder for them. None is started before `start`: a server forks first.

A ping asks the NSM for nothing. An enclave whose NSM has given no document for a minute, or has failed since, is asked
for its identity, which costs one: so the age of the last document says something of an idle enclave too. Each process
sees what the questions of the others brought, so that it is about one document a minute for each enclave.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from app import nitro_cli, pong
from app.enclave import Enclave, Seen
from app.fleet import Fleet
from app.log import Log
from app.nitro_cli import Running
from app.pong import NotAPong
from app.state import Ledger, StateFolder
from wire import messages
from wire.errors import WireError
from wire.messages import IdentityQuestion

PING_SECONDS = 2.0  # the predecessor's limit for a ping
FIT_SECONDS = 2.0  # between two pings of an enclave that is fit
UNFIT_SECONDS = 1.0  # and of one that is not
LEAST_SECONDS = 0.1  # between two pings, however often one is asked for
STALE_SECONDS = 5.0  # what was seen longer ago is looked at anew before it is shown
MARKS_SECONDS = 0.5  # between two looks at the drain marks
DESCRIBE_SECONDS = 10.0  # between two runs of nitro-cli
COMMAND_SECONDS = 5.0  # the predecessor's limit for one
IDLE_NSM_MS = 60_000  # an NSM that has given no document for so long is asked for one
NSM_PAUSE_SECONDS = 10.0  # between two such questions
NSM_SECONDS = 6.0  # the worker takes 5 for one at most; less than NSM_PAUSE_SECONDS: one question at a time
QUESTION = messages.encode_identity_question(IdentityQuestion(challenge=None))


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """What nitro-cli said. `at` is on `time.monotonic()`, in seconds; `enclaves` is None where it did not tell."""

    at: float
    enclaves: tuple[Running, ...] | None


class Monitor:
    """Watches the enclaves of all fleets, from `start` to `close`. Safe to use from many threads."""

    def __init__(self, fleets: Iterable[Fleet], *, state: StateFolder | None, log: Log) -> None:
        self.described: Described | None = None
        self._fleets = tuple(fleets)
        self._state = state
        self._ledger: Ledger | None = None
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._stopping: Callable[[], bool] = lambda: False
        self._threads: list[threading.Thread] = []
        self._watches = {
            enclave.name: Watch(fleet, enclave, log, self._end) for fleet in self._fleets for enclave in fleet.enclaves
        }
        for fleet in self._fleets:
            fleet.on_trouble = self._trouble

    @property
    def stopping(self) -> bool:
        """Whether this process takes no new connections any more."""
        return self._stopping()

    def start(self, *, stopping: Callable[[], bool] | None = None) -> None:
        """Begin to watch, in a process that forks no more. Once is enough; `stopping` says when it is about to end.

        Raises:
            OSError: the state folder cannot be used.
        """
        with self._lock:
            self._stopping = stopping or self._stopping
            if self._threads or self._end.is_set():
                return
            if self._state is not None:
                self._join(self._state)
            works = [watch.run for watch in self._watches.values()]
            works += [self._read_marks] if self._state is not None else []
            works += [self._describe] if nitro_cli.is_here() else []
            self._threads = [threading.Thread(target=work, name="monitor", daemon=True) for work in works]
            for thread in self._threads:
                thread.start()

    def look(self) -> None:
        """Return when every enclave was seen lately: at once, or after one ping for all who wait."""
        self.start()
        now = time.monotonic()
        for watch in self._watches.values():
            watch.ask_if_older(now - STALE_SECONDS)
        for watch in self._watches.values():
            watch.wait(now - STALE_SECONDS, until=now + PING_SECONDS + LEAST_SECONDS)

    def close(self) -> None:
        """Stop watching. A ping that is under way is not waited for longer than it may take."""
        self._end.set()
        for watch in self._watches.values():
            watch.ask()
        for thread in self._threads:
            thread.join(PING_SECONDS)
        if self._ledger is not None:
            self._ledger.close()
            self._ledger = None

    def _trouble(self, enclave: Enclave) -> None:
        """Ping an enclave at once. Where nothing watches yet, that begins, if there is another one to choose."""
        if not self._threads and any(enclave in fleet.enclaves and len(fleet.enclaves) > 1 for fleet in self._fleets):
            self.start()
        self._watches[enclave.name].ask()

    def _join(self, state: StateFolder) -> None:
        """Say what is under way here, and only then read what is drained: whoever drains reads in the other order."""
        self._ledger = state.open(list(self._watches))
        for fleet in self._fleets:
            for enclave in fleet.enclaves:
                enclave.slot = self._ledger.slots[enclave.name]
            fleet.drain(state.draining())

    def _read_marks(self) -> None:
        last: frozenset[str] | None = None
        while self._state is not None and not self._end.wait(MARKS_SECONDS):
            with contextlib.suppress(OSError):  # what was read last goes on to hold
                names = self._state.draining()
                if names != last:
                    for fleet in self._fleets:
                        fleet.drain(names)
                last = names

    def _describe(self) -> None:
        while not self._end.is_set():
            told = nitro_cli.describe(seconds=COMMAND_SECONDS)
            enclaves = None if told is None else tuple(told)
            self.described = Described(at=time.monotonic(), enclaves=enclaves)
            self._end.wait(DESCRIBE_SECONDS)


class Watch:
    """Pings one enclave again and again, and tells its fleet what came of it."""

    def __init__(self, fleet: Fleet, enclave: Enclave, log: Log, end: threading.Event) -> None:
        self._fleet = fleet
        self._enclave = enclave
        self._log = log
        self._end = end
        self._asked = threading.Event()
        self._news = threading.Condition()
        self._nsm_asked = 0.0

    def run(self) -> None:
        """Look until the end."""
        while not self._end.is_set():
            self._asked.clear()
            try:
                self._look()
            except Exception as exc:  # noqa: BLE001  the edge of the thread: an enclave must not go unwatched
                self._log.event("internal error", what="monitor", error=type(exc).__name__)
            if not self._end.wait(LEAST_SECONDS):
                self._asked.wait(self._pause())

    def ask(self) -> None:
        """Have it looked at soon."""
        self._asked.set()

    def ask_if_older(self, instant: float) -> None:
        """Have it looked at soon, where it was not since `instant`."""
        if not self._is_newer(instant):
            self.ask()

    def wait(self, instant: float, *, until: float) -> None:
        """Return when it was looked at since `instant`, or at `until`."""
        with self._news:
            self._news.wait_for(lambda: self._is_newer(instant), timeout=max(0.0, until - time.monotonic()))

    def _is_newer(self, instant: float) -> bool:
        return self._enclave.seen is not None and self._enclave.seen.at > instant

    def _pause(self) -> float:
        seen, held_until = self._enclave.seen, self._enclave.held_until
        if seen is None or not seen.fit:
            return UNFIT_SECONDS
        left = held_until - time.monotonic()
        return max(0.0, min(left, FIT_SECONDS)) if held_until else FIT_SECONDS

    def _look(self) -> None:
        was = self._enclave.seen
        seen = self._ping()
        self._fleet.saw(self._enclave, seen)
        with self._news:
            self._news.notify_all()
        if (was is None or was.fit) != seen.fit:
            self._log.event("enclave fit" if seen.fit else "enclave unfit", enclave=self._enclave.name, nsm=seen.nsm)
        if seen.fit or seen.nsm in ("failing", "stale"):
            self._ask_nsm(seen)

    def _ping(self) -> Seen:
        began = time.monotonic()
        try:
            said = pong.read(self._enclave.pool.ping(deadline=began + PING_SECONDS))
        except (WireError, NotAPong):
            return Seen(at=time.monotonic())
        now = time.monotonic()
        right = said.service in (None, self._enclave.service.name)
        return Seen(at=now, took_ms=round((now - began) * 1000), pong=said, right_service=right)

    def _ask_nsm(self, seen: Seen) -> None:
        """Have the NSM give a document where it has not for long: its next pong tells what came of it."""
        if seen.pong is None or seen.pong.nsm_failures is None:
            return
        age = seen.pong.nsm_age_ms
        due = age is None or age > IDLE_NSM_MS or seen.pong.nsm_failures > 0
        now = time.monotonic()
        if not due or now - self._nsm_asked < NSM_PAUSE_SECONDS:
            return
        self._nsm_asked = now
        threading.Thread(target=self._ask_identity, name="nsm question", daemon=True).start()  # pings go on meanwhile

    def _ask_identity(self) -> None:
        with contextlib.suppress(WireError):  # the next ping tells what came of it
            self._enclave.pool.ask_apart(QUESTION, deadline=time.monotonic() + NSM_SECONDS)
        self.ask()
