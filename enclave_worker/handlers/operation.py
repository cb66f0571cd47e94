"""What a handler is made of: upstream calls that it wants made, what came back, and the operation itself.

Values, not behaviour: these types are all that handlers and the code that runs them have in common.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

Value = str | int | bool | None
"""One attested value. Exact integers, never floats; None where the upstream says that there is none."""

Values = dict[str, Value]
"""What is attested and shown as `result`: flat, with text keys. Every key is always there; an absent value is None."""

Params = Mapping[str, object]
"""The caller's JSON object: untrusted, any type in any place. Its keys are among the operation's `parameters`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One upstream call that a handler wants made. It goes through the manifest's rules like any caller's.

    Headers and body may hold what a caller gave in confidence: they are not in the `repr`.
    """

    method: str
    url: str  # absolute
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    body: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Got:
    """A complete upstream response, whatever its status."""

    status: int
    headers: tuple[tuple[str, str], ...]  # names in lower case, latin-1 text; repeated ones repeated, in order received
    body: bytes


Fetch = Callable[[Ask], Got]
"""Makes one call. Raises for a fetch that failed and for one that the policy refuses; handlers let both pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One question that a service answers.

    `run` takes checked keys and unchecked values. It raises `ParamsRefused` before it fetches anything, or
    `OperationFailed` where the upstream's answer gives no result; any other exception is a defect of the handler.
    """

    name: str  # "vies.check_vat"
    parameters: frozenset[str]  # every key that `params` may have; others are refused before `run`
    run: Callable[[Params, Fetch], Values]
    record: Callable[[Values], Values] | None  # values -> the predecessor's record; None: it had none
