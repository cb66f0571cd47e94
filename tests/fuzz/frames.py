"""Frames (`wire.frames`, and `wire.sockets.receive_frame` above it), against a reader that has the whole stream.

1. Any cutting of a stream gives the same payloads and the same end, over a real socket too.
2. A length is judged with its fourth byte: never before, and without one byte of what it announces.
3. A payload has 1 byte to 16 MiB, and `encode` makes the frame that it came in.
4. What is held is what has come and was not taken: no more memory than twice that, and some.
"""

import itertools
import socket
import sys
import time
from collections.abc import Iterable

from tests.fuzz.draws import Draws
from tests.fuzz.target import Seeds, Target
from wire import sockets
from wire.errors import EmptyFrame, FrameError, FrameTooLarge, TruncatedFrame
from wire.frames import Decoder, encode

MOST = 16 * 1024 * 1024
LENGTHS = (0, 1, 2, 255, 256, 65_536, MOST - 1, MOST, MOST + 1, 2**31, 2**32 - 1)
MAX_WAITING_PIECES = 100  # the kernel's buffer holds a few hundred, however small they are
SLACK_BYTES = 4096  # an empty decoder, and what bytearray keeps in hand

Read = tuple[list[bytes], type[FrameError] | None]


def one_input(data: bytes) -> None:
    """Read one stream whole, in pieces and byte by byte."""
    draws = Draws(data)
    sizes = [draws.byte() + 1 for _ in range(draws.below(6))]
    stream = _stream(draws)
    expected = _known(stream)
    pieces = list(_cut(stream, sizes))
    assert _read([stream]) == expected
    assert _read(pieces) == expected
    assert _read([bytes([each]) for each in stream]) == expected
    if len(pieces) <= MAX_WAITING_PIECES:
        assert _received(pieces) == expected
    _a_length_is_judged_with_its_fourth_byte(stream, expected)
    assert stream.startswith(b"".join(map(encode, expected[0])))


def _stream(draws: Draws) -> bytes:
    """Return frames, announcements and other bytes, one behind the other."""
    made = b""
    for _ in range(draws.below(6)):
        match draws.below(3):
            case 0:
                payload = draws.blob() or b"x"
                made += len(payload).to_bytes(4, "big") + payload
            case 1:
                made += draws.choice(LENGTHS).to_bytes(4, "big")
            case _:
                made += draws.blob()
    return made + draws.rest()


def _known(stream: bytes) -> Read:
    payloads: list[bytes] = []
    while stream:
        length = int.from_bytes(stream[:4], "big")
        if len(stream) < 4:
            return payloads, TruncatedFrame
        if length == 0 or length > MOST:
            return payloads, EmptyFrame if length == 0 else FrameTooLarge
        if len(stream) < 4 + length:
            return payloads, TruncatedFrame
        payloads.append(stream[4 : 4 + length])
        stream = stream[4 + length :]
    return payloads, None


def _cut(stream: bytes, sizes: list[int]) -> Iterable[bytes]:
    at = 0
    for size in itertools.cycle(sizes or [len(stream) or 1]):
        if at >= len(stream):
            return
        yield stream[at : at + size]
        at += size


def _read(pieces: list[bytes]) -> Read:
    decoder, payloads = Decoder(), list[bytes]()
    held = 0
    try:
        for piece in pieces:
            decoder.feed(piece)
            held += len(piece)
            while (payload := decoder.next()) is not None:
                assert 1 <= len(payload) <= MOST
                held -= 4 + len(payload)
                payloads.append(payload)
            assert decoder.pending is (held > 0)
            assert _memory_bytes(decoder) <= 2 * held + SLACK_BYTES
        decoder.finish()
    except FrameError as error:
        return payloads, type(error)
    return payloads, None


def _memory_bytes(decoder: Decoder) -> int:
    return sum(sys.getsizeof(each) for each in vars(decoder).values())


def _received(pieces: list[bytes]) -> Read:
    near, far = socket.socketpair()
    payloads: list[bytes] = []
    with near, far:
        for piece in pieces:
            near.sendall(piece)
        near.close()
        decoder, deadline = Decoder(), time.monotonic() + 10
        try:
            while (payload := sockets.receive_frame(far, decoder, deadline=deadline)) is not None:
                payloads.append(payload)
        except FrameError as error:
            return payloads, type(error)
    return payloads, None


def _a_length_is_judged_with_its_fourth_byte(stream: bytes, expected: Read) -> None:
    payloads, end = expected
    if end not in (EmptyFrame, FrameTooLarge):
        return
    start = sum(4 + len(payload) for payload in payloads)
    for announced, judged in ((3, False), (4, True)):
        decoder = Decoder()
        decoder.feed(stream[start : start + announced])
        try:
            assert decoder.next() is None
            assert not judged
        except FrameError as error:
            assert judged
            assert type(error) is end


def seeds() -> Seeds:
    """Two frames; one of each announced length; one that is cut short."""
    yield "two", b"\x02\x00\x05" + b"\x00" + encode(b"first") + encode(b"second")
    for length in LENGTHS:
        yield f"announces-{length}", b"\x00\x00" + encode(b"before") + length.to_bytes(4, "big") + b"behind"
    yield "long", b"\x00\x00" + encode(bytes(200)) * 3
    yield "cut", b"\x00\x00" + encode(b"whole") + encode(b"cut")[:-1]


TARGET = Target(
    one_input=one_input,
    seeds=seeds,
    words=tuple(length.to_bytes(4, "big") for length in LENGTHS),
)
