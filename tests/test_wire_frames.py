"""The frame codec: whole, in portions, at its bounds, and with bytes that are no frames."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from wire import frames
from wire.errors import EmptyFrame, FrameError, FrameTooLarge, TruncatedFrame
from wire.frames import HEADER_BYTES, MAX_FRAME_BYTES, Decoder

PAYLOADS = st.lists(st.binary(min_size=1, max_size=300), max_size=6)


def taken(decoder: Decoder) -> list[bytes]:
    payloads = []
    while (payload := decoder.next()) is not None:
        payloads.append(payload)
    return payloads


def test_a_frame_is_the_length_in_four_bytes_big_endian_and_then_the_payload() -> None:
    assert frames.encode(b"{}") == b"\x00\x00\x00\x02{}"
    assert frames.encode(b"a" * 0x010203)[:HEADER_BYTES] == b"\x00\x01\x02\x03"


def test_a_whole_frame_gives_its_payload() -> None:
    decoder = Decoder()
    decoder.feed(frames.encode(b"payload"))
    assert decoder.next() == b"payload"
    assert decoder.next() is None
    assert not decoder.pending


def test_a_frame_fed_byte_by_byte_gives_its_payload_with_the_last_byte() -> None:
    decoder = Decoder()
    seen = []
    for byte in frames.encode(b"payload"):
        decoder.feed(bytes([byte]))
        seen.append(decoder.next())
    assert seen == [None] * (HEADER_BYTES + 6) + [b"payload"]


def test_several_frames_in_one_feed_come_out_one_after_another() -> None:
    decoder = Decoder()
    decoder.feed(frames.encode(b"one") + frames.encode(b"two") + frames.encode(b"three"))
    assert taken(decoder) == [b"one", b"two", b"three"]


def test_bytes_behind_a_frame_stay_until_they_are_a_frame() -> None:
    decoder = Decoder()
    second = frames.encode(b"two")
    decoder.feed(frames.encode(b"one") + second[:5])
    assert taken(decoder) == [b"one"]
    assert decoder.pending
    decoder.feed(second[5:])
    assert taken(decoder) == [b"two"]
    assert not decoder.pending


def test_a_frame_of_no_bytes_is_neither_written_nor_read() -> None:
    with pytest.raises(EmptyFrame, match=r"^Empty message received$"):
        frames.encode(b"")
    decoder = Decoder()
    decoder.feed(b"\x00\x00\x00\x00")
    with pytest.raises(EmptyFrame, match=r"^Empty message received$"):
        decoder.next()


def test_a_frame_of_one_byte_passes() -> None:
    decoder = Decoder()
    decoder.feed(frames.encode(b"x"))
    assert decoder.next() == b"x"


def test_a_frame_of_sixteen_mebibytes_passes() -> None:
    payload = bytes(MAX_FRAME_BYTES)
    frame = frames.encode(payload)
    assert frame[:HEADER_BYTES] == b"\x01\x00\x00\x00"
    decoder = Decoder()
    for start in range(0, len(frame), 1 << 20):
        decoder.feed(frame[start : start + (1 << 20)])
    assert decoder.next() == payload


def test_one_byte_more_than_sixteen_mebibytes_is_not_written() -> None:
    with pytest.raises(FrameTooLarge, match=r"^Message too large: 16777217 bytes \(max 16777216\)$"):
        frames.encode(bytes(MAX_FRAME_BYTES + 1))


@pytest.mark.parametrize("header", [b"\x01\x00\x00\x01", b"\xff\xff\xff\xff", b"HTTP", b'{"id'])
def test_an_absurd_length_is_refused_before_a_byte_of_payload(header: bytes) -> None:
    decoder = Decoder()
    decoder.feed(header)
    length = int.from_bytes(header, "big")
    with pytest.raises(FrameTooLarge, match=rf"^Message too large: {length} bytes \(max 16777216\)$"):
        decoder.next()


def test_an_end_between_two_frames_is_no_error() -> None:
    decoder = Decoder()
    decoder.finish()
    decoder.feed(frames.encode(b"one"))
    decoder.next()
    decoder.finish()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x00", "Connection closed: expected 4 bytes, got 1"),
        (b"\x00\x00\x00", "Connection closed: expected 4 bytes, got 3"),
        (b"\x00\x00\x00\x0a", "Connection closed: expected 10 bytes, got 0"),
        (b"\x00\x00\x00\x0a{}", "Connection closed: expected 10 bytes, got 2"),
        (b"\x01\x00\x00\x00", "Connection closed: expected 16777216 bytes, got 0"),
    ],
)
def test_an_end_within_a_frame_says_what_was_expected_and_what_came(data: bytes, message: str) -> None:
    decoder = Decoder()
    decoder.feed(data)
    assert decoder.next() is None
    with pytest.raises(TruncatedFrame) as caught:
        decoder.finish()
    assert str(caught.value) == message


@settings(deadline=None)
@given(PAYLOADS, st.data())
def test_what_was_encoded_is_decoded_however_the_stream_is_cut(payloads: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(map(frames.encode, payloads))
    decoder = Decoder()
    seen = []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        decoder.feed(stream[:size])
        stream = stream[size:]
        seen += taken(decoder)
    decoder.finish()
    assert seen == payloads


@settings(deadline=None)
@given(st.lists(st.binary(max_size=64), max_size=8))
@example([b"\x00\x00\x00\x01"])
@example([b"\x00\x00", b"\x00\x00"])
@example([b"\x00\x00\x00\x01a\xff\xff\xff\xff"])
def test_any_bytes_in_any_portions_give_payloads_or_a_frame_error(portions: list[bytes]) -> None:
    decoder = Decoder()
    seen = []
    try:
        for portion in portions:
            decoder.feed(portion)
            seen += taken(decoder)
        decoder.finish()
    except FrameError:
        pass
    else:
        assert b"".join(map(frames.encode, seen)) == b"".join(portions)
    assert all(1 <= len(payload) <= MAX_FRAME_BYTES for payload in seen)
