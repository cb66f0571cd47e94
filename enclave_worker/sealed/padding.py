"""Padding to buckets: u32 length, the content, zeros. What the parent learns of a length is its bucket.

Above the least bucket, lengths are rounded up as in Padmé (Nikitin et al., "Reducing Metadata Leakage from Encrypted
Files and Communication with PURBs", 2019): at most 12% more, and O(log log n) bits leak.
"""

LENGTH_BYTES = 4
LEAST_REQUEST_BYTES = 4096  # ours: a request with a token and a small body
LEAST_ANSWER_BYTES = 16_384  # ours: an attested answer with 5 KiB of body; every refusal and failure looks like one
MAX_REQUEST_BYTES = 7 * 1024 * 1024  # ours: in base64 within the 10 MiB that the parent takes
MAX_ANSWER_BYTES = 12_058_624  # ours: 11.5 MiB, a bucket; in base64 within a frame, and above an 8 MiB body in base64


class NotPadded(Exception):
    """Bytes are not content that was padded to its bucket."""


def bucket(length: int, *, least: int) -> int:
    """Return the size, in bytes, to which `length` bytes are padded."""
    if length <= least:
        return least
    exponent = length.bit_length() - 1
    free = exponent - exponent.bit_length()  # low bits that are rounded away
    mask = (1 << free) - 1
    return (length + mask) & ~mask


def pad(content: bytes, *, least: int) -> bytes:
    """Return `content` with its length in front, padded to its bucket."""
    size = bucket(LENGTH_BYTES + len(content), least=least)
    return (len(content).to_bytes(LENGTH_BYTES, "big") + content).ljust(size, b"\0")


def unpad(padded: bytes, *, least: int) -> bytes:
    """Return the content. Raises: NotPadded unless `pad` makes exactly `padded` of it."""
    end = LENGTH_BYTES + int.from_bytes(padded[:LENGTH_BYTES], "big")
    if (
        len(padded) < LENGTH_BYTES
        or len(padded) != bucket(end, least=least)
        or padded.count(0, end) != len(padded) - end
    ):
        raise NotPadded("not content padded to its bucket")
    return padded[LENGTH_BYTES:end]
