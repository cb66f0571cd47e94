"""`GET /enclaves/NAME/identity?challenge=`: who an enclave of a service is, relayed byte for byte.

Which one: as for a call, so never one that is drained while there is another. Its sealing key leads back to it.
"""

import time

from flask import Blueprint, Response, request

from app import relay
from app.errors import ApiError
from app.relay import Courier
from app.router import Router
from wire import fields, messages
from wire.errors import MessageError
from wire.messages import IdentityQuestion

TIMEOUT_SECONDS = 10.0


def blueprint(router: Router, courier: Courier) -> Blueprint:
    """Return the route of this module."""
    routes = Blueprint("identity", __name__)

    @routes.get("/enclaves/<name>/identity")
    def identity(name: str) -> Response:
        fleet = router.named(name)
        payload = messages.encode_identity_question(IdentityQuestion(challenge=_challenge()))
        served = courier.ask(fleet, payload, deadline=time.monotonic() + TIMEOUT_SECONDS)
        if served.carried.report is None:
            relay.summarise(served.carried.reply)
        return relay.Reply(served)

    return routes


def _challenge() -> bytes | None:
    given = request.args.getlist("challenge")
    unknown = sorted(request.args.keys() - {"challenge"})
    if unknown or len(given) > 1:
        raise ApiError(400, "bad_request", "The only query parameter is one challenge")
    if not given:
        return None
    try:
        return fields.challenge(given[0].replace("-", "+").replace("_", "/"))
    except MessageError as exc:
        raise ApiError(400, "bad_request", str(exc)) from exc
