"""One attested fetch, from the parent's call to the reply: policy, place in the queue, upstream, statement, NSM.

The order is the point. What the policy refuses costs nothing and is not attested. A place at the NSM is taken before
the upstream is asked. A fetch that fails is attested too, as the enclave saw it: the parent cannot make one up without
really withholding bytes. An answer that could not be attested is not handed out.
"""

import itertools
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from enclave_worker import legacy, reply, statement
from enclave_worker.attestation import AttestationFailed, Attestor, Place, QueueFull
from enclave_worker.boot import MAX_CLOCK_DIFFERENCE_MS
from enclave_worker.log import CallLog, Log
from enclave_worker.sealed import padding
from enclave_worker.statement import Circumstances, Identity
from enclave_worker.upstream.client import Client
from enclave_worker.upstream.exchange import Answer, Failure
from policy import rules
from policy.errors import Refused
from policy.manifest import Manifest
from policy.rules import Allowed
from wire.frames import MAX_FRAME_BYTES
from wire.messages import Call

DEFAULT_TIMEOUT_MS = 25_000  # the predecessor's limit for one upstream fetch
MAX_TIMEOUT_MS = 60_000  # the predecessor's limit for one call to the enclave
MAX_SEALED_REPLY_BYTES = padding.MAX_ANSWER_BYTES - padding.LENGTH_BYTES
ATTESTATION_SECONDS = 1.0  # kept back from the caller's time, so that a fetch that times out can still be attested


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetcher:
    """Everything a fetch needs. `clock_ms` is the enclave's clock: Unix time in milliseconds."""

    manifest: Manifest
    identity: Identity
    client: Client
    attestor: Attestor
    clock_ms: Callable[[], int]
    log: Log
    sequence: "itertools.count[int]"

    def answer(self, call: Call, *, sealed: bool = False) -> bytes:
        """Return the reply for one call, `sealed` if it came so: the reply will be, too.

        Never raises for anything that a caller or an upstream can cause.
        """
        began = time.monotonic()
        seconds = min(call.timeout_ms or DEFAULT_TIMEOUT_MS, MAX_TIMEOUT_MS) / 1000
        deadline = began + seconds
        call_id = call.id or str(uuid.uuid4())
        log = CallLog(log=self.log, id=call_id, sealed=sealed)
        try:
            allowed = rules.decide(
                self.manifest, url=call.url, method=call.method, headers=call.headers, body=call.body, sealed=sealed
            )
            with self.attestor.reserve() as place:
                outcome = self.client.fetch(allowed, deadline=deadline - min(ATTESTATION_SECONDS, seconds / 4))
                _log_outcome(log, allowed, outcome, began)
                evidence = self._attest(place, call, call_id, allowed, outcome, deadline)
            return reply.attested(
                allowed, outcome, evidence, most_bytes=MAX_SEALED_REPLY_BYTES if sealed else MAX_FRAME_BYTES
            )
        except Refused as exc:
            log.event("refused", inside={"reason": exc.reason})
            return reply.refusal(403, str(exc), code=exc.reason)
        except QueueFull:
            log.event("full", what="attestation")
            return reply.refusal(503, "Enclave at capacity")
        except AttestationFailed as exc:
            log.event("attestation failed", error=str(exc))
            return reply.refusal(502, f"Attestation failed: {exc}")

    def _attest(
        self, place: Place, call: Call, call_id: str, allowed: Allowed, outcome: Answer | Failure, deadline: float
    ) -> reply.Evidence:
        now_ms = self.clock_ms()
        circumstances = Circumstances(id=call_id, seq=next(self.sequence), time_ms=now_ms, challenge=call.challenge)
        said = statement.encode(self.identity, circumstances, [(allowed, outcome)])
        timestamp = now_ms // 1000
        digest = legacy.response_hash(reply.body_of(outcome))
        nonce = legacy.nonce(digest, allowed.url.endpoint, timestamp)
        attested = place.attest(
            nonce=bytes.fromhex(nonce), user_data=statement.user_data(statement.leaf_hash(said)), deadline=deadline
        )
        drift = self.clock_ms() - attested.fields.timestamp_ms
        if abs(drift) > MAX_CLOCK_DIFFERENCE_MS:  # a statement with a wrong time is worth nothing to a verifier
            raise AttestationFailed(f"the enclave's clock differs by {drift} ms from the NSM's")
        return reply.Evidence(
            attestation_id=f"enc-{uuid.uuid4()}",
            statement=said,
            timestamp=timestamp,
            nonce=nonce,
            attested=attested,
        )


def _log_outcome(log: CallLog, allowed: Allowed, outcome: Answer | Failure, began: float) -> None:
    came: dict[str, str | int] = (
        {"status": outcome.status} if isinstance(outcome, Answer) else {"failure": outcome.kind}
    )
    milliseconds = round((time.monotonic() - began) * 1000)
    log.event("fetched", host=allowed.upstream.host, ms=milliseconds, inside=came)
