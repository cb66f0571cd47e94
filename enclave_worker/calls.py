"""The upstream calls of one query: each decided by the policy, each kept for the statement, none beyond the bounds."""

from collections.abc import Callable
from dataclasses import dataclass, field

from enclave_worker.handlers.operation import Ask, Got
from enclave_worker.statement import Exchange
from enclave_worker.upstream.exchange import Answer, Failure
from policy import rules
from policy.errors import NotAllowed
from policy.manifest import Manifest
from policy.operations import Declaration
from policy.rules import Allowed


class CallLost(Exception):
    """No complete answer came to a call; what came instead is the last of the exchanges."""


@dataclass(slots=True, kw_only=True)
class Calls:
    """What one run of a handler may ask, and has asked. Not shared between threads.

    `send` makes one allowed call within the query's time.
    """

    manifest: Manifest
    declaration: Declaration
    sealed: bool
    send: Callable[[Allowed], Answer | Failure]
    exchanges: list[Exchange] = field(default_factory=list)

    @property
    def failure(self) -> Failure | None:
        """The failure that ended the calls; no call follows one."""
        last = self.exchanges[-1][1] if self.exchanges else None
        return last if isinstance(last, Failure) else None

    def fetch(self, ask: Ask) -> Got:
        """Make one call: the `Fetch` that handlers are given.

        Raises:
            Refused: the rules, the operation's hosts or its number of calls do not allow it.
            CallLost: it was made and got no complete answer, or a call before it.
        """
        if self.failure is not None:
            raise CallLost
        allowed = self._decide(ask)
        outcome = self.send(allowed)
        self.exchanges.append((allowed, outcome))
        if isinstance(outcome, Failure):
            raise CallLost
        headers = tuple((name.decode("ascii").lower(), value.decode("latin-1")) for name, value in outcome.headers)
        return Got(status=outcome.status, headers=headers, body=outcome.body)

    def _decide(self, ask: Ask) -> Allowed:
        allowed = rules.decide(
            self.manifest, url=ask.url, method=ask.method, headers=ask.headers, body=ask.body, sealed=self.sealed
        )
        name, host = self.declaration.name, allowed.upstream.host
        if host not in self.declaration.hosts:
            raise NotAllowed("host.not-allowed", f"{name} does not ask {host}")
        if len(self.exchanges) >= self.declaration.max_calls:
            raise NotAllowed("calls.too-many", f"{name} makes at most {self.declaration.max_calls} calls")
        return allowed
