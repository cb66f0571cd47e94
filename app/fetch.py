"""`POST /attest/fetch`: read the call, find the enclave, relay its reply byte for byte."""

import json
import time
from dataclasses import dataclass, replace

from flask import Blueprint, Response, g, request
from gunicorn.http.errors import ParseException  # type: ignore[import-untyped]
from werkzeug.exceptions import RequestEntityTooLarge

from app.config import MAX_REQUEST_BYTES
from app.errors import ApiError
from app.log import Log
from app.pool import PoolFull
from app.router import Enclave, Router
from policy import headers, url
from policy.errors import Refused
from wire import messages
from wire.errors import DeadlinePassed, FrameError, MessageError, PeerLost
from wire.messages import Call

RELAY_MARGIN_MS = 500  # kept back from the caller's time, so that the enclave's answer still gets through
RETRY_AFTER_SECONDS = 1
READ_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class _Summary:
    success: bool
    status: int | None


def blueprint(router: Router, log: Log, *, timeout_ms: int) -> Blueprint:
    """Return the routes of this module."""
    routes = Blueprint("fetch", __name__)

    @routes.post("/attest/fetch")
    def attest_fetch() -> Response:
        call = _read_call()
        began = time.monotonic()
        enclave = _route(router, call)
        total_ms = call.timeout_ms or timeout_ms
        payload = _relay(enclave, call, total_ms, deadline=began + total_ms / 1000)
        summary = _summarise(payload)
        log.event(
            "fetch",
            requestId=g.request_id,
            service=enclave.service.name,
            success=summary.success,
            status=summary.status,
            ms=round((time.monotonic() - began) * 1000),
        )
        return Response(payload, mimetype="application/json")

    return routes


def _read_call() -> Call:
    """Return the call in the request's body, with an id; the log and the answer's header use the same one."""
    charset = request.mimetype_params.get("charset", "utf-8").lower()
    if request.mimetype != "application/json" or charset not in ("utf-8", "utf8"):
        raise ApiError(415, "unsupported_media_type", "Send application/json in UTF-8")
    if request.content_encoding not in (None, "", "identity"):
        raise ApiError(415, "unsupported_media_type", "Send the JSON without a content coding")
    try:
        call = messages.decode_call(_read_body())
        headers.check_method(call.method)
        headers.check_headers(call.headers)
    except ParseException as exc:
        raise ApiError(400, "bad_request", "The body's chunks are malformed") from exc
    except MessageError as exc:
        raise ApiError(400, "bad_request", str(exc)) from exc
    except Refused as exc:
        raise ApiError(400, exc.reason, str(exc)) from exc
    if call.id is not None:
        g.request_id = call.id
    return replace(call, id=g.request_id)


def _read_body() -> bytes:
    """Return the request's body.

    One that is too large is read on, up to the application's MAX_CONTENT_LENGTH, and dropped: a caller that is still
    sending would see a broken connection instead of the answer. Werkzeug alone would cut a chunked body short in
    silence.
    """
    body = bytearray()
    too_large = False
    while chunk := request.stream.read(READ_BYTES):
        too_large = too_large or len(body) + len(chunk) > MAX_REQUEST_BYTES
        if not too_large:
            body += chunk
    if too_large:
        raise RequestEntityTooLarge
    return bytes(body)


def _route(router: Router, call: Call) -> Enclave:
    try:
        host = url.parse(call.url).host
    except Refused as exc:
        raise ApiError(400, exc.reason, str(exc)) from exc
    enclave = router.find(host)
    if enclave is None:
        raise ApiError(404, "no_enclave", f"No enclave configured for host: {host}")
    return enclave


def _relay(enclave: Enclave, call: Call, total_ms: int, *, deadline: float) -> bytes:
    """Hand the call to the enclave with the time it may take, and return the reply's bytes."""
    enclave_ms = total_ms - min(RELAY_MARGIN_MS, total_ms // 5)
    payload = messages.encode_call(replace(call, timeout_ms=max(1, enclave_ms)))
    try:
        return enclave.pool.call(payload, deadline=deadline)
    except PoolFull as exc:
        raise ApiError(503, "busy", str(exc), retry_after=RETRY_AFTER_SECONDS) from exc
    except DeadlinePassed as exc:
        raise ApiError(504, "deadline", f"Enclave communication failed: {exc}") from exc
    except (PeerLost, FrameError) as exc:
        raise ApiError(502, "enclave_unreachable", f"Enclave communication failed: {exc}") from exc


def _summarise(payload: bytes) -> _Summary:
    """Read what the log needs. Whether the reply is true is for its receiver to verify."""
    try:
        reply = json.loads(payload)
    except (ValueError, RecursionError) as exc:
        raise ApiError(502, "bad_reply", "Enclave communication failed: the reply is not JSON") from exc
    if not isinstance(reply, dict):
        raise ApiError(502, "bad_reply", "Enclave communication failed: the reply is not a JSON object")
    status = reply.get("status")
    return _Summary(success=reply.get("success") is True, status=status if isinstance(status, int) else None)
