"""What goes wrong on the ways: link between parent and enclave, relay to the upstream, upstream, its certificate."""

import contextlib
import datetime as dt
import functools
import time
from collections.abc import Iterator
from dataclasses import replace

from devstack import trouble, vies
from devstack.relay import Pump, Relay
from devstack.tls_pki import Profile
from devstack.tls_variants import server_context
from tests.faults import wires
from tests.faults.registry import Ask, fault
from tests.faults.wires import Tap, after, troubled
from tests.faults.world import World
from tests.hostile.actions import CloseNotify, Cut, Drip, Flood, ReadRequest, Reset, Script, Send
from tests.hostile.server import HostileServer

PLACE = ("vies", 0)
SHORT_LIVED_SECONDS = 2.5
BYTES_BEFORE = {  # how many bytes pass before it goes wrong
    "while connecting": 0,
    "half of the request out": 6_000,
    "half of the answer in": 8_000,
}


def pumps(moment: str, then: wires.Then) -> dict[str, Pump]:
    """Return where in a connection something happens: on its way up, or down."""
    direction = "down" if moment == "half of the answer in" else "up"
    return {direction: after(BYTES_BEFORE[moment], then)}


def on_both(name: str, then: wires.Then) -> None:
    """Register what goes wrong with bytes, on link and relay alike."""

    def of_link(world: World, moment: str) -> Iterator[Ask | None]:
        with happens(world.links[PLACE], moment, then):
            yield None

    def of_relay(world: World, moment: str) -> Iterator[Ask | None]:
        with happens(world.relay(), moment, then):
            yield None

    fault("link to the enclave", name)(of_link)
    fault("relay to the upstream", name)(of_relay)


@contextlib.contextmanager
def happens(relay: Relay, moment: str, then: wires.Then) -> Iterator[None]:
    """It happens at this moment of every connection."""
    if moment in ("while waiting", "after the answer"):
        relay.cut()
        yield
        return
    with troubled(relay, **pumps(moment, then)):
        yield


on_both("cut", wires.cut)
on_both("reset", wires.reset)
on_both("stalls", wires.stall)
on_both("half-close", wires.half_close)
on_both("slow drip", wires.SLOW_DRIP)
on_both("quick drip", wires.QUICK_DRIP)
on_both("a little late", wires.LITTLE_LATE)


@fault("link to the enclave", "garbage")
def garbage_on_the_link(world: World, moment: str) -> Iterator[Ask | None]:
    """Bytes that no enclave sent, in the place of its answer, within it, or behind it."""
    link = world.links[PLACE]
    if moment == "after the answer":
        if isinstance(link.down, Tap):
            link.down.send(wires.GARBAGE)
        yield None
        return
    with troubled(link, down=_garbage(moment)):
        yield None


@fault("link to the enclave", "one letter changed")
def changed_on_the_link(world: World, _: str) -> Iterator[Ask | None]:
    """A letter in the midst of the first answer on each connection."""
    link = world.links[PLACE]

    def ask() -> str:
        link.cut()
        return world.ask()

    with troubled(link, down=after(BYTES_BEFORE["half of the answer in"], wires.flip)):
        yield ask


@fault("relay to the upstream", "garbage")
def garbage_on_the_relay(world: World, moment: str) -> Iterator[Ask | None]:
    """Bytes that no upstream sent, in the place of its handshake or within its answer."""
    with troubled(world.relay(), down=_garbage(moment)):
        yield None


def _garbage(moment: str) -> Pump:
    then = wires.garbage if moment == "while connecting" else wires.scramble
    return after(BYTES_BEFORE[moment], then)


@fault("link to the enclave", "down")
def link_down(world: World, _: str) -> Iterator[Ask | None]:
    """Nobody listens; connections have ended."""
    world.links[PLACE].stop()
    yield None
    world.links[PLACE] = world.new_link(PLACE)


@fault("relay to the upstream", "down")
def relay_down(world: World, moment: str) -> Iterator[Ask | None]:
    """Nobody listens; connections have ended. At a start: of the enclave."""
    with world.way(vies.HOST).relay_down():
        if moment == "at start":
            world.kill(PLACE)
            world.start(PLACE)
        yield None


# --- the upstream


@fault("upstream", "down")
def upstream_down(world: World, _: str) -> Iterator[Ask | None]:
    """Nobody listens, and its connections have ended: the relay accepts and then has nobody."""
    with world.way(vies.HOST).closed():
        yield None


@fault("upstream", "hangs")
def upstream_hangs(world: World, _: str) -> Iterator[Ask | None]:
    """It reads requests and answers none."""
    with world.stand_ins[vies.HOST].holding():
        yield None


@fault("upstream", "slow")
def upstream_slow(world: World, _: str) -> Iterator[Ask | None]:
    """It answers after 0.8 s."""
    with world.way(vies.HOST).slow(0.8):
        yield None


@fault("upstream", "answers 503")
def upstream_refuses(world: World, _: str) -> Iterator[Ask | None]:
    """A page of the machine in front of it: a true answer, attested as such."""
    stand_in = world.stand_ins[vies.HOST]
    stand_in.trouble = trouble.page(503)

    def is_the_page(verified: object) -> None:
        response = verified.response  # type: ignore[attr-defined]
        if (response.status, verified.body) != (503, trouble.MAINTENANCE):  # type: ignore[attr-defined]
            raise ValueError("not the page")

    yield lambda: world.ask(question=replace(world.question(), check=is_the_page))
    stand_in.trouble = None


@contextlib.contextmanager
def replaced(world: World, script: Script, *, variant: str = "good") -> Iterator[None]:
    """Another server in the upstream's place, that plays this script on every connection."""
    relay = world.relay()
    right = relay.target
    with HostileServer(server_context(world.authority, vies.HOST, variant=variant)) as server:
        server.load(script)
        relay.target = server.address
        relay.cut()
        yield
        relay.target = right
        relay.cut()


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
PART = HEAD + b"Content-Length: 20000\r\n\r\n" + b"x" * 9_000
WHOLE = HEAD + b"Content-Length: 5\r\n\r\nhello"
SCRIPTS: dict[tuple[str, str], Script] = {
    ("cut", "half of the answer in"): (ReadRequest(), Send(PART), Cut()),
    ("closed", "half of the answer in"): (ReadRequest(), Send(PART), CloseNotify()),
    ("reset", "while waiting"): (ReadRequest(), Reset()),
    ("stalls", "half of the answer in"): (ReadRequest(), Send(PART)),
    ("slow drip", "half of the answer in"): (ReadRequest(), Drip(PART, delay=0.02, size=8)),
    ("garbage", "while waiting"): (ReadRequest(), Send(bytes(range(256)) * 8), CloseNotify()),
    ("garbage", "half of the answer in"): (
        ReadRequest(),
        Send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nnot a size\r\n"),
        CloseNotify(),
    ),
    ("two lengths", "half of the answer in"): (
        ReadRequest(),
        Send(HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"),
        CloseNotify(),
    ),
    ("floods", "half of the answer in"): (
        ReadRequest(),
        Send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n"),
        Flood(b"4000\r\n" + b"x" * 0x4000 + b"\r\n"),
    ),
}


def _scripted(name: str) -> None:
    def play(world: World, moment: str) -> Iterator[Ask | None]:
        with replaced(world, SCRIPTS[name, moment]):
            yield functools.partial(world.ask)

    fault("upstream", name)(play)


for _name in sorted({name for name, _ in SCRIPTS}):
    _scripted(_name)


@fault("upstream", "closes kept connections")
def upstream_closes(world: World, _: str) -> Iterator[Ask | None]:
    """It ends the connections on which it has answered."""
    world.way(vies.HOST).relay.cut()
    yield None


# --- its certificate


def _certificate(name: str, variant: str) -> None:
    def present(world: World, _: str) -> Iterator[Ask | None]:
        with replaced(world, (ReadRequest(), Send(WHOLE)), variant=variant):
            yield None

    fault("upstream's certificate", name)(present)


_certificate("expired", "expired")
_certificate("not yet valid", "not-yet-valid")
_certificate("of another name", "wrong-name")
_certificate("of another authority", "other-ca")


@fault("upstream's certificate", "expires")
def certificate_expires(world: World, _: str) -> Iterator[Ask | None]:
    """It was valid when the enclave connected; later the connection ends, and another is made."""
    relay, right = world.relay(), world.relay().target
    context = world.authority.sign(_short(world)).context()
    with HostileServer(context) as server:
        server.load((ReadRequest(), Cut()))
        relay.target = server.address
        relay.cut()
        began = time.monotonic()
        if world.ask() != "attested truncated":  # it was trusted: only what came was wrong
            raise RuntimeError("a certificate that is still valid was not trusted")
        time.sleep(max(0.0, began + SHORT_LIVED_SECONDS - time.monotonic()))
        yield None
        relay.target = right
        relay.cut()


def _short(world: World) -> Profile:
    until = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=SHORT_LIVED_SECONDS)
    return replace(world.authority.profile(vies.HOST), not_after=until)
