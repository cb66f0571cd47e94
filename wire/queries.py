"""A query: the body of `POST /attest/query`, which asks a service for values instead of for bytes.

As a frame it is told from a call by its `operation`. Which operations there are, and what `params` may hold, is the
business of the enclave; here they are JSON that can be passed on unchanged.
"""

import base64
import math
from dataclasses import dataclass, field
from typing import Any

from wire import fields as read
from wire import jsontext
from wire.errors import MessageError

MARK = "operation"
QUERY_FIELDS = frozenset({"id", "service", MARK, "params", "schema", "challenge", "mode", "timeoutMs"})
MAX_NAME_CHARS = 64
MAX_PARAMS_DEPTH = 8  # ours: parameters are flat, or nearly


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One question. `params` is the caller's JSON object; a `schema` of None leaves the choice to the enclave."""

    id: str | None
    service: str
    operation: str
    params: dict[str, Any] = field(repr=False)
    schema: str | None = None
    challenge: bytes | None = None
    mode: str = read.DEFAULT_MODE
    timeout_ms: int | None = None


def decode(payload: bytes) -> Query:
    """Read the body of `POST /attest/query`.

    Raises:
        MessageError: it is none; `field` names the culprit.
    """
    return read_query(jsontext.parse_object(payload))


def read_query(given: dict[str, Any]) -> Query:
    """Return the query that a JSON object says.

    Raises:
        MessageError: it says none; `field` names the culprit.
    """
    read.only(given, QUERY_FIELDS)
    return Query(
        id=read.identifier(given.get("id")),
        service=_name("service", given),
        operation=_name(MARK, given),
        params=_params(given),
        schema=_name("schema", given) if given.get("schema") is not None else None,
        challenge=read.challenge(given.get("challenge")),
        mode=read.mode(given.get("mode")),
        timeout_ms=read.timeout_ms(given.get("timeoutMs")),
    )


def encode(query: Query) -> bytes:
    """Return the payload that `decode` reads back as `query`. Fields that say nothing are left out."""
    said: dict[str, Any] = {"id": query.id, "service": query.service, MARK: query.operation, "params": query.params}
    if query.schema is not None:
        said["schema"] = query.schema
    if query.challenge is not None:
        said["challenge"] = base64.b64encode(query.challenge).decode()
    if query.mode != read.DEFAULT_MODE:
        said["mode"] = query.mode
    if query.timeout_ms is not None:
        said["timeoutMs"] = query.timeout_ms
    return jsontext.dump(said)


def _name(key: str, given: dict[str, Any]) -> str:
    if given.get(key) is None:
        raise MessageError(key, "missing")
    text = jsontext.text(key, given[key])
    if not 1 <= len(text) <= MAX_NAME_CHARS:
        raise MessageError(key, f"must have 1 to {MAX_NAME_CHARS} characters")
    return text


def _params(given: dict[str, Any]) -> dict[str, Any]:
    if "params" not in given:
        raise MessageError("params", "missing")
    params = given["params"]
    if not isinstance(params, dict):
        raise MessageError("params", f"must be an object, not {jsontext.kind(params)}")
    _check(params, MAX_PARAMS_DEPTH)
    return params


def _check(value: object, depth: int) -> None:
    """Refuse what could not be passed on as it came: half surrogate pairs, and numbers too large for a fraction."""
    if isinstance(value, dict | list) and depth == 0:
        raise MessageError("params", f"nested more than {MAX_PARAMS_DEPTH} deep")
    match value:
        case dict():
            for key, inner in value.items():
                jsontext.text("params", key)
                _check(inner, depth - 1)
        case list():
            for inner in value:
                _check(inner, depth - 1)
        case str():
            jsontext.text("params", value)
        case float() if not math.isfinite(value):
            raise MessageError("params", "holds a number out of range")
