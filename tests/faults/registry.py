"""Every (component, fault) and the one function that brings it about.

A function is given the world and the moment, and is a context: within it, what is wrong is wrong; after it, it is right
again. Where the caller itself is what goes wrong, or a start, the function yields what asks instead of the ordinary
caller, and returns what came of it.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from tests.faults.world import World

Ask = Callable[[], str]
Injector = Callable[[World, str], AbstractContextManager[Ask | None]]
Function = Callable[[World, str], Iterator[Ask | None]]
CallersFunction = Callable[[World, str], str]

INJECTORS: dict[tuple[str, str], Injector] = {}
SELF_ASKING: set[tuple[str, str]] = set()  # those that ask by themselves at every moment
TWO_ENCLAVES = "one of two enclaves"  # of sicae; everything else is done to vies


def fault(component: str, name: str) -> Callable[[Function], Function]:
    """Register a function as the way to this fault."""

    def register(function: Function) -> Function:
        _add(component, name, contextmanager(function))
        return function

    return register


def caller(name: str) -> Callable[[CallersFunction], CallersFunction]:
    """Register a function that is a caller which does something wrong, and returns what it hears."""

    def register(function: CallersFunction) -> CallersFunction:
        @contextmanager
        def whole(world: World, moment: str) -> Iterator[Ask | None]:
            yield lambda: function(world, moment)

        _add("caller", name, whole)
        SELF_ASKING.add(("caller", name))
        return function

    return register


def victim_of(component: str) -> str:
    """Return the service whose caller is disturbed."""
    return "sicae" if component == TWO_ENCLAVES else "vies"


def _add(component: str, name: str, injector: Injector) -> None:
    if (component, name) in INJECTORS:
        raise ValueError(f"there are two ways to {component}: {name}")
    INJECTORS[component, name] = injector
