"""One attested fetch, from the parent's call to the reply: policy, place in the queue, upstream, statement, NSM.

The order is the point. What the policy refuses costs nothing and is not attested. A place at the NSM is taken before
the upstream is asked. A fetch that fails is attested too, as the enclave saw it: the parent cannot make one up without
really withholding bytes. An answer that could not be attested is not handed out.
"""

import uuid
from dataclasses import dataclass

from enclave_worker import refusals, reply
from enclave_worker.budget import Budget
from enclave_worker.journey import Journey
from enclave_worker.log import CallLog, Log
from enclave_worker.reply import Reply
from enclave_worker.sealed import padding
from enclave_worker.upstream.client import Client
from enclave_worker.upstream.exchange import Answer, Failure
from enclave_worker.witness import Testimony, Witness
from policy import rules
from policy.manifest import Manifest
from policy.rules import Allowed
from wire.frames import MAX_FRAME_BYTES
from wire.messages import Call

MAX_SEALED_REPLY_BYTES = padding.MAX_ANSWER_BYTES - padding.LENGTH_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetcher:
    """Everything a fetch needs."""

    manifest: Manifest
    client: Client
    witness: Witness
    log: Log

    def answer(self, call: Call, *, journey: Journey, sealed: bool = False) -> Reply:
        """Return the reply for one call, `sealed` if it came so: the reply will be, too.

        Never raises for anything that a caller or an upstream can cause.
        """
        budget = Budget.of(call.timeout_ms, journey)
        call_id = call.id or str(uuid.uuid4())
        log = CallLog(log=self.log, id=call_id, sealed=sealed, trace=journey.trace)
        return refusals.or_reply(lambda: self._fetch(call, log, budget, sealed=sealed), log=log)

    def _fetch(self, call: Call, log: CallLog, budget: Budget, *, sealed: bool) -> Reply:
        rules.check_mode(self.manifest, call.mode)
        allowed = rules.decide(
            self.manifest, url=call.url, method=call.method, headers=call.headers, body=call.body, sealed=sealed
        )
        with self.witness.reserve(call.mode, budget) as place:
            outcome = self.client.fetch(allowed, deadline=budget.upstream, journey=budget.journey)
            _log_outcome(log, allowed, outcome, budget)
            told = Testimony(
                id=log.id,
                mode=call.mode,
                challenge=call.challenge,
                time_ms=self.witness.clock_ms(),
                exchanges=((allowed, outcome),),
                body_sha256=reply.body_sha256(outcome),
            )
            evidence = self.witness.attest(place, told, budget)
        most_bytes = MAX_SEALED_REPLY_BYTES if sealed else MAX_FRAME_BYTES
        return reply.attested(allowed, outcome, evidence, most_bytes=most_bytes)


def _log_outcome(log: CallLog, allowed: Allowed, outcome: Answer | Failure, budget: Budget) -> None:
    came: dict[str, str | int] = (
        {"status": outcome.status} if isinstance(outcome, Answer) else {"failure": outcome.kind}
    )
    log.event("fetched", host=allowed.upstream.host, ms=budget.spent_ms(), inside=came)
