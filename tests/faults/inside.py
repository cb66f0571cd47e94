"""What goes wrong inside: the NSM, the clocks, the session's document."""

from collections.abc import Callable, Iterator

from devstack.steering import NSM_FAULTS, Steered
from tests.faults.registry import TWO_ENCLAVES, Ask, fault
from tests.faults.world import World, wait_until

PLACE = ("vies", 0)
FIRST_OF_TWO = ("sicae", 0)
HOUR = 3600.0
DAY = 24 * HOUR


def _nsm(name: str) -> None:
    def break_nsm(world: World, _: str) -> Iterator[Ask | None]:
        world.steer(PLACE, Steered(nsm=name))
        yield None
        world.steer(PLACE, Steered())

    fault("NSM", name)(break_nsm)


def _nsm_of_session(name: str) -> None:
    def break_nsm(world: World, _: str) -> Iterator[Ask | None]:
        world.steer(PLACE, Steered(nsm=name))
        yield lambda: world.ask(mode="session")
        world.steer(PLACE, Steered())

    fault("NSM, with a session's document", name)(break_nsm)


for _name in NSM_FAULTS:
    _nsm(_name)
for _name in ("error", "hang"):
    _nsm_of_session(_name)


@fault(TWO_ENCLAVES, "NSM fails")
def break_one_nsm(world: World, _: str) -> Iterator[Ask | None]:
    """Its NSM gives no documents; after three failures nobody is sent there."""
    world.steer(FIRST_OF_TWO, Steered(nsm="error"))

    def ended() -> set[str]:
        return {world.ask(victim="sicae") for _ in range(8)}

    wait_until("it is asked", lambda: "refused 502" in ended())
    wait_until("it is left out", lambda: ended() == {"verified"})
    yield None
    world.steer(FIRST_OF_TWO, Steered())
    # It is asked for a document each ten seconds, and comes back with the first.
    wait_until("all is well again", lambda: world.is_whole() and ended() == {"verified"})


@fault("NSM, with a session's document", "restarted without one")
def break_nsm_before_any_document(world: World, _: str) -> Iterator[Ask | None]:
    """A new enclave, which has no session's document yet, and an NSM that gives none."""
    world.steer(PLACE, Steered(nsm="error"))
    world.kill(PLACE)
    world.start(PLACE)
    yield lambda: world.ask(mode="session")
    world.steer(PLACE, Steered())


def _clock(component: str, name: str, make: Callable[[], Steered], *, mode: str = "document") -> None:
    def shift(world: World, _: str) -> Iterator[Ask | None]:
        world.steer(PLACE, make())
        yield (lambda: world.ask(mode=mode)) if mode != "document" else None
        world.steer(PLACE, Steered())

    fault(component, name)(shift)


_clock("enclave's clock", "an hour ahead", lambda: Steered(ahead=HOUR))
_clock("enclave's clock", "an hour behind", lambda: Steered(ahead=-HOUR))
_clock("enclave's clock", "a few seconds off", lambda: Steered(ahead=4.0))
_clock("enclave's clock", "an hour ahead, session mode", lambda: Steered(ahead=HOUR), mode="session")
_clock("NSM's clock", "an hour ahead", lambda: Steered(nsm_ahead=HOUR))
_clock("NSM's clock", "an hour behind", lambda: Steered(nsm_ahead=-HOUR))
_clock("both clocks of the enclave", "an hour behind", lambda: Steered(ahead=-HOUR, nsm_ahead=-HOUR))
_clock("both clocks of the enclave", "an hour ahead", lambda: Steered(ahead=HOUR, nsm_ahead=HOUR))


def _host_clock(name: str, ahead: float) -> None:
    def shift(world: World, _: str) -> Iterator[Ask | None]:
        world.set_parents_clock(ahead)
        yield None
        world.set_parents_clock(0.0)

    fault("host's clock", name)(shift)


_host_clock("a day ahead", DAY)
_host_clock("a day behind", -DAY)


@fault("session's document", "its leaf expires")
def leaf_expires(world: World, _: str) -> Iterator[Ask | None]:
    """Four hours pass for enclave, NSM and verifier: the old document's leaf lives three."""
    passed = Steered(ahead=4 * HOUR, nsm_ahead=4 * HOUR)
    if world.ask(mode="session") != "verified":
        raise RuntimeError("no session")
    world.steer(PLACE, passed)
    yield lambda: world.ask(mode="session", ahead=passed.ahead)
    world.steer(PLACE, Steered())


@fault("session's document", "verified when its leaf has expired")
def leaf_expired(world: World, _: str) -> Iterator[Ask | None]:
    """The answer is from now; whoever verifies it looks four hours later, in live time."""
    yield lambda: world.ask(mode="session", ahead=4 * HOUR)
