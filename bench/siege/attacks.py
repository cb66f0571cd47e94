"""The attacks: who does what for how long, and what is promised meanwhile."""

from collections.abc import Callable
from dataclasses import dataclass

from bench.siege import tokens
from bench.siege.system import LATENCY_SECONDS, SILENT, SLOW, System

LEAST_GOODPUT = 0.8  # of the peak of the same run
OVERLOAD = 10  # times the peak
CROWD = 400  # connections: more than the 192 threads of the parent
SLOW_PEERS = 800  # so that each process has more than its 96 threads, however unevenly they share them
OPENING = 1.5  # seconds until they are all there
READERS = 400
IDLE = 1000

VIES = "vies"
PLACED = 64  # honest callers where places are what there is to share: as many as a worker's fetches
PROMISED = 12  # of another service: fewer than the 14 threads that each process promises to each of three services

Command = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """`commands` are started with the system and the peak of its honest callers (answers per second), who are `clients`
    that ask `service`. The memory of parent and worker may grow by `most_mib`. `floods`: one command is an open loop at
    the same service, whose good answers count too. `placed`: places are what there is to share, and not the CPU, so
    that goodput is promised as it is. `ramp` are seconds before it counts. `least` is what goodput is promised, None
    for what is only told.
    """

    name: str
    what: str
    commands: Callable[[System, float], list[Command]]
    most_mib: int
    service: str = VIES
    clients: int = 16
    floods: bool = False
    placed: bool = False
    ramp: float = 0.0
    least: float | None = LEAST_GOODPUT


def slow(kind: str, count: int, address: object) -> Command:
    """Return the command of slow peers."""
    return ("bench.siege.slow", kind, str(count), str(address))


def flood(service: str, system: System, peak: float = PLACED / LATENCY_SECONDS) -> Command:
    """Return the command of an open loop; the file of its events is added where it is started."""
    request = str(system.requests[tokens.FLOOD, service])
    rate = f"{OVERLOAD * peak:.0f}"
    return ("bench.siege.callers", "EVENTS", str(system.port), request, str(CROWD), "--rate", rate)


ATTACKS = (
    Attack(
        name="heads",
        what=f"{SLOW_PEERS} heads, a byte a second",
        commands=lambda system, _: [slow("heads", SLOW_PEERS, system.port)],
        most_mib=64,
        ramp=OPENING,
    ),
    Attack(
        name="strangers",
        what=f"{SLOW_PEERS} bodies, a byte every four seconds, no token",
        commands=lambda system, _: [slow("strangers", SLOW_PEERS, system.port)],
        most_mib=64,
        ramp=OPENING,
    ),
    Attack(
        name="bodies",
        what=f"{SLOW_PEERS} bodies, a byte every four seconds, with a token",
        commands=lambda system, _: [slow("bodies", SLOW_PEERS, system.port)],
        most_mib=64,
        ramp=OPENING,
    ),
    Attack(
        name="answers",
        what=f"{READERS} connections that ask for 670 KB without a token and read a byte every five seconds",
        commands=lambda system, _: [slow("answers", READERS, system.port)],
        ramp=4.0,  # what they ask for is served first, and costs what requests cost
        most_mib=64,
    ),
    Attack(
        name="large",
        what="bodies of 10 MiB at 128 KiB/s, with a token",
        commands=lambda system, _: [slow("large", 60, system.port)],
        most_mib=600,  # BODIES_MIB for each of two processes, and what they are read into
    ),
    Attack(
        name="worker",
        what="on the worker's socket: 100 halves of frames, 100 of 16 MiB that drip, 100 that read nothing",
        commands=lambda system, _: [slow(kind, 100, system.socket) for kind in ("half", "announced", "deaf")],
        most_mib=64,
        ramp=3.0,  # the deaf first have as many pings answered as the socket holds, some 30,000 in all
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
        what=f"{OVERLOAD} times the peak to an upstream of {LATENCY_SECONDS:g} s, open loop, {CROWD} connections",
        commands=lambda system, _: [flood(SLOW, system)],
        most_mib=128,
        service=SLOW,
        clients=PLACED,
        floods=True,
        placed=True,
    ),
    Attack(
        name="bulkhead",
        what=f"the same rate to a service whose upstream is silent; honest callers of the one of {LATENCY_SECONDS:g} s",
        commands=lambda system, _: [flood(SILENT, system)],
        most_mib=128,
        service=SLOW,
        clients=PROMISED,
        placed=True,
    ),
    Attack(
        name="saturated",
        what=f"{OVERLOAD} times the peak where the CPU is all there is: goodput is told, and not promised",
        commands=lambda system, peak: [flood(VIES, system, peak)],
        most_mib=128,
        floods=True,
        least=None,
    ),
)
