"""Step 8 for the answer to a query: what is shown is what is attested, and the elements follow from the values.

Each function compares one thing and returns the lines that the report prints for it.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping

from tytle_verifier import elements
from tytle_verifier.errors import StatementError, shown
from tytle_verifier.reply import Reply, ShownValues
from tytle_verifier.schemas import Schema
from tytle_verifier.statement import NoResult, Response, Result, Statement, Value

ANSWERED_STATUS = 200
UNANSWERED_STATUS = 502  # RFC 9110 15.6.3: the upstream answered something else than what was asked
NOTHING = ShownValues()
_CAPITAL = re.compile(r"[A-Z]")


def check_none(reply: Reply) -> None:
    """Demand that a reply whose statement has no result shows none. Raises: StatementError."""
    if reply.values != NOTHING:
        raise StatementError("the reply shows a result", expected="none: the statement has none")


def check(statement: Statement, reply: Reply, known: Mapping[str, Schema]) -> tuple[str, ...]:
    """Compare what the reply shows with the statement's result. Raises: StatementError."""
    result = statement.result
    if not all(isinstance(exchange.outcome, Response) for exchange in statement.exchanges):
        raise StatementError("a result beside a call that failed", expected="an answer to every call")
    if reply.headers:
        raise StatementError("headers of a query", got=[name for name, _ in reply.headers], expected="none")
    if isinstance(result, NoResult):
        return (_check_unanswered(result, reply),)
    if result is None:
        raise StatementError("result", got="none", expected="one")
    values = _flat(result)
    shows = _check_shown(result, values, reply)
    return shows, _check_elements(statement, result, values, reply, known.get(result.schema))


def unchecked(statement: Statement, known: Mapping[str, Schema]) -> dict[str, bool]:
    """Return the lines for what was not checked of a result, each with whether it applies."""
    result = statement.result
    schema = "" if result is None else shown(result.schema)
    has_values = isinstance(result, Result)
    return {
        "whether the values follow from the upstreams' bodies: the enclave's code read them": has_values,
        f"field elements against values: schema {schema} is not known here": has_values and schema not in known,
        "whether the upstreams' bodies give no result: the enclave's code read them": isinstance(result, NoResult),
    }


def header_name(service: str, field: str) -> str:
    """Return the name under which a reply shows a field's text: `x-vies-address` for `address` of `vies`."""
    return f"x-{service.split('-', maxsplit=1)[0]}-" + _CAPITAL.sub(lambda capital: f"-{capital[0].lower()}", field)


def _check_unanswered(result: NoResult, reply: Reply) -> str:
    if reply.success or reply.status != UNANSWERED_STATUS:
        raise StatementError("status of a query without a result", got=reply.status, expected=UNANSWERED_STATUS)
    if reply.body or reply.values != ShownValues(code=result.error):
        raise StatementError("a query without a result shows one, or another code", expected=result.error)
    return f"no result: {shown(result.operation)}, {shown(result.error)}"


def _flat(result: Result) -> dict[str, Value]:
    made: dict[str, Value] = {}
    for name, value in result.values.items():
        if not (value is None or isinstance(value, str | int)):
            raise StatementError(
                f"result.values.{name}", got=type(value).__name__, expected="text, an integer, true, false or null"
            )
        made[name] = value
    return made


def _check_shown(result: Result, values: Mapping[str, Value], reply: Reply) -> str:
    if not reply.success or reply.status != ANSWERED_STATUS:
        raise StatementError("status of a query with a result", got=reply.status, expected=ANSWERED_STATUS)
    if reply.values.code is not None:
        raise StatementError("code", got=reply.values.code, expected="none: there is a result")
    differing = _exactly(reply.values.result or {}) ^ _exactly(values)
    if differing:
        raise StatementError("result", got=sorted({name for name, *_ in differing}), expected="the values attested")
    return f"{shown(result.operation)}: {len(result.values)} values as attested"


def _exactly(values: Mapping[str, Value]) -> set[tuple[str, type, Value]]:
    """Return values so that 1 and true differ."""
    return {(name, type(value), value) for name, value in values.items()}


def _check_elements(
    statement: Statement, result: Result, values: Mapping[str, Value], reply: Reply, schema: Schema | None
) -> str:
    data = _elements(reply.body)
    if reply.values.elements != reply.body.decode("ascii"):
        raise StatementError("bn254", expected="rawBody")
    if hashlib.sha256(data).digest() != result.fields:
        raise StatementError("field elements SHA-256", got=hashlib.sha256(data).digest(), expected=result.fields)
    count = f"{len(data) // elements.ELEMENT_BYTES} field elements"
    given = dict(reply.values.texts or ())
    if schema is None:
        every = _headers(statement, {name: elements.text(value) for name, value in values.items()})
        _check_texts(given, {name: text for name, text in every.items() if name in given})
        return f"{count}: those attested"
    if data != elements.encode(schema, values, statement.time_ms):
        raise StatementError("field elements", expected=f"those of the values under {schema.id}")
    _check_texts(given, _headers(statement, elements.texts(schema, values)))
    return f"{count}: those of the values under {shown(schema.id)}"


def _elements(body: bytes) -> bytes:
    try:
        data = base64.b64decode(body, validate=True)
    except ValueError as error:
        raise StatementError("rawBody of a query", expected="base64 of field elements") from error
    if base64.b64encode(data) != body or len(data) % elements.ELEMENT_BYTES:
        raise StatementError("rawBody of a query", got=f"{len(data)} bytes", expected="elements of 32 bytes each")
    return data


def _headers(statement: Statement, texts: Mapping[str, str]) -> dict[str, str]:
    return {header_name(statement.service, field): text for field, text in texts.items()}


def _check_texts(given: Mapping[str, str], expected: Mapping[str, str]) -> None:
    if given != expected:
        differing = sorted({name for name, _ in given.items() ^ expected.items()})
        raise StatementError("bn254Headers", got=", ".join(differing), expected="the texts attested")
