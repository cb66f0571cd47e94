"""What a query came to, once its calls are made: values with their field elements, or the code that says why not."""

import hashlib
from dataclasses import dataclass, field

from enclave_worker.catalogue import Form, Offer
from enclave_worker.fields import records
from enclave_worker.fields.codec import Unencodable, utf8
from enclave_worker.handlers.errors import OperationFailed
from enclave_worker.handlers.operation import Value, Values
from enclave_worker.statement import Result

MAX_TEXT_BYTES = 8 * 1024  # ours: 32 of them, and the heads of 8 responses, fit a statement of 1 MiB
MAX_EXACT = 2**53 - 1  # the largest integer that every reader of JSON keeps: ECMA-262, Number.MAX_SAFE_INTEGER


class HandlerDefect(Exception):
    """A handler broke its contract. Nothing is handed out; the process's edge logs it and closes the connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conclusion:
    """`result` is the statement's. `elements` are the field elements and `texts` what stands behind those that are
    digests, both empty for an error; `problem` then says what is wrong, to the caller.
    """

    result: Result
    elements: bytes = b""
    texts: dict[str, str] = field(default_factory=dict)
    problem: str = ""


def conclude(offer: Offer, form: Form, came: Values | OperationFailed, *, time_ms: int) -> Conclusion:
    """Return the conclusion from what a handler returned or raised, in the schema asked for, at the statement's time.

    Raises:
        HandlerDefect: the values are not those that the schema has.
    """
    if isinstance(came, OperationFailed):
        return _failed(offer, form, came)
    values = form.values(came)
    if values.keys() != {each.name for each in form.fields}:
        raise HandlerDefect(f"{offer.operation.name} does not give the values of {form.schema}")
    try:
        _check_sizes(values)
        elements = form.encode(values, time_ms)
    except Unencodable as exc:
        return _failed(offer, form, OperationFailed("unencodable", str(exc)))
    return Conclusion(
        result=Result(
            operation=offer.operation.name,
            schema=form.schema,
            values={name: _exact(value) for name, value in values.items()},
            fields=hashlib.sha256(elements).digest(),
        ),
        elements=elements,
        texts={each.name: records.text(values[each.name]) for each in form.fields if each.encoding == "sha256"},
    )


def _check_sizes(values: Values) -> None:
    for name, value in values.items():
        if isinstance(value, str) and len(utf8(name, value)) > MAX_TEXT_BYTES:
            raise Unencodable(name, f"more than {MAX_TEXT_BYTES} bytes")


def _failed(offer: Offer, form: Form, failed: OperationFailed) -> Conclusion:
    result = Result(operation=offer.operation.name, schema=form.schema, error=failed.code)
    return Conclusion(result=result, problem=str(failed))


def _exact(value: Value) -> Value:
    """Return the value as it is stated and shown: integers beyond MAX_EXACT as their decimal digits."""
    return str(value) if isinstance(value, int) and abs(value) > MAX_EXACT else value
