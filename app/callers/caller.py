"""A caller: a name, what it may ask, and how much."""

from dataclasses import dataclass, field

from app.archive.access import SCOPE as ARCHIVE
from app.errors import ApiError
from app.limits.values import Limits

FETCH = "fetch"  # every question to an enclave
METRICS = "metrics"
SCOPES = (FETCH, METRICS, ARCHIVE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Somebody who may ask. `name` may be logged.

    `services` are the services that may be asked (None: all). `expires` is the Unix time from which the caller is
    refused.
    """

    name: str
    services: frozenset[str] | None = None
    scopes: frozenset[str] = frozenset({FETCH})
    limits: Limits = field(default_factory=Limits)
    expires: float | None = None

    def check_service(self, service: str) -> None:
        """Raises ApiError: 403, the caller may not ask this service."""
        if self.services is not None and service not in self.services:
            raise ApiError(403, "service.not-allowed", "This caller may not use this service")

    def check_scope(self, scope: str | None) -> None:
        """Raises ApiError: 403, the caller may not ask such questions (None: everybody may)."""
        if scope is not None and scope not in self.scopes:
            raise ApiError(403, "scope.not-allowed", f"This caller lacks the scope {scope!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A client's certificate that was checked: SHA-256 of its DER (32 bytes), and its subjectAltNames, `DNS:a.test`."""

    digest: bytes
    names: frozenset[str] = frozenset()
