"""`POST /attest/query`: read the query, find the enclave by the service's name, relay its reply byte for byte."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from flask import Blueprint, Response, g

from app import body, relay
from app.errors import ApiError
from app.fleet import Fleet
from app.log import Log
from app.router import Router
from policy import rules
from policy.errors import Refused
from wire import queries
from wire.queries import Query

if TYPE_CHECKING:
    from app.archive.archive import Archive


def blueprint(router: Router, log: Log, *, timeout_ms: int, archive: Archive | None) -> Blueprint:
    """Return the route of this module."""
    routes = Blueprint("query", __name__)

    @routes.post("/attest/query")
    def attest_query() -> Response:
        query = body.read(queries.decode)
        body.name(query)
        fleet = router.named(query.service)
        _check_early(fleet, query)
        return relay.deliver(
            fleet,
            lambda left_ms: queries.encode(replace(query, id=g.request_id, timeout_ms=left_ms)),
            event="query",
            total_ms=query.timeout_ms or timeout_ms,
            log=log,
            archive=archive,
        )

    return routes


def _check_early(fleet: Fleet, query: Query) -> None:
    """Answer early what the enclave would refuse: a mode that the service does not have, or parameters in clear that
    may hold a credential wanted sealed.

    An operation that the manifest does not have is for the enclave to refuse.
    """
    try:
        rules.check_mode(fleet.service, query.mode)
        for operation in fleet.service.operations:
            if operation.name == query.operation:
                rules.check_operation_sealed(fleet.service, operation, sealed=False)
    except Refused as exc:
        raise ApiError(403, exc.reason, str(exc)) from exc
