"""Hands a question to an enclave and its reply back, and turns what can go wrong on that way into API errors."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flask import Response
from werkzeug.datastructures import Headers

from app.application import here
from app.errors import ApiError
from app.fleet import Fleet, Served
from app.gate import Gate
from app.log import Log, of_caller
from app.pool import PoolFull
from app.said import decoded
from app.watch import Passage
from wire.errors import DeadlinePassed, FrameError, PeerLost
from wire.hops import Report

if TYPE_CHECKING:
    from app.archive.archive import Archive  # which loads SQLAlchemy: only where there is an archive

RETRY_AFTER_SECONDS = 1
MARGIN_MS = 500  # kept back from the caller's time, so that the enclave's answer still gets through


@dataclass(frozen=True, slots=True, kw_only=True)
class Courier:
    """Takes questions through the gate to enclaves, and notes how that went.

    `timeout_ms` is how long a caller waits who does not say. Without `archive` no answer is stored.
    """

    gate: Gate
    log: Log
    timeout_ms: int
    archive: Archive | None

    def deliver(
        self,
        fleet: Fleet,
        question: Callable[[int], bytes],
        *,
        event: str,
        timeout_ms: int | None,
        key: bytes | None = None,
    ) -> Response:
        """Put a question to one of the enclaves, log that under the name `event`, and return the reply byte for byte.

        `question` is given the milliseconds that the enclave may take and returns a payload; the caller waits
        `timeout_ms`, if it says how long. `key` is the id of the key that a sealed call is for. The archive is given
        the reply before the caller is, and no sealed one.

        Raises:
            ApiError: 403, 502, 503 or 504.
        """
        began = time.monotonic()
        total_ms = timeout_ms or self.timeout_ms
        deadline = began + total_ms / 1000

        def again() -> bytes:
            return question(_for_enclave(round((deadline - time.monotonic()) * 1000)))

        state = here()
        passage: Passage = state.passage
        trace = passage.asks(fleet.service.name)
        archive = self.archive if key is None else None
        if archive is not None:
            archive.admit()
        first = question(_for_enclave(total_ms))
        served = self.ask(fleet, first, deadline=deadline, key=key, again=again, trace=trace)
        report = served.carried.report or summarise(served.carried.reply)
        passage.heard(served.enclave.cid, report)
        if archive is not None:
            archive.keep(served.carried.reply, caller=state.caller, request_id=state.request_id)
        ms = round((time.monotonic() - began) * 1000)
        self._say(event, served, report, ms=ms, trace_id=None if trace is None else passage.trace.id)
        return Reply(served)

    def ask(
        self,
        fleet: Fleet,
        question: bytes,
        *,
        deadline: float,
        key: bytes | None = None,
        again: Callable[[], bytes] | None = None,
        trace: str | None = None,
    ) -> Served:
        """Return what one of the enclaves answers. `deadline` is on `time.monotonic()`; the rest as `Fleet.ask`.

        Raises:
            ApiError: 403, 502, 503 or 504.
        """
        since_ns = time.monotonic_ns()
        state = here()
        try:
            with self.gate.admit(fleet.service.name, caller=state.caller, deadline=deadline):
                state.passage.admitted(since_ns)
                return fleet.ask(question, deadline=deadline, key=key, again=again, trace=trace)
        except PoolFull as exc:
            raise ApiError(503, "busy", str(exc), retry_after=RETRY_AFTER_SECONDS) from exc
        except DeadlinePassed as exc:
            raise ApiError(504, "deadline", f"Enclave communication failed: {exc}") from exc
        except (PeerLost, FrameError) as exc:
            raise ApiError(502, "enclave_unreachable", f"Enclave communication failed: {exc}") from exc

    def _say(self, event: str, served: Served, report: Report, *, ms: int, trace_id: str | None) -> None:
        """Log how a question ended."""
        state = here()
        self.log.event(
            event,
            requestId=state.request_id,
            **of_caller(state.caller),
            service=served.enclave.service.name,
            enclave=served.enclave.name,
            success=report.success,
            status=report.status,
            ms=ms,
            **({} if trace_id is None else {"traceId": trace_id}),
        )


class Reply(Response):
    """An enclave's reply, byte for byte. In headers: which enclave gave it, and which boot of it where it said so."""

    def __init__(self, served: Served) -> None:
        reply, report = served.carried.reply, served.carried.report
        boot = () if report is None else (("X-Enclave-Boot", report.boot),)
        length = ("Content-Length", str(len(reply)))
        headers = Headers()
        # At once, not by `add`, which looks for line ends in each: these are ours, the settings' and the hex of a boot.
        headers._list = [("X-Enclave", served.enclave.name), *boot, ("Content-Type", "application/json"), length]
        super().__init__([reply], headers=headers)

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        """As werkzeug's, which looks for what changes headers or body: this is always a whole 200 of a known size."""
        start_response(self.status, self.headers.to_wsgi_list())
        return () if environ["REQUEST_METHOD"] == "HEAD" else self.response  # type: ignore[return-value]


def summarise(payload: bytes) -> Report:
    """Return the report that a worker would have sent which knows of none (the predecessor's), as the reply says.

    Whether the reply is true is for its receiver to verify. A sealed reply is a success.

    Raises:
        ApiError: 502: it is not a JSON object.
    """
    try:
        reply = decoded(payload)
    except ValueError as exc:
        raise ApiError(502, "bad_reply", "Enclave communication failed: the reply is not JSON") from exc
    if not isinstance(reply, dict):
        raise ApiError(502, "bad_reply", "Enclave communication failed: the reply is not a JSON object")
    status = reply.get("status")
    success = reply.get("success") is True or "sealed" in reply
    return Report(success=success, status=status if isinstance(status, int) else 0, boot="")


def _for_enclave(total_ms: int) -> int:
    """Return how long the enclave may take, when the caller waits for `total_ms`."""
    return max(1, total_ms - min(MARGIN_MS, total_ms // 5))
