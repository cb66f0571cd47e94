"""`POST /attest/fetch`: read the call, find the enclave, relay its reply byte for byte."""

import time
from dataclasses import replace

from flask import Blueprint, Response, g, request
from gunicorn.http.errors import ParseException  # type: ignore[import-untyped]
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge

from app import relay
from app.config import MAX_REQUEST_BYTES
from app.errors import ApiError
from app.log import Log
from app.router import Enclave, Router
from policy import headers, url
from policy.errors import Refused
from wire import messages
from wire.errors import MessageError
from wire.messages import Call

RELAY_MARGIN_MS = 500  # kept back from the caller's time, so that the enclave's answer still gets through
READ_BYTES = 64 * 1024


def blueprint(router: Router, log: Log, *, timeout_ms: int) -> Blueprint:
    """Return the routes of this module."""
    routes = Blueprint("fetch", __name__)

    @routes.post("/attest/fetch")
    def attest_fetch() -> Response:
        call = _read_call()
        began = time.monotonic()
        enclave = _route(router, call)
        total_ms = call.timeout_ms or timeout_ms
        question = messages.encode_call(replace(call, timeout_ms=_for_enclave(total_ms)))
        payload = relay.call(enclave, question, deadline=began + total_ms / 1000)
        summary = relay.summarise(payload)
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
    except (OSError, ClientDisconnected) as exc:
        raise _cut_short(exc) from exc
    except ParseException as exc:
        raise ApiError(400, "bad_request", "The body's chunks are malformed") from exc
    except MessageError as exc:
        raise ApiError(400, "bad_request", str(exc)) from exc
    except Refused as exc:
        raise ApiError(400, exc.reason, str(exc)) from exc
    if call.id is not None:
        g.request_id = call.id
    return replace(call, id=g.request_id)


def _cut_short(error: Exception) -> ApiError:
    """Return the answer to a request without its end: silence (gunicorn_worker.SILENCE_SECONDS) or a lost caller."""
    if isinstance(error, BlockingIOError) or isinstance(error.__context__, BlockingIOError):
        return ApiError(408, "request_timeout", "The rest of the request did not come")
    return ApiError(400, "bad_request", "The request was cut short")


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


def _for_enclave(total_ms: int) -> int:
    """Return how long the enclave may take, when the caller waits for `total_ms`."""
    return max(1, total_ms - min(RELAY_MARGIN_MS, total_ms // 5))
