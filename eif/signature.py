"""The signature section: CBOR `[{"signing_certificate": [u8...], "signature": [u8...]}]`, and the certificate in it.

Serde writes Rust's `Vec<u8>` as an array of numbers; that form alone is read (`PcrSignature` in `src/defs/mod.rs`).
Only the first entry counts, as for AWS (`des_sign[0]`); it signs PCR0. Nothing is verified here.
"""

import base64
import binascii
import re

from eif.errors import MalformedEif

_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----")
_UNSIGNED, _TEXT, _ARRAY, _MAP = 0, 3, 4, 5  # major types, RFC 8949 3.1
_ARGUMENT_BYTES = {24: 1, 25: 2, 26: 4}  # longer ones cannot occur: sections are shorter


def signing_certificate(section: bytes) -> bytes:
    """Return the DER certificate of the first signature.

    Raises:
        MalformedEif: the section is not of the form above, or holds no PEM certificate.
    """
    reader = _Reader(section)
    if reader.head(_ARRAY) < 1:
        raise MalformedEif("the signature section is empty")
    if reader.head(_MAP) != 2 or reader.text() != b"signing_certificate":
        raise MalformedEif("the signature section does not begin with a certificate")
    return _der(reader.numbers())


def _der(pem: bytes) -> bytes:
    found = _CERTIFICATE.search(pem)
    if not found:
        raise MalformedEif("the signature section holds no PEM certificate")
    try:
        return base64.b64decode(b"".join(found[1].split()), validate=True)
    except binascii.Error as error:
        raise MalformedEif(f"the signing certificate is no base64: {error}") from error


class _Reader:
    """Just enough CBOR, read once from the front."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def head(self, major: int) -> int:
        """Return the argument of the next item, which must be of this major type."""
        first = self.take(1)[0]
        short = first & 0x1F
        if first >> 5 != major or (short >= 24 and short not in _ARGUMENT_BYTES):
            raise MalformedEif(f"the signature section has {first:#04x} at {self._position - 1}")
        return short if short < 24 else int.from_bytes(self.take(_ARGUMENT_BYTES[short]), "big")

    def text(self) -> bytes:
        """Return a text string's bytes."""
        return self.take(self.head(_TEXT))

    def numbers(self) -> bytes:
        """Return an array of numbers below 256 as bytes."""
        count = self.head(_ARRAY)
        if count > len(self._data):
            raise MalformedEif(f"the signature section claims {count} numbers in {len(self._data)} bytes")
        numbers = [self.head(_UNSIGNED) for _ in range(count)]
        if any(number > 255 for number in numbers):
            raise MalformedEif("the signature section holds a number above 255 where a byte belongs")
        return bytes(numbers)

    def take(self, count: int) -> bytes:
        """Return the next `count` bytes."""
        taken = self._data[self._position : self._position + count]
        if len(taken) != count:
            raise MalformedEif("the signature section is cut short")
        self._position += count
        return taken
