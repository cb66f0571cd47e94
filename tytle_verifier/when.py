"""Which instant a verification is about. Always chosen by the caller, never guessed (VERIFICATION.md, "Time").

- `Live`: is this evidence good now? Chain valid at `now`, document no older than `max_age`, not from the future.
- `Archive`: was this evidence good when it was signed? Chain valid at the document's own signed time. No freshness.
- `At`: would the chain have been valid at this instant? For audits of an instant that somebody else recorded.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tytle_verifier.errors import PolicyError, TimeError

DEFAULT_MAX_AGE = timedelta(minutes=5)  # ours: an attested fetch takes seconds
DEFAULT_SKEW = timedelta(minutes=5)  # what other verifiers of this format allow for clocks that disagree


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """The verifier's clock: `now` (aware), how old a document may be, and how far clocks may disagree.

    Raises: PolicyError for a naive `now`, a `max_age` not above zero, a negative `skew`.
    """

    now: datetime
    max_age: timedelta = DEFAULT_MAX_AGE
    skew: timedelta = DEFAULT_SKEW

    def __post_init__(self) -> None:
        _aware(self.now)
        if self.max_age <= timedelta(0) or self.skew < timedelta(0):
            raise PolicyError("max_age must be above zero and skew not below it")

    @property
    def unix_ms(self) -> int:
        """Now, in whole ms since 1970."""
        return (self.now - from_ms(0)) // timedelta(milliseconds=1)

    def reached(self, instant: datetime) -> bool:
        """Tell whether `instant` has come."""
        return instant <= self.now

    def surely_past(self, instant: datetime) -> bool:
        """Tell whether `instant` has come for whoever's clock disagrees with this one by no more than the skew."""
        return instant <= self.now - self.skew


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """The document's own signed time. Proves what was true then and says nothing about freshness or replay."""


@dataclass(frozen=True, slots=True, kw_only=True)
class At:
    """A chosen instant (aware). Says nothing about freshness or replay. Raises: PolicyError if it is naive."""

    instant: datetime

    def __post_init__(self) -> None:
        _aware(self.instant)


Time = Live | Archive | At


def from_ms(milliseconds: int) -> datetime:
    """Return the UTC instant that many ms after 1970, exactly; bounded by `document.MAX_TIMESTAMP_MS` before."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)


def chain_instant(time: Time, signed: datetime) -> datetime:
    """Return the instant at which every certificate must be valid; `signed` is the document's own time.

    A live clock that lags behind AWS's by no more than the skew must not find a new leaf "not yet valid": then the
    signed time counts, which is later and so never revives an expired certificate.
    """
    match time:
        case Live():
            return signed if timedelta(0) < signed - time.now <= time.skew else time.now
        case At():
            return time.instant
        case Archive():
            return signed


def check_signed_at(signed: datetime, not_before: datetime, not_after: datetime) -> None:
    """Step 5: the document was signed within its leaf's validity, ends included. Raises: TimeError."""
    if not not_before <= signed <= not_after:
        window = f"{not_before.isoformat()} to {not_after.isoformat()}"
        raise TimeError("signed outside the leaf's validity", got=signed.isoformat(), expected=window)


def check_age(time: Live, signed: datetime, max_age: timedelta | None) -> str:
    """Step 5, live only: not too old, not from the future; `max_age` tightens the one of `time`.

    Returns the line for the report. Raises: TimeError.
    """
    limit = time.max_age if max_age is None else min(time.max_age, max_age)
    age = time.now - signed
    if age > limit:
        raise TimeError("too old", got=str(age), expected=f"at most {limit}")
    check_not_ahead(time, signed)
    return f"at most {limit} old by the verifier's clock {time.now.isoformat()}"


def check_not_ahead(time: Live, signed: datetime) -> str:
    """Step 5, live only: not from the future; the line for the report. Raises: TimeError."""
    ahead = signed - time.now
    if ahead > time.skew:
        raise TimeError("signed in the future", got=f"by {ahead}", expected=f"at most {time.skew}")
    return f"not from the future by the verifier's clock {time.now.isoformat()}"


def _aware(instant: datetime) -> None:
    if instant.tzinfo is None or instant.utcoffset() is None:
        raise PolicyError("an instant must carry its time zone")
