"""The settings of the gate: who is admitted, and how much of everything."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from app.callers.proof import Proxies
from app.callers.registry import Callers
from app.limits.values import Limits

DEFAULT_BODY_MIB = 256  # per process: 12 bodies of the largest size that is read


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """`callers` None: everybody who reaches the parent may ask. `limits` are those of a service on this host, beside
    its places; `body_bytes` is how much of request bodies one process holds at once.
    """

    callers: Callers | None = None
    proxies: Proxies = field(default_factory=Proxies)
    limits: Mapping[str, Limits] = field(default_factory=dict)
    body_bytes: int = DEFAULT_BODY_MIB * 1024 * 1024
