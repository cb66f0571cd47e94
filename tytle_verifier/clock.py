"""An edge: the only place of the library that reads a clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tytle_verifier.when import DEFAULT_MAX_AGE, DEFAULT_SKEW, Live


def live(*, max_age: timedelta = DEFAULT_MAX_AGE, skew: timedelta = DEFAULT_SKEW) -> Live:
    """Return `Live` for this machine's clock, which is NOT checked. Raises: PolicyError as `Live` does."""
    return Live(now=datetime.now(UTC), max_age=max_age, skew=skew)
