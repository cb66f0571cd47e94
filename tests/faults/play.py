"""Plays one row: breaks something, asks, looks at the others, mends it, asks again, and counts what is left behind."""

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from devstack.endurance.calls import Connection
from tests.faults import callers, hosts, inside, processes, ways
from tests.faults.matrix import NEXT, Row
from tests.faults.registry import INJECTORS, SELF_ASKING, victim_of
from tests.faults.world import World

WAYS_TO_BREAK = (callers, hosts, inside, processes, ways)  # importing them is what fills the registry
SETTLE_SECONDS = 8.0  # for what a fault left open to be closed again
NEIGHBOUR_SECONDS = 5.0
PAUSE_SECONDS = 0.05
SOON_SECONDS = 0.3
REPEATS = 12
NEVER = ("WRONG", "UNTYPED", "LOST", "CRASHED")
NOT_IN_A_LOG = ("Traceback", "internal error", "internal_error")


@dataclass
class Neighbour(threading.Thread):
    """An undisturbed caller of one service, who asks again and again on connections of its own."""

    world: World
    service: str
    ends: list[tuple[float, str]] = field(default_factory=list)  # when each question began, and how it ended

    def __post_init__(self) -> None:
        super().__init__(name=f"beside {self.service}", daemon=True)
        self._stopping = threading.Event()

    __hash__ = threading.Thread.__hash__

    def run(self) -> None:
        """Ask."""
        connection = Connection(self.world.port)
        while not self._stopping.wait(PAUSE_SECONDS):
            began = time.monotonic()
            try:
                ended = self.world.ask(connection, question=self.world.beside(self.service))
            except Exception as exc:  # noqa: BLE001  whatever it is, it may not be
                ended = f"CRASHED: {exc!r:.300}"
            self.ends.append((began, ended))
        connection.close()

    def stop(self) -> None:
        """Ask no more."""
        self._stopping.set()
        self.join()

    def served_since(self, instant: float) -> bool:
        """Whether a question that began after this was answered."""
        return any(began >= instant and ended == "verified" for began, ended in self.ends)


@dataclass
class Seen:
    """What came of a row."""

    caller: str = ""
    seconds: float = 0.0
    since: float = 0.0  # when it was so that something was wrong
    until: float = float("inf")  # and no more
    problems: list[str] = field(default_factory=list)


def play(row: Row, world: World) -> list[str]:
    """Return what was not as promised."""
    seen = Seen()
    sizes = {path: path.stat().st_size for path in world.logs.glob("*.log")}
    victim = victim_of(row.component)
    neighbours = {service: Neighbour(world, service) for service in ("vies", "sicae")}
    for each in neighbours.values():
        each.start()
    try:
        _wait_for(neighbours.values())  # they have begun, with all that this takes, before anything is wrong
        _disturb(row, world, seen, neighbours, victim)
        _go_on(row, world, seen, victim)
    finally:
        for each in neighbours.values():
            each.stop()
    if seen.caller != row.caller:
        seen.problems.append(f"the caller saw {seen.caller!r}, promised was {row.caller!r}")
    if seen.seconds > row.bound:
        seen.problems.append(f"after {seen.seconds:.1f} s, promised were {row.bound}")
    for service, each in neighbours.items():
        same = service == victim
        seen.problems += [f"a caller of {service}: {problem}" for problem in _beside(row, each, seen, same=same)]
    seen.problems += _left_behind(world)
    seen.problems += _logged(world, sizes)
    return seen.problems


def _disturb(row: Row, world: World, seen: Seen, neighbours: dict[str, Neighbour], victim: str) -> None:
    world.connection.close()

    def ask() -> str:
        return world.ask(victim=victim)

    if row.moment == "after the answer" and (row.component, row.fault) not in SELF_ASKING:
        first = ask()
        if first != "verified":
            seen.problems.append(f"the first answer was {first!r}")
    if row.moment == "while waiting" and not _asks_itself(row):
        with world.held(victim) as held, _asking(seen, ask) as asking:
            held.wait()
            with _broken(row, world, seen, neighbours, victim):
                held.go_on()
                asking.join()
        return
    with _broken(row, world, seen, neighbours, victim) as own:
        posted = world.posted
        with _asking(seen, own or ask) as asking:
            asking.join()
        if world.posted > posted + 1:
            seen.problems.append("one question reached the upstream twice")
        seen.problems += _ask_again(row, seen, own or ask)


@contextlib.contextmanager
def _broken(
    row: Row, world: World, seen: Seen, neighbours: dict[str, Neighbour], victim: str
) -> Iterator[Callable[[], str] | None]:
    """What the row breaks is broken, until those who are to be served meanwhile have had the time to ask once."""
    with INJECTORS[row.component, row.fault](world, row.moment) as own:
        seen.since = time.monotonic()
        yield own
        if row.others != "out":
            victims = (victim,) if row.others == "other services served" else ()
            _wait_for(each for name, each in neighbours.items() if name not in victims)
        seen.until = time.monotonic()


def _ask_again(row: Row, seen: Seen, ask: Callable[[], str]) -> Iterator[str]:
    """Ask again and again, where an error comes soon: it is the same each time, and what one leaves behind adds up."""
    if row.caller == "verified" or row.moment == "at start" or seen.seconds > SOON_SECONDS:
        return
    for _ in range(REPEATS):
        ended = ask()
        if ended != seen.caller:
            yield f"asked again, the caller saw {ended!r}"


def _asks_itself(row: Row) -> bool:
    return (row.component, row.fault) in SELF_ASKING or (row.component, row.fault, row.moment) in _AT_ONCE


_AT_ONCE = {("upstream", name, moment) for name, moment in ways.SCRIPTS}  # whose waiting is in the script


@contextlib.contextmanager
def _asking(seen: Seen, ask: Callable[[], str]) -> Iterator[threading.Thread]:
    def work() -> None:
        began = time.monotonic()
        try:
            seen.caller = ask()
        except Exception as exc:  # noqa: BLE001  carried over to the problems
            seen.caller = f"CRASHED: {exc!r:.300}"
        seen.seconds = time.monotonic() - began

    thread = threading.Thread(target=work, name="disturbed")
    thread.start()
    try:
        yield thread
    finally:
        thread.join()


def _wait_for(wanted: Iterable[Neighbour]) -> None:
    """Return when each of these has asked and been served, or after a while."""
    since, waiting = time.monotonic(), list(wanted)
    while not all(each.served_since(since) for each in waiting) and time.monotonic() < since + NEIGHBOUR_SECONDS:
        time.sleep(0.02)


def _go_on(row: Row, world: World, seen: Seen, victim: str) -> None:
    """Ask again, now that nothing is wrong any more."""
    end = time.monotonic() + NEXT[row.next]
    ended = world.ask(victim=victim)
    while ended != "verified" and time.monotonic() < end:
        time.sleep(0.1)
        ended = world.ask(victim=victim)
    if ended != "verified":
        seen.problems.append(f"the next question, {row.next}, ended as {ended!r}")


def _beside(row: Row, neighbour: Neighbour, seen: Seen, *, same: bool) -> Iterator[str]:
    """Yield what an undisturbed caller may not have seen; of a start, only what was asked after it."""
    meanwhile = [ended for began, ended in neighbour.ends if seen.since <= began < seen.until]
    ends = meanwhile if row.moment == "at start" else [ended for _, ended in neighbour.ends]
    yield from (ended for ended in ends if ended.startswith(NEVER))
    if row.others == "out" or (row.others == "other services served" and same):
        return
    if "verified" not in meanwhile:
        yield "was never served meanwhile"
    bad = [ended for ended in ends if ended != "verified"]
    if row.others == "served at a second try":
        again = list(itertools.pairwise(ends))
        yield from (f"twice in a row {first!r}" for first, second in again if "verified" not in (first, second))
        return
    yield from bad


def _left_behind(world: World) -> list[str]:
    end = time.monotonic() + SETTLE_SECONDS
    while (problems := world.leaks()) and time.monotonic() < end:
        time.sleep(0.1)
    return problems


def _logged(world: World, sizes: dict[object, int]) -> Iterator[str]:
    """Yield what no log may hold, in what was written meanwhile."""
    for path in world.logs.glob("*.log"):
        with path.open("rb") as file:
            file.seek(sizes.get(path, 0))
            text = file.read().decode(errors="replace")
        for word in (*NOT_IN_A_LOG, *world.secrets):
            if word in text:
                line = next(line for line in text.splitlines() if word in line)
                yield f"{path.name} has {word!r}: {line[:300]}"
