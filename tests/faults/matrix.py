"""The rows, read from matrix.toml and checked: closed lists of words, each with its meaning."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PATH = Path(__file__).parent / "matrix.toml"
BOUND_SECONDS = 6.0  # for every outcome but those below: twice what every caller allows

MOMENTS: Mapping[str, str] = {
    "at start": "the component starts while this is so",
    "before the request": "this is so when the caller asks",
    "while connecting": "it happens to a connection before a byte has passed",
    "half of the request out": "some thousand bytes of the request have passed",
    "while waiting": "the upstream has the request and has not answered",
    "half of the answer in": "some thousand bytes of the answer have passed",
    "after the answer": "an answer was given; it is the next question, on connections that are kept, that is told of",
}

OUTCOMES: Mapping[str, str] = {
    "verified": "the whole answer, and its evidence holds",
    "attested connect": "evidence that the upstream could not be reached",
    "attested tls": "evidence that no TLS connection came about, or that it broke",
    "attested timeout": "evidence that the upstream did not answer in time",
    "attested truncated": "evidence that the answer ended early",
    "attested malformed": "evidence that what came is no HTTP",
    "attested too-large": "evidence that the answer was larger than the policy allows",
    "refused 400": "told by the enclave that what it got is no question",
    "refused 502": "the enclave has no evidence to give, and hands nothing out",
    "400 bad_request": "told that the request is none",
    "408 request_timeout": "told that the rest of the request did not come",
    "413 too_large": "told that the request is too large",
    "502 enclave_unreachable": "told that the enclave cannot be reached, or broke off",
    "503 archive_unavailable": "told that answers cannot be archived, which the operator demands; nothing was fetched",
    "504 deadline": "told that there was no answer in time",
    "no answer": "the connection ends",
    "not verified": "the verifier refuses what came",
    "left": "the caller itself has gone",
    "does not start": "the component ends at once, and says why",
}
SLOW_OUTCOMES: Mapping[str, float] = {"408 request_timeout": 13.0, "no answer": 14.0, "does not start": 15.0}

OTHERS: Mapping[str, str] = {
    "served": "all others are served, callers of the same service too",
    "other services served": "callers of other services are served",
    "served at a second try": "a connection may end; who asks again is served",
    "out": "nobody is served; who asks hears an error, or loses the connection",
}

NEXT: Mapping[str, float] = {"at once": 0.0, "soon": 6.0}  # seconds within which a question succeeds again

FIELDS = {"id", "component", "fault", "moment", "caller", "others", "next", "shown_by"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row. `caller` is what the disturbed caller sees; `shown_by` names tests of booted images."""

    id: str
    component: str
    fault: str
    moment: str
    caller: str
    others: str
    next: str
    shown_by: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raises: ValueError for a word that is not in its list."""
        words = ((self.moment, MOMENTS), (self.caller, OUTCOMES), (self.others, OTHERS), (self.next, NEXT))
        unknown = [word for word, known in words if word not in known]
        if unknown:
            raise ValueError(f"row {self.id!r}: {unknown[0]!r} is not a word of the matrix")

    @property
    def bound(self) -> float:
        """Seconds within which the caller hears."""
        return SLOW_OUTCOMES.get(self.caller, BOUND_SECONDS)


def load(path: Path = PATH) -> tuple[Row, ...]:
    """Return the rows. Raises: ValueError where one is wrong or two have one id."""
    rows = tuple(_row(each) for each in tomllib.loads(path.read_text(encoding="utf-8"))["rows"])
    if len({row.id for row in rows}) != len(rows):
        raise ValueError("two rows have one id")
    return rows


def _row(said: dict[str, object]) -> Row:
    if not said.keys() <= FIELDS or not all(isinstance(said.get(name), str) for name in FIELDS - {"shown_by"}):
        raise ValueError(f"row {said.get('id')!r}: expected {sorted(FIELDS)}")
    shown_by = said.pop("shown_by", [])
    if not isinstance(shown_by, list):
        raise ValueError(f"row {said['id']!r}: shown_by is a list")
    return Row(**said, shown_by=tuple(shown_by))  # type: ignore[arg-type]  # all are text
