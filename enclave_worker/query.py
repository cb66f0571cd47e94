"""One attested query: operation, place in the queue, the handler's upstream calls, result, statement, NSM.

The order and the rules are those of a fetch. Every upstream call is an exchange in the statement, beside the result
that was read from them: values and the digest of their field elements, or why there are none. A call without a
complete answer ends the query; it is attested as a failed fetch is, without a result.
"""

import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from enclave_worker import query_reply, refusals
from enclave_worker.budget import Budget
from enclave_worker.calls import CallLost, Calls
from enclave_worker.catalogue import Form, Offer
from enclave_worker.conclusion import Conclusion, HandlerDefect, conclude
from enclave_worker.handlers.errors import OperationFailed, ParamsRefused
from enclave_worker.handlers.operation import Values
from enclave_worker.journey import Journey
from enclave_worker.log import CallLog, Log
from enclave_worker.refusals import QueryRefused
from enclave_worker.reply import Reply
from enclave_worker.upstream.client import Client
from enclave_worker.upstream.exchange import Failure
from enclave_worker.witness import Testimony, Witness
from policy import rules
from policy.errors import Refused
from policy.manifest import Manifest
from wire.queries import Query


@dataclass(frozen=True, slots=True, kw_only=True)
class Querier:
    """Everything a query needs. `offers` is what `catalogue.bind` made of manifest and handlers."""

    manifest: Manifest
    offers: Mapping[str, Offer]
    client: Client
    witness: Witness
    log: Log

    def answer(self, query: Query, *, journey: Journey, sealed: bool = False) -> Reply:
        """Return the reply for one query, `sealed` if it came so: the reply will be, too.

        Raises:
            HandlerDefect: see there. Nothing else that a caller or an upstream can cause.
        """
        budget = Budget.of(query.timeout_ms, journey)
        call_id = query.id or str(uuid.uuid4())
        log = CallLog(log=self.log, id=call_id, sealed=sealed, trace=journey.trace)
        return refusals.or_reply(lambda: self._query(query, log, budget, sealed=sealed), log=log)

    def _query(self, query: Query, log: CallLog, budget: Budget, *, sealed: bool) -> Reply:
        offer, form = self._choose(query)
        rules.check_mode(self.manifest, query.mode)
        rules.check_operation_sealed(self.manifest, offer.declaration, sealed=sealed)
        calls = Calls(
            manifest=self.manifest,
            declaration=offer.declaration,
            sealed=sealed,
            send=lambda allowed: self.client.fetch(allowed, deadline=budget.upstream, journey=budget.journey),
        )
        with self.witness.reserve(query.mode, budget) as place:
            came = _run(offer, query, calls)
            time_ms = self.witness.clock_ms()
            end = came if isinstance(came, Failure) else conclude(offer, form, came, time_ms=time_ms)
            _log_end(log, offer, calls, end, budget)
            told = Testimony(
                id=log.id,
                mode=query.mode,
                challenge=query.challenge,
                time_ms=time_ms,
                exchanges=tuple(calls.exchanges),
                body_sha256=hashlib.sha256(query_reply.body_of(end)).digest(),
                result=end.result if isinstance(end, Conclusion) else None,
            )
            evidence = self.witness.attest(place, told, budget)
        shown, _ = calls.exchanges[-1]
        return query_reply.attested(self.manifest.name, shown, end, evidence)

    def _choose(self, query: Query) -> tuple[Offer, Form]:
        name = self.manifest.name
        if query.service != name:
            raise QueryRefused(404, "service.other", f"This is the enclave of {name}")
        offer = self.offers.get(query.operation)
        if offer is None:
            known = ", ".join(sorted(self.offers)) or "none"
            raise QueryRefused(404, "operation.unknown", f"{name} has these operations: {known}")
        for form in offer.forms:
            if query.schema in (None, form.schema):
                return offer, form
        known = ", ".join(form.schema for form in offer.forms)
        raise QueryRefused(400, "schema.unknown", f"{offer.operation.name} has these schemas: {known}")


def _log_end(log: CallLog, offer: Offer, calls: Calls, end: Conclusion | Failure, budget: Budget) -> None:
    failure = end.kind if isinstance(end, Failure) else end.result.error or ""
    inside: dict[str, str | int] = {"operation": offer.operation.name, "failure": failure}
    log.event("queried", calls=len(calls.exchanges), ms=budget.spent_ms(), inside=inside)


def _run(offer: Offer, query: Query, calls: Calls) -> Values | OperationFailed | Failure:
    """Run the handler to its end; a failed call is the end whatever the handler makes of it.

    Raises:
        QueryRefused, Refused: there is nothing to attest, since nothing was asked, or the parameters are wrong.
    """
    came: Values | OperationFailed
    try:
        came = _values(offer, query, calls)
    except OperationFailed as exc:
        came = exc
    except CallLost:
        came = {}
    if calls.failure is not None:
        return calls.failure
    if calls.exchanges:
        return came
    if isinstance(came, OperationFailed):
        raise QueryRefused(502, came.code, str(came)) from came
    raise HandlerDefect(f"{offer.operation.name} asked nothing")


def _values(offer: Offer, query: Query, calls: Calls) -> Values:
    unknown = sorted(query.params.keys() - offer.operation.parameters)
    if unknown:
        raise QueryRefused(400, "params.refused", f"params: {unknown[0][:64]!a}: unknown")
    try:
        return offer.operation.run(query.params, calls.fetch)
    except ParamsRefused as exc:
        raise QueryRefused(400, "params.refused", f"params: {exc}") from exc
    except Refused as exc:
        if not calls.exchanges:
            raise
        problem = f"the call after {len(calls.exchanges)} made is refused: {exc.reason}"
        raise OperationFailed("call-refused", problem) from exc
