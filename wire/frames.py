"""The frame codec, without I/O: u32 big-endian length, then that many bytes.

The format is the predecessor's, bounds included, so that either end may be replaced first.
"""

from wire.errors import EmptyFrame, FrameTooLarge, TruncatedFrame

HEADER_BYTES = 4
MAX_FRAME_BYTES = 16 * 1024 * 1024  # payload, inclusive, both directions; the predecessor's bound


def check_length(length: int) -> int:
    """Return `length` (bytes of payload) when a frame may have it.

    Raises:
        EmptyFrame: it is zero.
        FrameTooLarge: it is above `MAX_FRAME_BYTES`.
    """
    if length == 0:
        raise EmptyFrame("Empty message received")
    if length > MAX_FRAME_BYTES:
        raise FrameTooLarge(f"Message too large: {length} bytes (max {MAX_FRAME_BYTES})")
    return length


def encode(payload: bytes) -> bytes:
    """Return the frame that carries `payload` (1 byte to 16 MiB).

    Raises:
        EmptyFrame, FrameTooLarge: the payload's size is out of bounds.
    """
    return check_length(len(payload)).to_bytes(HEADER_BYTES, "big") + payload


class Decoder:
    """Cuts a stream of bytes into payloads: `feed` what arrived, then call `next` until it returns None.

    A length is judged as soon as its four bytes are here, so that an absurd one costs no memory. After an error
    the decoder must be thrown away together with its connection.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        """Add bytes as they arrived, in any portions."""
        self._buffer += data

    def next(self) -> bytes | None:
        """Return the next whole payload, or None while it is incomplete.

        Raises:
            EmptyFrame, FrameTooLarge: the announced length is out of bounds.
        """
        if len(self._buffer) < HEADER_BYTES:
            return None
        end = HEADER_BYTES + check_length(int.from_bytes(self._buffer[:HEADER_BYTES], "big"))
        if len(self._buffer) < end:
            return None
        payload = bytes(memoryview(self._buffer)[HEADER_BYTES:end])
        del self._buffer[:end]
        return payload

    def finish(self) -> None:
        """Say that the peer has closed.

        Raises:
            TruncatedFrame: a frame had begun. Nothing is raised between two frames.
        """
        if not self._buffer:
            return
        body = len(self._buffer) - HEADER_BYTES
        if body < 0:
            raise TruncatedFrame(f"Connection closed: expected {HEADER_BYTES} bytes, got {len(self._buffer)}")
        length = int.from_bytes(self._buffer[:HEADER_BYTES], "big")
        raise TruncatedFrame(f"Connection closed: expected {length} bytes, got {body}")

    @property
    def pending(self) -> bool:
        """Whether bytes of an unfinished, or not yet taken, frame are held."""
        return bool(self._buffer)
