"""From what happened to the evidence of it: statement, NSM document, and the predecessor's fields beside them.

Shared by fetches and queries, so that there is one way to be attested. An answer without evidence is not handed out.
"""

import itertools
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from enclave_worker import legacy, statement
from enclave_worker.attestation import AttestationFailed, Place
from enclave_worker.boot import MAX_CLOCK_DIFFERENCE_MS
from enclave_worker.reply import Evidence
from enclave_worker.statement import Circumstances, Exchange, Identity, Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Testimony:
    """What happened, for whom and when. `body` is what the reply hands out, `time_ms` the enclave's clock."""

    id: str
    challenge: bytes | None
    time_ms: int
    exchanges: tuple[Exchange, ...]
    body: bytes
    result: Result | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Witness:
    """What every statement of one worker process needs. `clock_ms`: Unix time in milliseconds."""

    identity: Identity
    clock_ms: Callable[[], int]
    sequence: "itertools.count[int]"

    def attest(self, place: Place, told: Testimony, *, deadline: float) -> Evidence:
        """Return the evidence. `deadline` is an instant on `time.monotonic()`.

        Raises:
            AttestationFailed: see there; also where the enclave's clock and the NSM's differ.
        """
        circumstances = Circumstances(
            id=told.id, seq=next(self.sequence), time_ms=told.time_ms, challenge=told.challenge
        )
        said = statement.encode(self.identity, circumstances, told.exchanges, told.result)
        timestamp = told.time_ms // 1000
        shown, _ = told.exchanges[-1]
        nonce = legacy.nonce(legacy.response_hash(told.body), shown.url.endpoint, timestamp)
        fields = told.result.fields if told.result else None
        attested = place.attest(
            nonce=bytes.fromhex(nonce),
            user_data=statement.user_data(statement.leaf_hash(said), fields),
            deadline=deadline,
        )
        drift = self.clock_ms() - attested.fields.timestamp_ms
        if abs(drift) > MAX_CLOCK_DIFFERENCE_MS:  # a statement with a wrong time is worth nothing to a verifier
            raise AttestationFailed(f"the enclave's clock differs by {drift} ms from the NSM's")
        return Evidence(
            attestation_id=f"enc-{uuid.uuid4()}", statement=said, timestamp=timestamp, nonce=nonce, attested=attested
        )
