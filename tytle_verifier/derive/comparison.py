"""A verified query and its raw bodies -> whether what is attested follows from them.

In this order: the bodies are those of the exchanges; each request is the one that the operation makes; the values, or
the code of a query without a result, are the attested ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from tytle_verifier import elements
from tytle_verifier.derive.operations import OPERATIONS, Derivation
from tytle_verifier.derive.trace import Call, CallsEnded, Trace, Unanswered, Values
from tytle_verifier.errors import DerivationError, PolicyError, StatementError, shown
from tytle_verifier.schemas import SCHEMAS, Schema
from tytle_verifier.statement import NoResult, Response, Result, Statement, Value
from tytle_verifier.verify import VerifiedReply

MAX_TEXT_BYTES: Final = 8192  # of UTF-8, of a value that becomes a digest: longer ones have no element
UNENCODABLE: Final = "unencodable"
REFUSED: Final = "call-refused"  # by the enclave's own policy, after the calls that the statement has
_SAYS_NOTHING = "whether the upstreams told the truth"


@dataclass(frozen=True, slots=True, kw_only=True)
class Derived:
    """What follows from the bodies, and is what is attested: `values` in the statement's schema, or an `error`'s code.

    Both are None where the last call failed: then there is nothing to derive. `problem` says what is wrong with the
    upstream's answer. `compared` and `not_compared` are lines for people.
    """

    operation: str | None
    schema: str | None
    values: Mapping[str, Value] | None
    error: str | None
    problem: str | None
    compared: tuple[str, ...]
    not_compared: tuple[str, ...]


def derive(verified: VerifiedReply, bodies: Sequence[bytes]) -> Derived:
    """Derive the answer of a verified query from the upstreams' raw `bodies`, one per answered exchange, in order.

    Raises:
        DerivationError: what is attested does not follow from the bodies.
        PolicyError: these are not the bodies, this is no query, or its operation or schema is not known here.
    """
    statement = verified.statement
    lines = _check_bodies(statement, bodies)
    result = statement.result
    if result is None:
        return _without_result(statement, lines)
    derivation = OPERATIONS.get(result.operation)
    if derivation is None:
        raise PolicyError(f"operation {shown(result.operation)}: how its values are derived is not known here")
    if result.schema not in (derivation.schema, derivation.record_schema):
        raise PolicyError(f"schema {shown(result.schema)} is not one of {result.operation}")
    claimed = _claimed(result)
    trace = Trace(calls=_calls(statement, bodies), claimed=claimed)
    try:
        derived = _run(derivation, trace, result, statement.time_ms)
    except CallsEnded as error:
        derived = _cut_short(trace, result, error)
    if trace.taken < len(trace.calls):
        raise DerivationError("calls", got=f"{trace.taken} are needed", expected=f"{len(trace.calls)} were made")
    _compare(derived, result, claimed)
    return replace(
        derived,
        compared=(*lines, *trace.compared, *derived.compared),
        not_compared=(*trace.not_compared, *derived.not_compared, _SAYS_NOTHING),
    )


def _check_bodies(statement: Statement, bodies: Sequence[bytes]) -> tuple[str, ...]:
    digests = [each.outcome.body for each in statement.exchanges if isinstance(each.outcome, Response)]
    if len(digests) != len(bodies):
        raise PolicyError(f"{len(bodies)} bodies given for {len(digests)} answered calls: give one each, in order")
    for number, (digest, body) in enumerate(zip(digests, bodies, strict=True), 1):
        if len(body) != digest.length or hashlib.sha256(body).digest() != digest.sha256:
            raise PolicyError(f"body {number} is not the one attested: another length or SHA-256")
    return tuple(f"body {number}: {len(body)} bytes, as attested" for number, body in enumerate(bodies, 1))


def _without_result(statement: Statement, lines: tuple[str, ...]) -> Derived:
    if isinstance(statement.answer.outcome, Response):
        raise PolicyError("this is the answer to a fetch: it has no values to derive")
    nothing = ("everything: the last call failed, so that there is no result", _SAYS_NOTHING)
    return Derived(
        operation=None, schema=None, values=None, error=None, problem=None, compared=lines, not_compared=nothing
    )


def _calls(statement: Statement, bodies: Sequence[bytes]) -> tuple[Call, ...]:
    answered = [(each, each.outcome) for each in statement.exchanges if isinstance(each.outcome, Response)]
    return tuple(
        Call(request=exchange.request, status=response.status, headers=response.headers, body=bytes(body))
        for (exchange, response), body in zip(answered, bodies, strict=True)
    )


def _claimed(result: Result | NoResult) -> Values | None:
    """Return the values that step 8 let through: texts, numbers, booleans and nulls."""
    if isinstance(result, NoResult):
        return None
    return {name: value for name, value in result.values.items() if value is None or isinstance(value, str | int)}


def _run(derivation: Derivation, trace: Trace, result: Result | NoResult, time_ms: int) -> Derived:
    empty = Derived(
        operation=result.operation,
        schema=result.schema,
        values=None,
        error=None,
        problem=None,
        compared=(),
        not_compared=(),
    )
    try:
        values = derivation.run(trace)
    except Unanswered as unanswered:
        return replace(empty, error=unanswered.code, problem=unanswered.problem)
    ours = values if result.schema == derivation.schema else derivation.record(values)
    schema = SCHEMAS.get(result.schema)
    problem = None if schema is None else _unencodable(schema, ours, time_ms)
    if problem is not None:
        return replace(empty, error=UNENCODABLE, problem=problem)
    return replace(empty, values={name: _exact(value) for name, value in ours.items()})


def _unencodable(schema: Schema, values: Values, time_ms: int) -> str | None:
    """Return why the values have no field elements; None where they have."""
    for field in schema.fields:
        value = values.get(field.name)
        if isinstance(value, str) and len(value.encode()) > MAX_TEXT_BYTES:
            return f"{field.name}: a text of more than {MAX_TEXT_BYTES} bytes"
    try:
        elements.encode(schema, {name: _exact(value) for name, value in values.items()}, time_ms)
    except StatementError as error:
        return error.detail
    return None


def _exact(value: Value) -> Value:
    """Return a value as it is stated: an integer that JSON readers round as its decimal digits."""
    return str(value) if isinstance(value, int) and abs(value) > elements.MAX_EXACT else value


def _cut_short(trace: Trace, result: Result | NoResult, error: CallsEnded) -> Derived:
    if not isinstance(result, NoResult) or result.error != REFUSED:
        raise DerivationError("calls", got="another one is needed", expected=f"{len(trace.calls)} were made") from error
    rest = "that the enclave's policy refuses the next call: the policy is in the image, not in the statement"
    return Derived(
        operation=result.operation,
        schema=result.schema,
        values=None,
        error=REFUSED,
        problem=None,
        compared=(),
        not_compared=(rest,),
    )


def _compare(derived: Derived, result: Result | NoResult, claimed: Values | None) -> None:
    if isinstance(result, NoResult):
        if derived.error != result.error:
            raise DerivationError("result", got=derived.error or "values", expected=result.error)
        return
    if derived.values is None or claimed is None:
        raise DerivationError("result", got=f"{derived.error}: {derived.problem}", expected="values")
    names = sorted({name for name, *_ in _exactly(derived.values) ^ _exactly(claimed)})
    if names:
        name = names[0]
        got, expected = derived.values.get(name), claimed.get(name)
        raise DerivationError(f"result.values.{shown(name)}", got=repr(got), expected=repr(expected))


def _exactly(values: Values) -> set[tuple[str, type, Value]]:
    """Return values so that 1 and true differ."""
    return {(name, type(value), value) for name, value in values.items()}
