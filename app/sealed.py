"""`POST /attest/sealed`: find the enclave by service and key, and relay what nobody here can read.

The parent sees a service, a key id, a size and a time. It routes, and bounds sizes and the number of calls under way.
"""

from dataclasses import replace

from flask import Blueprint, Response

from app import body
from app.relay import Courier
from app.router import Router
from wire import sealed


def blueprint(router: Router, courier: Courier) -> Blueprint:
    """Return the route of this module."""
    routes = Blueprint("sealed", __name__)

    @routes.post("/attest/sealed")
    def attest_sealed() -> Response:
        request = body.read(sealed.decode_request)
        fleet = router.named(request.service)
        return courier.deliver(
            fleet,
            lambda left_ms: sealed.encode(replace(request.call, timeout_ms=left_ms)),
            event="sealed",
            timeout_ms=request.call.timeout_ms,
            key=request.call.key_id,
        )

    return routes
