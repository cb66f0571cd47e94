"""The forms that the description repeats, as functions: references, objects, answers, operations."""

from collections.abc import Mapping
from typing import Any

Part = dict[str, Any]

TEXT: Part = {"type": "string"}
TEXT_OR_NULL: Part = {"type": ["string", "null"]}
COUNT: Part = {"type": "integer", "minimum": 0}
COUNT_OR_NULL: Part = {"type": ["integer", "null"], "minimum": 0}
YES_OR_NO: Part = {"type": "boolean"}
FALSE: Part = {"const": False}
TRUE: Part = {"const": True}
CHALLENGE = "AAECAwQFBgcICQoLDA0ODw=="  # an example


def schema(name: str) -> Part:
    """Return a reference to a schema."""
    return {"$ref": f"#/components/schemas/{name}"}


def header(name: str) -> Part:
    """Return a reference to a header."""
    return {"$ref": f"#/components/headers/{name}"}


def parameters(*names: str) -> list[Part]:
    """Return references to parameters."""
    return [{"$ref": f"#/components/parameters/{name}"} for name in names]


def hexadecimal(digits: int, description: str = "") -> Part:
    """Return the schema of lower-case hex."""
    said = {"description": description} if description else {}
    return {"type": "string", **said, "pattern": f"^[0-9a-f]{{{digits}}}$"}


def array(items: Part, description: str = "") -> Part:
    """Return the schema of a list."""
    return {"type": "array", **({"description": description} if description else {}), "items": items}


def open_object(properties: Part, *, optional: str = "", description: str = "") -> Part:
    """Return the schema of an object of the enclave's, which may say more. `optional` are names with blanks between."""
    return {
        "type": "object",
        **({"description": description} if description else {}),
        "required": [name for name in properties if name not in optional.split()],
        "properties": properties,
    }


def closed_object(properties: Part, *, optional: str = "", description: str = "") -> Part:
    """Return the schema of an object that has nothing else: a question, or what the parent itself says."""
    return {**open_object(properties, optional=optional, description=description), "additionalProperties": False}


EVERY_ANSWER: Part = {"X-Request-Id": header("RequestId"), "Cache-Control": header("NoStore")}
RELAYED: Part = {**EVERY_ANSWER, "X-Enclave": header("Enclave"), "X-Enclave-Boot": header("EnclaveBoot")}


def answer(
    description: str, *schemas: Part, headers: Mapping[str, Part] = EVERY_ANSWER, media_type: str = "application/json"
) -> Part:
    """Return a response that is one of the schemas."""
    chosen = schemas[0] if len(schemas) == 1 else {"oneOf": list(schemas)}
    return {"description": description, "headers": dict(headers), "content": {media_type: {"schema": chosen}}}


def body(name: str, example: str, summary: str, value: Part) -> Part:
    """Return a request body of the schema `name`, with an example."""
    shown = {example: {"summary": summary, "value": value}}
    return {"required": True, "content": {"application/json": {"schema": schema(name), "examples": shown}}}


GATED = {"401": "Unauthenticated", "403": "Forbidden", "429": "TooMany", "503": "Busy"}


def operation(
    name: str,
    tag: str,
    summary: str,
    *,
    answers: Mapping[str, Part],
    refusals: Mapping[str, str] | None = None,
    gated: bool = True,
    description: str = "",
    **more: Any,
) -> Part:
    """Return an operation. `answers` are by status, `refusals` names of responses by status; `more` as in OpenAPI.

    `gated`: it wants a caller, and may be refused for one's limits.
    """
    named = {**(GATED if gated else {}), **(refusals or {}), "500": "Bug"}
    responses = {**answers, **{status: {"$ref": f"#/components/responses/{each}"} for status, each in named.items()}}
    return {
        "operationId": name,
        "tags": [tag],
        "summary": summary,
        **({"description": description} if description else {}),
        **({} if gated else {"security": []}),
        **more,
        "responses": dict(sorted(responses.items())),
    }
