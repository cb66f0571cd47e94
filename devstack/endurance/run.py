"""One run: a system, clients, events and a watch over its processes, together, and then apart in order."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import requests
from prometheus_client.parser import text_string_to_metric_families

from devstack.endurance.calls import AUTHORIZATION
from devstack.endurance.client import Client
from devstack.endurance.events import Events
from devstack.endurance.invented import Numbers
from devstack.endurance.ledger import Ledger
from devstack.endurance.memory import Watch
from devstack.endurance.system import System
from devstack.endurance.verifying import Verifier

LOOK_SECONDS = 10.0
REST_SECONDS = 5.0  # after the load, before the last look
ATTEMPTS = "tytle_requests_total"
SCRAPE = "metrics scrape"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How long, how many clients, and what the choices follow from. Without `events` nothing happens to the system."""

    seconds: float
    clients: int = 8
    seed: int = 1
    events: bool = True
    output: Path


@dataclass(kw_only=True)
class Figures:
    """What came of a run."""

    options: Options
    ledger: Ledger
    watch: Watch
    done: dict[str, int] = field(default_factory=dict)
    counted: float = 0.0  # requests, by the parent's own metrics

    def problems(self) -> list[str]:
        """Say which rules were broken, each with a number."""
        found = [f"{number} x {outcome}" for outcome, number in sorted(self.ledger.broken.items())]
        for life in self.watch.lives.values():
            found += [f"{life.name} (process {life.pid}) {problem}" for problem in life.problems()]
        silent = {kind for kind, _ in self.ledger.ends} - {
            kind for kind, outcome in self.ledger.ends if outcome.startswith(("verified", "refused"))
        }
        return found + [f"no {kind} ended well" for kind in sorted(silent)]


def run(options: Options) -> Figures:
    """Start everything, let it run for its time, and stop it. Raises: RuntimeError where the system does not start."""
    with System(options.output) as system:
        ledger = Ledger()
        figures = Figures(options=options, ledger=ledger, watch=Watch(ledger))
        _look(system, figures)
        verifier, numbers, over = Verifier(system), Numbers(), threading.Event()
        clients = [
            Client(
                system, ledger=ledger, verifier=verifier, numbers=numbers, seed=f"{options.seed}.{number}", stop=over
            )
            for number in range(options.clients)
        ]
        watch = _every(_look_seconds(options), over, lambda: _look(system, figures))
        for thread in (*clients, watch):
            thread.start()
        try:
            _happen(system, figures)
        finally:
            over.set()
            for thread in (*clients, watch):
                thread.join()
        time.sleep(min(REST_SECONDS, options.seconds / 10))
        _look(system, figures)
        return figures


def _happen(system: System, figures: Figures) -> None:
    options = figures.options
    if not options.events:
        time.sleep(options.seconds)
        return
    events = Events(system, figures.ledger, seed=options.seed, seconds=options.seconds)
    events.run()
    figures.done = events.done


def _look_seconds(options: Options) -> float:
    return min(LOOK_SECONDS, options.seconds / 20)


def _every(seconds: float, over: threading.Event, work: Callable[[], None]) -> threading.Thread:
    def go_on() -> None:
        while not over.wait(seconds):
            work()

    return threading.Thread(target=go_on, name="watch")


def _look(system: System, figures: Figures) -> None:
    """Look at the processes, at /health and at /metrics."""
    figures.watch.look(system.processes)
    began = time.monotonic()
    try:
        counted = scrape(system)
    except (requests.RequestException, ValueError) as exc:
        ends = "connection" if isinstance(exc, requests.ConnectionError) else "UNTYPED"
        figures.ledger.end(SCRAPE, SCRAPE, f"{ends} {type(exc).__name__}", began=began, text=str(exc))
        return
    if counted < figures.counted:
        figures.ledger.complain("counters", f"{ATTEMPTS} went from {figures.counted} to {counted}")
    figures.counted = counted
    figures.ledger.end(SCRAPE, SCRAPE, "verified", began=began)


def scrape(system: System) -> float:
    """Return how many requests the parent has counted. Raises: RequestException, ValueError."""
    health = requests.get(f"{system.url}/health", timeout=20)
    if health.status_code not in (200, 503) or "enclaves" not in health.json():
        raise ValueError(f"/health: {health.status_code}")
    page = requests.get(f"{system.url}/metrics", headers=AUTHORIZATION, timeout=20)
    page.raise_for_status()
    families = text_string_to_metric_families(page.text)
    return sum(each.value for family in families for each in family.samples if each.name == ATTEMPTS)
