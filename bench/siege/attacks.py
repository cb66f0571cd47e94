"""The attacks: who does what for how long, and what is promised meanwhile."""

from collections.abc import Callable
from dataclasses import dataclass

from bench.siege.system import System

LEAST_GOODPUT = 0.8  # of the peak of the same run
OVERLOAD = 10  # times the peak
CROWD = 400  # connections: more than the 192 threads of the parent
IDLE = 1000

Command = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """`commands` are started with the system and its peak (answers per second); `most_mib` may the memory of parent and
    worker grow. `floods`: one of the commands is an open loop, whose good answers count too.
    """

    name: str
    what: str
    commands: Callable[[System, float], list[Command]]
    most_mib: int
    floods: bool = False


def slow(kind: str, count: int, address: object) -> Command:
    """Return the command of slow peers."""
    return ("bench.siege.slow", kind, str(count), str(address))


def flood(request: object, system: System, rate: float) -> Command:
    """Return the command of an open loop; the file of its events is added where it is started."""
    return ("bench.siege.callers", "EVENTS", str(system.port), str(request), str(CROWD), "--rate", f"{rate:.0f}")


ATTACKS = (
    Attack(
        name="heads",
        what=f"{CROWD} heads, a byte a second",
        commands=lambda system, _: [slow("heads", CROWD, system.port)],
        most_mib=64,
    ),
    Attack(
        name="strangers",
        what=f"{CROWD} bodies, a byte a second, no token",
        commands=lambda system, _: [slow("strangers", CROWD, system.port)],
        most_mib=64,
    ),
    Attack(
        name="bodies",
        what=f"{CROWD} bodies, a byte a second, with a token",
        commands=lambda system, _: [slow("bodies", CROWD, system.port)],
        most_mib=64,
    ),
    Attack(
        name="answers",
        what=f"{CROWD} readers of a byte a second",
        commands=lambda system, _: [slow("answers", CROWD, system.port)],
        most_mib=64,
    ),
    Attack(
        name="large",
        what="bodies of 10 MiB at 128 KiB/s, with a token",
        commands=lambda system, _: [slow("large", 100, system.port)],
        most_mib=600,  # BODIES_MIB for each of two processes, and what they are read into
    ),
    Attack(
        name="worker",
        what="on the worker's socket: 100 halves of frames, 100 of 16 MiB that drip, 100 that read nothing",
        commands=lambda system, _: [slow(kind, 100, system.socket) for kind in ("half", "announced", "deaf")],
        most_mib=64,
    ),
    Attack(
        name="idle",
        what=f"{IDLE} idle connections to the parent, {IDLE} to the worker",
        commands=lambda system, _: [
            slow("idle", IDLE // 2, system.port),
            slow("kept", IDLE // 2, system.port),
            slow("idle", IDLE, system.socket),
        ],
        most_mib=96,
    ),
    Attack(
        name="overload",
        what=f"{OVERLOAD} times the peak, open loop, {CROWD} connections",
        commands=lambda system, peak: [flood(system.flood, system, OVERLOAD * peak)],
        most_mib=128,
        floods=True,
    ),
    Attack(
        name="bulkhead",
        what=f"{OVERLOAD} times the peak to a service whose upstream is silent, {CROWD} connections",
        commands=lambda system, peak: [flood(system.silent_flood, system, OVERLOAD * peak)],
        most_mib=128,
    ),
)
