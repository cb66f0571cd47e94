"""One word: a number below the order of BN254's scalar field, 32 bytes, big-endian; and what becomes such a number."""

import hashlib

# EIP-197: the order of alt_bn128's groups, which is the scalar field of circuits over it.
ORDER = 21888242871839275222246405745257275088548364400416034343698204186575808495617
WORD_BYTES = 32
MAX_SHORT_STRING_BYTES = 31  # 248 bits: any 31 bytes are below ORDER, which has 254


class Unencodable(Exception):
    """A value does not fit its field. The message names the field and the rule, never the value."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field


def word(field: str, number: int) -> bytes:
    """Return `number` as one word.

    Raises:
        Unencodable: it is negative, or not below ORDER.
    """
    if not 0 <= number < ORDER:
        raise Unencodable(field, "out of the field's range")
    return number.to_bytes(WORD_BYTES, "big")


def short_string(field: str, text: str) -> bytes:
    """Return the UTF-8 bytes of `text` as one word, zeros before them.

    Raises:
        Unencodable: more than 31 bytes, or a NUL, which would be taken for those zeros.
    """
    data = utf8(field, text)
    if len(data) > MAX_SHORT_STRING_BYTES:
        raise Unencodable(field, f"{len(data)} bytes, more than {MAX_SHORT_STRING_BYTES}")
    if b"\0" in data:
        raise Unencodable(field, "holds a NUL")
    return word(field, int.from_bytes(data, "big"))


def digest(field: str, text: str) -> bytes:
    """Return SHA-256 of the UTF-8 bytes of `text`, modulo ORDER, as one word.

    Raises:
        Unencodable: see `utf8`.
    """
    return word(field, int.from_bytes(hashlib.sha256(utf8(field, text)).digest(), "big") % ORDER)


def utf8(field: str, text: str) -> bytes:
    """Return the bytes of `text`.

    Raises:
        Unencodable: half a surrogate pair.
    """
    try:
        return text.encode()
    except UnicodeEncodeError as exc:
        raise Unencodable(field, "holds half a surrogate pair") from exc
