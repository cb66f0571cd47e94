"""Our schemas: what is absent, empty, zero or false differs, and the words say by themselves what and when they are.

    word 0   SHA-256 of the schema's definition (its id and its fields), modulo the order
    word 1   the statement's time, Unix milliseconds
    then, for each field: 1 or 0 for present or absent, where the field is optional; and the value, 0 where absent

Types are exact: a boolean is no uint, and a number no text. The sha256 of an empty text is that of an empty text.
"""

from enclave_worker.fields.codec import Unencodable, digest, short_string, word
from enclave_worker.handlers.operation import Value, Values
from policy.operations import Field, Schema


def encode(schema: Schema, values: Values, *, time_ms: int) -> bytes:
    """Return the field elements. The keys of `values` are the names of the fields.

    Raises:
        Unencodable: a value of another type, out of range, too long, or absent where it must not be.
    """
    words = [digest("schema", schema.definition), word("time", time_ms)]
    for field in schema.fields:
        value = values[field.name]
        if field.optional:
            words.append(word(field.name, int(value is not None)))
        words.append(word(field.name, 0) if field.optional and value is None else _element(field, value))
    return b"".join(words)


def _element(field: Field, value: Value) -> bytes:
    name = field.name
    match field.encoding, value:
        case "shortString", str():
            return short_string(name, value)
        case "sha256", str():
            return digest(name, value)
        case "boolean", bool():
            return word(name, int(value))
        case "uint", int() if not isinstance(value, bool):
            return word(name, value)
        case encoding, _:
            kind = "nothing" if value is None else type(value).__name__
            raise Unencodable(name, f"expected a {encoding}, got {kind}")
