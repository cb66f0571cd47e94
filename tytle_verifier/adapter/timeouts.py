"""A timeout as `requests` takes it -> the parent's `timeoutMs`, and the limits of the connection to the parent.

The read timeout is how long the caller waits for an answer, so it is what the enclave gets (parent and enclave keep
some of it back to deliver an attested timeout before it is over). The connect timeout concerns the parent alone. None
waits as long as a parent may: 120 s, and a little longer for its answer to arrive.
"""

from __future__ import annotations

from urllib3.util import Timeout

MAX_TIMEOUT_MS = 120_000  # the parent's own limit
GRACE_SECONDS = 5.0  # ours: for a parent that answers at the last moment

Given = float | tuple[float | None, float | None] | Timeout | None


def resolve(given: Given) -> tuple[Timeout, int]:
    """Return the limits for the connection to the parent, and `timeoutMs`. Raises: ValueError, as `requests` does."""
    limits = _limits(given)
    started = limits.clone()
    started.start_connect()
    read = started.read_timeout
    if read is None:
        patient = MAX_TIMEOUT_MS / 1000 + GRACE_SECONDS
        return Timeout(connect=limits.connect_timeout, read=patient), MAX_TIMEOUT_MS
    return limits, max(1, min(round(read * 1000), MAX_TIMEOUT_MS))


def _limits(given: Given) -> Timeout:
    if isinstance(given, Timeout):
        return given
    if not isinstance(given, tuple):
        return Timeout(connect=given, read=given)
    if len(given) != 2:
        raise ValueError(f"invalid timeout {given}: give a (connect, read) tuple or one number for both")
    return Timeout(connect=given[0], read=given[1])
