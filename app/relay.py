"""Hands a question to an enclave and its reply back, and turns what can go wrong on that way into API errors."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from flask import Response, current_app, g

from app.errors import ApiError
from app.fleet import Fleet, Served
from app.log import Log, of_caller
from app.pool import PoolFull
from app.watch import Passage
from wire.errors import DeadlinePassed, FrameError, PeerLost
from wire.hops import Report

if TYPE_CHECKING:
    from app.archive.archive import Archive  # which loads SQLAlchemy: only where there is an archive

RETRY_AFTER_SECONDS = 1
MARGIN_MS = 500  # kept back from the caller's time, so that the enclave's answer still gets through


def deliver(
    fleet: Fleet,
    question: Callable[[int], bytes],
    *,
    event: str,
    total_ms: int,
    log: Log,
    key: bytes | None = None,
    archive: Archive | None = None,
) -> Response:
    """Put a question to one of the enclaves, log that under the name `event`, and return the reply byte for byte.

    `question` is given the milliseconds that the enclave may take and returns a payload; the caller waits `total_ms`.
    `key` is the id of the key that a sealed call is for. `archive`, where there is one, is given the reply before the
    caller is.

    Raises:
        ApiError: 502, 503 or 504.
    """
    began = time.monotonic()
    deadline = began + total_ms / 1000

    def again() -> bytes:
        return question(_for_enclave(round((deadline - time.monotonic()) * 1000)))

    passage: Passage = g.passage
    trace = passage.asks(fleet.service.name)
    if archive is not None:
        archive.admit()
    served = call(fleet, question(_for_enclave(total_ms)), deadline=deadline, key=key, again=again, trace=trace)
    report = served.carried.report or summarise(served.carried.reply)
    passage.heard(served.enclave.cid, report)
    if archive is not None:
        archive.keep(served.carried.reply, caller=g.caller, request_id=g.request_id)
    log.event(
        event,
        requestId=g.request_id,
        **of_caller(g.caller),
        service=fleet.service.name,
        enclave=served.enclave.name,
        success=report.success,
        status=report.status,
        ms=round((time.monotonic() - began) * 1000),
        **({} if trace is None else {"traceId": passage.trace.id}),
    )
    return answer(served)


def answer(served: Served) -> Response:
    """Return the reply byte for byte, and in headers which enclave gave it, and which boot of it where it said so."""
    headers = {"X-Enclave": served.enclave.name}
    if served.carried.report is not None:
        headers["X-Enclave-Boot"] = served.carried.report.boot
    return Response(served.carried.reply, headers=headers, content_type="application/json")


def call(
    fleet: Fleet,
    question: bytes,
    *,
    deadline: float,
    key: bytes | None = None,
    again: Callable[[], bytes] | None = None,
    trace: str | None = None,
) -> Served:
    """Return what one of the enclaves answers. `deadline` is an instant on `time.monotonic()`; the rest as `Fleet.ask`.

    Raises:
        ApiError: 403, 502, 503 or 504.
    """
    since_ns = time.monotonic_ns()
    try:
        with current_app.extensions["gate"].admit(fleet.service.name, deadline=deadline):
            g.passage.admitted(since_ns)
            return fleet.ask(question, deadline=deadline, key=key, again=again, trace=trace)
    except PoolFull as exc:
        raise ApiError(503, "busy", str(exc), retry_after=RETRY_AFTER_SECONDS) from exc
    except DeadlinePassed as exc:
        raise ApiError(504, "deadline", f"Enclave communication failed: {exc}") from exc
    except (PeerLost, FrameError) as exc:
        raise ApiError(502, "enclave_unreachable", f"Enclave communication failed: {exc}") from exc


def summarise(payload: bytes) -> Report:
    """Return the report that a worker would have sent which knows of none (the predecessor's), as the reply says.

    Whether the reply is true is for its receiver to verify. A sealed reply is a success.

    Raises:
        ApiError: 502: it is not a JSON object.
    """
    try:
        reply = json.loads(payload)
    except (ValueError, RecursionError) as exc:
        raise ApiError(502, "bad_reply", "Enclave communication failed: the reply is not JSON") from exc
    if not isinstance(reply, dict):
        raise ApiError(502, "bad_reply", "Enclave communication failed: the reply is not a JSON object")
    status = reply.get("status")
    success = reply.get("success") is True or "sealed" in reply
    return Report(success=success, status=status if isinstance(status, int) else 0, boot="")


def _for_enclave(total_ms: int) -> int:
    """Return how long the enclave may take, when the caller waits for `total_ms`."""
    return max(1, total_ms - min(MARGIN_MS, total_ms // 5))
