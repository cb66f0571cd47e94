"""From what happened to the evidence of it: the statement, and how it is signed in the mode that the caller chose.

    document  one NSM document for this statement alone; its nonce is the predecessor's
    batch     one NSM document for every statement that waited for it; a path from leaf to root
    session   the session key's signature; one NSM document vouches for the key

Shared by fetches and queries, so that there is one way to be attested. An answer without evidence is not handed out.
"""

import itertools
import time
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from enclave_worker import legacy, statement
from enclave_worker.attestation import Attestor, Place, check_clock
from enclave_worker.budget import Budget
from enclave_worker.reply import Evidence, Proof
from enclave_worker.session import Session
from enclave_worker.shown import show
from enclave_worker.statement import Circumstances, Exchange, Identity, Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Testimony:
    """What happened, for whom and when, on the enclave's clock. `body_sha256` is that of what the reply hands out."""

    id: str
    mode: str
    challenge: bytes | None
    time_ms: int
    exchanges: tuple[Exchange, ...]
    body_sha256: bytes
    result: Result | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Witness:
    """What every statement of one worker process needs. `clock_ms`: Unix time in milliseconds."""

    identity: Identity
    attestor: Attestor
    session: Session
    clock_ms: Callable[[], int]
    sequence: "itertools.count[int]"

    def reserve(self, mode: str, budget: Budget) -> AbstractContextManager[Place | None]:
        """Take what an answer in this mode will need of the NSM: a place, or in session mode a document for its key.

        Raises:
            QueueFull: there is no place left.
            AttestationFailed: there is no document for the session's key, and none could be had.
        """
        if mode != "session":
            return self.attestor.reserve()
        began = time.monotonic_ns()
        try:
            self.session.prepare(clock_ms=self.clock_ms, deadline=budget.upstream)
        finally:
            budget.journey.queue += time.monotonic_ns() - began
        return nullcontext()

    def attest(self, place: Place | None, told: Testimony, budget: Budget) -> Evidence:
        """Return the evidence, in time for the reply. `place` is what `reserve` gave.

        Raises:
            AttestationFailed: see there; also where the enclave's clock and the NSM's differ.
        """
        circumstances = Circumstances(
            id=told.id, seq=next(self.sequence), time_ms=told.time_ms, challenge=told.challenge
        )
        said = statement.encode(self.identity, circumstances, told.exchanges, told.result)
        began = time.monotonic_ns()
        try:
            proof = self._proof(place, told, statement.leaf_hash(said), budget.reply)
        finally:
            budget.journey.attest += time.monotonic_ns() - began
        return Evidence(
            attestation_id=f"enc-{uuid.uuid4()}",
            statement=said,
            body_sha256=told.body_sha256,
            timestamp=told.time_ms // 1000,
            proof=proof,
        )

    def _proof(self, place: Place | None, told: Testimony, leaf: bytes, deadline: float) -> Proof:
        fields = told.result.fields if told.result else None
        if place is None:
            signed = self.session.sign(statement.user_data(leaf, fields), clock_ms=self.clock_ms, deadline=deadline)
            return Proof(mode="session", shown=signed.shown, message=signed.message)
        if told.mode == "batch":
            committed = place.commit(leaf, deadline=deadline)
            check_clock(self.clock_ms(), committed.attested)
            return Proof(mode="batch", shown=committed.shown, inclusion=committed)
        nonce = _nonce(told)
        attested = place.attest(
            nonce=bytes.fromhex(nonce), user_data=statement.user_data(leaf, fields), deadline=deadline
        )
        check_clock(self.clock_ms(), attested)
        return Proof(mode="document", shown=show(attested), nonce=nonce)


def _nonce(told: Testimony) -> str:
    shown, _ = told.exchanges[-1]
    return legacy.nonce(told.body_sha256.hex(), shown.url.endpoint, told.time_ms // 1000)
