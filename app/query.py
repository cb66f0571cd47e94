"""`POST /attest/query`: read the query, find the enclave by the service's name, relay its reply byte for byte."""

from dataclasses import replace

from flask import Blueprint, Response

from app import body
from app.errors import ApiError
from app.fleet import Fleet
from app.relay import Courier
from app.router import Router
from policy import rules
from policy.errors import Refused
from wire import queries
from wire.queries import Query


def blueprint(router: Router, courier: Courier) -> Blueprint:
    """Return the route of this module."""
    routes = Blueprint("query", __name__)

    @routes.post("/attest/query")
    def attest_query() -> Response:
        query = body.read(queries.decode)
        request_id = body.name(query)
        fleet = router.named(query.service)
        _check_early(fleet, query)
        return courier.deliver(
            fleet,
            lambda left_ms: queries.encode(replace(query, id=request_id, timeout_ms=left_ms)),
            event="query",
            timeout_ms=query.timeout_ms,
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
