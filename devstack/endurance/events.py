"""What is done to the system while it is asked, and which ends of calls each of these excuses.

One thing at a time, each undone before the next. In the first and last tenth gunicorn is reloaded and a process of it
killed; so its processes live through all the rest, and what they hold can be judged.
"""

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from devstack.endurance import archive
from devstack.endurance.ledger import Ledger
from devstack.endurance.system import Place, System, answers
from devstack.processes import kill, stopped

ERRORS = ("error 502", "error 503", "error 504", "attested")
KEY_GONE = "error 409 sealed.unknown-key"  # clients find out one after another, and each is told so
SOON_SECONDS = 3.0  # until nobody notices any more that something was wrong
HANG_SECONDS = (3.0, 8.0)
OUTAGE_SECONDS = (2.0, 6.0)
SLOW_SECONDS = (1.0, 17.0)  # both sides of what a caller waits for
UPDATE_SECONDS = 60.0
EDGE = 0.1  # of the run, before and after which gunicorn's processes are replaced
UPDATE_AT = 0.4


class Events:
    """Everything that is done. `run` returns when the time is over."""

    def __init__(self, system: System, ledger: Ledger, *, seed: int, seconds: float) -> None:
        self._system, self._ledger = system, ledger
        self._chance = random.Random(seed)  # noqa: S311  chooses events, no secret
        self._seconds = seconds
        self._over = threading.Event()
        self._vies = [0, 1]  # the places of vies that are in use, the one that lives longest first
        self.done: dict[str, int] = {}

    def run(self) -> None:
        """Do one thing after another until the run's time is over."""
        for name, event in self._schedule():
            if self._left() <= 0 or self._over.is_set():
                break
            self.done[name] = self.done.get(name, 0) + 1
            self._ledger.event(name)
            event()
            self._over.wait(min(self._chance.uniform(*self._pause), max(0.0, self._left())))
        self._over.wait(max(0.0, self._left()))

    def stop(self) -> None:
        """Make `run` return soon."""
        self._over.set()

    @property
    def _pause(self) -> tuple[float, float]:
        return (1.0, 3.0) if self._seconds < 600 else (3.0, 12.0)

    def _left(self) -> float:
        return self._ledger.began + self._seconds - time.monotonic()

    def _passed(self) -> float:
        return 1 - self._left() / self._seconds

    def _schedule(self) -> Iterator[tuple[str, Callable[[], None]]]:
        yield "gunicorn is reloaded", self._reload
        while self._passed() < EDGE:
            yield "a gunicorn process is killed", self._kill_server
            yield "gunicorn is reloaded", self._reload
        updated = False
        while self._passed() < 1 - EDGE:
            for each in self._chance.sample(self._middle(), k=len(self._middle())):
                if not updated and self._passed() >= UPDATE_AT:
                    updated = True
                    yield "vies is updated", self._update
                if self._passed() < 1 - EDGE:
                    yield each
        while True:
            yield "a gunicorn process is killed", self._kill_server
            yield "gunicorn is reloaded", self._reload

    def _middle(self) -> list[tuple[str, Callable[[], None]]]:
        hosts = self._system.hosts()

        def outage(way: Callable[[str], AbstractContextManager[None]]) -> Callable[[], None]:
            return lambda: self._outage(way, self._chance.choice(sorted(hosts)))

        return [
            ("one of two enclaves is killed", self._kill_one),
            ("the only enclave of sicae is killed", lambda: self._kill_only("sicae")),
            ("the only enclave of monerium-payment is killed", lambda: self._kill_only("monerium-payment")),
            ("one of two enclaves hangs", lambda: self._hang(("vies", self._vies[1]))),
            ("the only enclave of stripe-payment hangs", lambda: self._hang(("stripe-payment", 0))),
            ("an upstream is away", outage(lambda host: self._system.way(host).closed())),
            ("an upstream is slow", outage(lambda host: self._system.way(host).slow(self._within(SLOW_SECONDS)))),
            ("an upstream's answers are cut", outage(lambda host: self._system.way(host).cut())),
            ("a relay is away", outage(lambda host: self._system.way(host).relay_down())),
        ]

    def _within(self, seconds: tuple[float, float]) -> float:
        return self._chance.uniform(*seconds)

    def _outage(self, way: Callable[[str], AbstractContextManager[None]], host: str) -> None:
        service = self._system.hosts()[host]
        with self._ledger.excusing(service, *ERRORS, after=SOON_SECONDS), way(host):
            self._over.wait(self._within(OUTAGE_SECONDS))

    def _kill_one(self) -> None:
        """What was under way there is lost, and says so; nothing that begins afterwards is."""
        place = ("vies", self._vies[1])
        with self._ledger.excusing("vies", "error 502", KEY_GONE, after=0.5):
            self._system.kill(place)
        self._ledger.excuse("vies", KEY_GONE)
        self._over.wait(self._within(OUTAGE_SECONDS))
        self._system.start(place)

    def _kill_only(self, service: str) -> None:
        self._ledger.excuse(service, KEY_GONE)
        with self._ledger.excusing(service, *ERRORS, after=SOON_SECONDS):
            self._system.kill((service, 0))
            self._over.wait(self._within(OUTAGE_SECONDS))
            self._system.start((service, 0))

    def _hang(self, place: Place) -> None:
        pid = self._system.enclave_pid(place)
        with self._ledger.excusing(place[0], *ERRORS, after=SOON_SECONDS), stopped([pid]):
            self._over.wait(self._within(HANG_SECONDS))

    def _reload(self) -> None:
        """Excuses nothing."""
        before = set(self._system.servers)
        os.kill(self._system.master, signal.SIGHUP)
        self._wait_for("a reload", lambda: not before & set(self._system.servers) and self._is_ready())

    def _kill_server(self) -> None:
        """What it had under way is lost, and its connections are; what it had not stored yet, is not in the archive."""
        pid = self._chance.choice(self._system.servers)
        with (
            self._ledger.excusing(None, "connection", after=0.5),
            self._ledger.excusing(archive.KIND, archive.MISSING, after=0.0),
        ):
            kill([pid])
        self._wait_for("a new process", lambda: pid not in self._system.servers and self._is_ready())

    def _update(self) -> None:
        """As OPERATIONS.md has it: a new enclave, the old one drained until it is idle, and ended. Excuses nothing.

        But for calls that were sealed to a key of the one that ended.
        """
        old, new = self._vies[0], 2
        self._system.start(("vies", new))
        drained = (
            self._system.drain("vies", new, "--undo"),
            self._system.drain("vies", old, "--wait", str(UPDATE_SECONDS)),
        )
        self._ledger.excuse("vies", KEY_GONE)
        ended = self._system.stop(("vies", old))
        self._vies = [new, self._vies[1]]
        if (*drained, ended) != (0, 0, 0):
            self._ledger.complain("update", f"drain and stop ended with {drained}, {ended}")

    def _is_ready(self) -> bool:
        return answers(self._system.url, "/readyz")

    def _wait_for(self, what: str, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + UPDATE_SECONDS
        while not condition():
            if time.monotonic() > end:
                self._ledger.complain("recovery", f"{what} took more than {UPDATE_SECONDS} s")
                return
            self._over.wait(0.2)
