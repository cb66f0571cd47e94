"""How long each phase of a fetch may take. The caller's own deadline always wins when it is earlier."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Phases:
    """Seconds: `connect` to the proxy, `tls` for the handshake, `first_byte` of the response after the request."""

    connect: float = 5.0
    tls: float = 5.0
    first_byte: float = 20.0


DEFAULT_PHASES = Phases()
