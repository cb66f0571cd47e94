"""Where the parent may listen: without callers, where nobody from outside can reach it."""

from collections.abc import Iterable
from ipaddress import ip_address

WHY = (
    "can be reached by others, and nothing says who may ask: anybody could use the enclaves, and every account that "
    "they reach. Set TOKENS_FILE (`python -m app.tokens new NAME` makes an entry), or BIND to 127.0.0.1 or unix:PATH"
)


class OpenToAnybody(Exception):
    """The parent would serve callers that nobody knows."""

    advice = "Set TOKENS_FILE, or bind to loopback or a unix socket."


def check(names: Iterable[object], *, callers: bool) -> None:
    """Check what listens, whichever setting made it do so. `names` are those of the listening sockets.

    Raises:
        OpenToAnybody: an address is no loopback and no unix socket, and there are no callers.
    """
    if callers:
        return
    for name in names:
        if not is_local(name):
            raise OpenToAnybody(f"{name!r} {WHY}")


def is_local(name: object) -> bool:
    """Whether only this host can reach a socket of this name: (host, port, ...) for IP, a path for unix."""
    if isinstance(name, str | bytes):
        return True
    try:
        return isinstance(name, tuple) and ip_address(name[0]).is_loopback
    except ValueError:
        return False
