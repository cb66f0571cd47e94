"""`POST /attest/fetch`: read the call, find the enclave, relay its reply byte for byte."""

from flask import Blueprint, Response

from app import body
from app.errors import ApiError
from app.fleet import Fleet
from app.relay import Courier
from app.router import Router
from policy import headers, rules, url
from policy.errors import Refused
from wire import messages
from wire.messages import Call


def blueprint(router: Router, courier: Courier) -> Blueprint:
    """Return the routes of this module."""
    routes = Blueprint("fetch", __name__)

    @routes.post("/attest/fetch")
    def attest_fetch() -> Response:
        said, call = body.read(_decode)
        request_id = body.name(call)
        return courier.deliver(
            _route(router, call),
            lambda left_ms: messages.forward(said, call, request_id=request_id, timeout_ms=left_ms),
            event="fetch",
            timeout_ms=call.timeout_ms,
        )

    return routes


def _decode(said: bytes) -> tuple[bytes, Call]:
    """Read a call; return it behind the bytes that say it. Raises: MessageError, Refused."""
    call = messages.decode_call(said)
    headers.check_method(call.method)
    headers.check_headers(call.headers)
    return said, call


def _route(router: Router, call: Call) -> Fleet:
    try:
        host = url.parse(call.url).host
    except Refused as exc:
        raise ApiError(400, exc.reason, str(exc)) from exc
    fleet = router.find(host)
    try:
        rules.check_mode(fleet.service, call.mode)
        _check_sealed(fleet, host, call)
    except Refused as exc:  # answered early; the enclave would refuse it too
        raise ApiError(403, exc.reason, str(exc)) from exc
    return fleet


def _check_sealed(fleet: Fleet, host: str, call: Call) -> None:
    """Refuse a credential in clear, where the service wants it sealed. Raises: Refused."""
    upstream = next(upstream for upstream in fleet.service.upstreams if upstream.host == host)
    if upstream.sealed_required:
        rules.check_sealed(upstream, headers.check_headers(call.headers), sealed=False)
