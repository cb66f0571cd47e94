"""What keeps a call or a query from an attested reply, turned into the reply that says so. Nothing is handed out."""

from collections.abc import Callable

from enclave_worker import reply
from enclave_worker.attestation import AttestationFailed, QueueFull
from enclave_worker.log import CallLog
from enclave_worker.reply import Reply
from policy.errors import Refused


class QueryRefused(Exception):
    """A query is refused before anything was asked. `status` and `code` are the reply's; the text repeats no value."""

    def __init__(self, status: int, code: str, problem: str) -> None:
        super().__init__(problem)
        self.status = status
        self.code = code


def or_reply(work: Callable[[], Reply], *, log: CallLog) -> Reply:
    """Return what `work` returns, or the reply that says why there is nothing."""
    try:
        return work()
    except Refused as exc:
        log.event("refused", inside={"reason": exc.reason})
        return reply.refusal(403, str(exc), code=exc.reason)
    except QueryRefused as exc:
        log.event("refused", inside={"reason": exc.code})
        return reply.refusal(exc.status, str(exc), code=exc.code)
    except QueueFull:
        log.event("full", what="attestation")
        return reply.refusal(503, "Enclave at capacity")
    except AttestationFailed as exc:
        log.event("attestation failed", error=str(exc))
        return reply.refusal(502, f"Attestation failed: {exc}")
