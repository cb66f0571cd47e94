"""Whom to seal to: an identity is asked for, verified, kept while its key lasts, and asked for again.

Safe between threads: one question is under way at a time, and who waited for it takes its answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from threading import Lock

from tytle_verifier.chain import LinkCache
from tytle_verifier.errors import IdentityBusy, PolicyError
from tytle_verifier.policy import Policy
from tytle_verifier.roots import AWS_ROOT, Root
from tytle_verifier.sealed.envelope import SealedCall, seal
from tytle_verifier.sealed.verification import VerifiedIdentity, verify_identity
from tytle_verifier.when import Live, Time

CHALLENGE_BYTES = 32
MAX_IDENTITY_AGE = timedelta(hours=1)  # ours: as long as an enclave uses one key
_SERVICE = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")  # what an enclave can be called, up to 32 of these

Ask = Callable[[bytes], bytes]


class Identities:
    """The verified identity of one service's enclave, as long as it is good.

    It is good until its `until`, and for an hour after its document was signed at most. `clock` must give live time;
    `random` makes the challenges (32 bytes). Raises: PolicyError for any other time, or a service with no such name.
    """

    def __init__(
        self, *, policy: Policy, clock: Callable[[], Time], random: Callable[[int], bytes], root: Root = AWS_ROOT
    ) -> None:
        if not _SERVICE.fullmatch(policy.service) or len(policy.service) > 32:
            raise PolicyError(f"no enclave can be called {policy.service!r}")
        self._policy, self._root = policy, root
        self._clock, self._random = clock, random
        self._links = LinkCache()
        self._kept: VerifiedIdentity | None = None
        self._keeping, self._asking = Lock(), Lock()
        self._time()

    def current(self, ask: Ask, *, patience_seconds: float | None = None) -> VerifiedIdentity:
        """Return an identity that is good now; where none is kept, `ask` fetches the reply for a challenge.

        At most `patience_seconds` (None: any time) are spent waiting for another thread's question. Raises:
        VerificationError, IdentityBusy, and whatever `ask` raises.
        """
        kept = self._good()
        if kept is not None:
            return kept
        if not self._asking.acquire(timeout=-1 if patience_seconds is None else patience_seconds):
            raise IdentityBusy(f"waited {patience_seconds} s for another thread's question for the identity")
        try:
            return self._good() or self._asked(ask)
        finally:
            self._asking.release()

    def seal(self, call: bytes, *, ask: Ask, patience_seconds: float | None = None) -> SealedCall:
        """Seal the JSON of one `POST /attest/fetch` or `/attest/query` to the current identity.

        Raises: as `current` and `seal` do.
        """
        identity = self.current(ask, patience_seconds=patience_seconds)
        return seal(call, identity=identity, time=self._time(), forget=partial(self.forget, identity))

    def forget(self, identity: VerifiedIdentity) -> None:
        """Keep `identity` no longer. One that has taken its place stays."""
        with self._keeping:
            if self._kept is identity:
                self._kept = None

    def _time(self) -> Live:
        """Return the clock's time. Raises: PolicyError for a time that is not live."""
        time = self._clock()
        if not isinstance(time, Live):
            raise PolicyError("a sealed request needs live time: recorded replies are replayed unsealed")
        return time

    def _good(self) -> VerifiedIdentity | None:
        time = self._time()
        with self._keeping:
            kept = self._kept
        if kept is None:
            return None
        last = min(kept.until, kept.document.signed_at + MAX_IDENTITY_AGE)
        return None if time.reached(last) else kept

    def _asked(self, ask: Ask) -> VerifiedIdentity:
        challenge = self._random(CHALLENGE_BYTES)
        reply = ask(challenge)
        identity = verify_identity(
            reply, policy=self._policy, challenge=challenge, time=self._time(), root=self._root, cache=self._links
        )
        with self._keeping:
            self._kept = identity
        return identity


class SealedClient:
    """Seals calls to the enclave that `policy` accepts.

    `ask` takes a challenge, fetches `GET /enclaves/NAME/identity?challenge=` of the policy's service, and returns the
    body of the answer. It may try again: a challenge is no secret. `clock`, `random` and `root` as for `Identities`.
    Raises: PolicyError as `Identities` does.
    """

    def __init__(
        self,
        *,
        policy: Policy,
        ask: Ask,
        clock: Callable[[], Time],
        random: Callable[[int], bytes],
        root: Root = AWS_ROOT,
    ) -> None:
        self._ask = ask
        self._identities = Identities(policy=policy, clock=clock, random=random, root=root)

    def seal(self, call: bytes) -> SealedCall:
        """Seal the JSON of one `POST /attest/fetch` or `/attest/query`.

        The identity is asked for where none that is good is kept.

        Raises: VerificationError for an identity that does not hold, and then nothing was sealed; PolicyError for a
        call that cannot be sealed; whatever `ask` raises.
        """
        return self._identities.seal(call, ask=self._ask)
