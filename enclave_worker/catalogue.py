"""What a service answers: the operations that its manifest declares, each with the code that runs it.

Both sides must agree before the worker listens. What is declared and cannot be run is an error; what could be run and
is not declared is not offered.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from enclave_worker.fields import records, versioned
from enclave_worker.handlers.operation import Operation, Values
from policy.operations import Declaration, Field


class CatalogueError(Exception):
    """The manifest declares what this image cannot do. The worker must not start."""

    advice = "Build the image from the commit that has the handler, or do not declare the operation."


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """One schema that an answer can be given in. `encode` takes values under the schema's names, and the time in ms.

    `encode` raises fields.codec.Unencodable.
    """

    schema: str
    fields: tuple[Field, ...]
    values: Callable[[Values], Values]
    encode: Callable[[Values, int], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A declared operation with its code. `forms` has our schema first, which is the default, then the record."""

    declaration: Declaration
    operation: Operation
    forms: tuple[Form, ...]


def bind(declared: Iterable[Declaration], operations: Iterable[Operation]) -> dict[str, Offer]:
    """Return what is offered, by name.

    Raises:
        CatalogueError: two operations of one name, no code for a declared one, or no record where one is declared.
    """
    known: dict[str, Operation] = {}
    for operation in operations:
        if known.setdefault(operation.name, operation) is not operation:
            raise CatalogueError(f"two handlers run {operation.name}")
    return {each.name: _offer(each, known.get(each.name)) for each in declared}


def _offer(declaration: Declaration, operation: Operation | None) -> Offer:
    if operation is None:
        raise CatalogueError(f"no code of this image runs {declaration.name}, which the manifest declares")
    forms = [_versioned(declaration)]
    if declaration.record is not None:
        forms.append(_record(declaration.record, operation))
    return Offer(declaration=declaration, operation=operation, forms=tuple(forms))


def _versioned(declaration: Declaration) -> Form:
    schema = declaration.schema
    return Form(
        schema=schema.id,
        fields=schema.fields,
        values=lambda values: values,
        encode=lambda values, time_ms: versioned.encode(schema, values, time_ms=time_ms),
    )


def _record(name: str, operation: Operation) -> Form:
    fields, make = records.RECORDS[name], operation.record
    if make is None:
        raise CatalogueError(f"{operation.name} makes no record {name}, which the manifest declares")
    return Form(schema=name, fields=fields, values=make, encode=lambda values, _: records.encode(fields, values))
