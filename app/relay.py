"""Hands a payload to an enclave and its reply back, and turns what can go wrong on that way into API errors."""

import json
from dataclasses import dataclass

from app.errors import ApiError
from app.pool import PoolFull
from app.router import Enclave
from wire.errors import DeadlinePassed, FrameError, PeerLost

RETRY_AFTER_SECONDS = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What the log needs of a reply; nobody here judges whether it is true."""

    success: bool
    status: int | None


def call(enclave: Enclave, payload: bytes, *, deadline: float) -> bytes:
    """Return the enclave's reply to `payload`. `deadline` is an instant on `time.monotonic()`.

    Raises:
        ApiError: 502, 503 or 504.
    """
    try:
        return enclave.pool.call(payload, deadline=deadline)
    except PoolFull as exc:
        raise ApiError(503, "busy", str(exc), retry_after=RETRY_AFTER_SECONDS) from exc
    except DeadlinePassed as exc:
        raise ApiError(504, "deadline", f"Enclave communication failed: {exc}") from exc
    except (PeerLost, FrameError) as exc:
        raise ApiError(502, "enclave_unreachable", f"Enclave communication failed: {exc}") from exc


def summarise(payload: bytes) -> Summary:
    """Read what the log needs. Whether the reply is true is for its receiver to verify.

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
    return Summary(success=reply.get("success") is True, status=status if isinstance(status, int) else None)
