"""Sockets, real ones: short reads, the size of each write, deadlines, and what a broken connection has delivered."""

import os
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from wire import frames, sockets
from wire.addresses import LoopbackAddress, UnixAddress, VsockAddress
from wire.errors import DeadlinePassed, EmptyFrame, FrameTooLarge, PeerLost, TruncatedFrame
from wire.frames import Decoder
from wire.sockets import MAX_SEND_BYTES

MEBIBYTE = 1 << 20


def soon(seconds: float = 5.0) -> float:
    return time.monotonic() + seconds


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.fixture
def tcp_pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    with sockets.listen(LoopbackAddress(host="127.0.0.1", port=0)) as listener:
        ours = sockets.connect(LoopbackAddress(host="127.0.0.1", port=listener.getsockname()[1]), deadline=soon())
        theirs, _ = listener.accept()
    with ours, theirs:
        yield ours, theirs


def reset(sock: socket.socket) -> None:
    """Close a TCP connection with RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def in_background(action: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=action)
    thread.start()
    return thread


def drain(sock: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size and (part := sock.recv(MEBIBYTE)):
        data += part
    return bytes(data)


# --- connect and listen


def test_a_unix_listener_is_connected_to_by_its_address(tmp_path: Path) -> None:
    address = UnixAddress(path=str(tmp_path / "s"))
    with sockets.listen(address) as listener, sockets.connect(address, deadline=soon()) as ours:
        theirs, _ = listener.accept()
        with theirs:
            sockets.send(ours, b"hello", deadline=soon())
            assert sockets.receive(theirs, deadline=soon()) == b"hello"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_loopback_listener_is_connected_to_by_its_address(host: str) -> None:
    with sockets.listen(LoopbackAddress(host=host, port=0)) as listener:
        address = LoopbackAddress(host=host, port=listener.getsockname()[1])
        with sockets.connect(address, deadline=soon()) as ours:
            theirs, _ = listener.accept()
            theirs.close()
            assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
            assert sockets.receive(ours, deadline=soon()) == b""


def test_a_vsock_listener_is_made_where_the_kernel_has_vsock() -> None:
    try:
        listener = sockets.listen(VsockAddress(cid=socket.VMADDR_CID_ANY, port=socket.VMADDR_PORT_ANY))
    except OSError:
        pytest.skip("this kernel has no AF_VSOCK")
    with listener:
        assert listener.family == socket.AF_VSOCK


def test_a_port_that_is_taken_is_an_error_at_start_up_and_leaks_no_socket() -> None:
    with sockets.listen(LoopbackAddress(host="127.0.0.1", port=0)) as listener, pytest.raises(OSError, match="in use"):
        sockets.listen(LoopbackAddress(host="127.0.0.1", port=listener.getsockname()[1]))


def test_connecting_where_nobody_listens_delivered_nothing(tmp_path: Path) -> None:
    with pytest.raises(PeerLost, match=r"^connect to unix:.*/none failed: No such file") as caught:
        sockets.connect(UnixAddress(path=str(tmp_path / "none")), deadline=soon())
    assert not caught.value.delivered
    with closing(sockets.listen(LoopbackAddress(host="127.0.0.1", port=0))) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(PeerLost, match=r"^connect to tcp://127.0.0.1:\d+ failed: Connection refused$") as caught:
        sockets.connect(LoopbackAddress(host="127.0.0.1", port=port), deadline=soon())
    assert not caught.value.delivered


def test_connecting_to_an_enclave_that_does_not_exist_delivered_nothing() -> None:
    with pytest.raises(PeerLost, match=r"^connect to vsock://4294967294:9 failed: ") as caught:
        sockets.connect(VsockAddress(cid=2**32 - 2, port=9), deadline=soon())
    assert not caught.value.delivered


def test_connecting_without_time_left_is_a_passed_deadline(tmp_path: Path) -> None:
    address = UnixAddress(path=str(tmp_path / "s"))
    with sockets.listen(address), pytest.raises(DeadlinePassed, match=r"^no time left$"):
        sockets.connect(address, deadline=time.monotonic())


def test_connecting_to_a_listener_that_does_not_accept_ends_with_the_deadline() -> None:
    with sockets.listen(LoopbackAddress(host="127.0.0.1", port=0), backlog=0) as listener:
        address = LoopbackAddress(host="127.0.0.1", port=listener.getsockname()[1])
        with sockets.connect(address, deadline=soon()):  # fills the only place; the kernel drops further SYNs
            began = time.monotonic()
            with pytest.raises(DeadlinePassed, match=r"^connect to tcp://127.0.0.1:\d+ timed out$"):
                sockets.connect(address, deadline=began + 0.2)
            assert 0.2 <= time.monotonic() - began < 1.0


# --- send


def test_no_write_is_larger_than_31_kibibytes() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)  # one write is one packet there
    data = os.urandom(MAX_SEND_BYTES * 3 + 100)
    with ours, theirs:
        sender = in_background(lambda: sockets.send(ours, data, deadline=soon()))
        packets: list[bytes] = []
        while sum(map(len, packets)) < len(data):
            packets.append(theirs.recv(MEBIBYTE))
        sender.join()
    assert [len(packet) for packet in packets] == [31 * 1024, 31 * 1024, 31 * 1024, 100]
    assert b"".join(packets) == data


def test_all_is_sent_through_a_buffer_that_takes_little_at_a_time(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    data = os.urandom(MEBIBYTE)
    sender = in_background(lambda: sockets.send(ours, data, deadline=soon()))
    assert drain(theirs, len(data)) == data
    sender.join()


def test_sending_nothing_touches_no_socket() -> None:
    ours, theirs = socket.socketpair()
    ours.close()
    theirs.close()
    sockets.send(ours, b"", deadline=soon())


def test_a_peer_that_does_not_read_is_given_up_at_the_deadline(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, _theirs = pair
    began = time.monotonic()
    with pytest.raises(DeadlinePassed, match=r"^send timed out$"):
        sockets.send(ours, bytes(4 * MEBIBYTE), deadline=began + 0.2)
    assert 0.2 <= time.monotonic() - began < 1.0


def test_a_peer_that_reads_slowly_does_not_extend_the_deadline(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    stop = threading.Event()

    def sip() -> None:
        while not stop.wait(0.02):
            theirs.recv(1024)

    reader = in_background(sip)
    began = time.monotonic()
    with pytest.raises(DeadlinePassed):
        sockets.send(ours, bytes(16 * MEBIBYTE), deadline=began + 0.3)
    taken = time.monotonic() - began
    stop.set()
    reader.join()
    assert 0.3 <= taken < 1.0


def test_sending_without_time_left_is_a_passed_deadline(pair: tuple[socket.socket, socket.socket]) -> None:
    with pytest.raises(DeadlinePassed, match=r"^no time left$"):
        sockets.send(pair[0], b"x", deadline=time.monotonic())
    assert not select.select([pair[1]], [], [], 0)[0]


def test_a_peer_that_has_closed_before_the_first_byte_got_nothing(pair: tuple[socket.socket, socket.socket]) -> None:
    pair[1].close()
    with pytest.raises(PeerLost, match=r"^send failed: Broken pipe$") as caught:
        sockets.send(pair[0], b"frame", deadline=soon())
    assert not caught.value.delivered


def test_a_peer_that_closes_in_the_middle_did_not_get_the_whole(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair

    def read_some() -> None:
        drain(theirs, 1000)
        theirs.close()

    reader = in_background(read_some)
    with pytest.raises(PeerLost, match=r"^send failed: ") as caught:
        sockets.send(ours, bytes(8 * MEBIBYTE), deadline=soon())
    reader.join()
    assert not caught.value.delivered


def test_a_reset_in_the_middle_did_not_give_the_whole(tcp_pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = tcp_pair

    def read_some() -> None:
        drain(theirs, 1000)
        reset(theirs)

    reader = in_background(read_some)
    with pytest.raises(PeerLost, match=r"^send failed: ") as caught:
        sockets.send(ours, bytes(16 * MEBIBYTE), deadline=soon())
    reader.join()
    assert not caught.value.delivered


# --- receive


def test_a_connection_that_breaks_while_the_reply_is_awaited_may_have_delivered(
    tcp_pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = tcp_pair
    sockets.send(ours, b"frame", deadline=soon())
    reset(theirs)
    with pytest.raises(PeerLost, match=r"^receive failed: Connection reset by peer$") as caught:
        sockets.receive(ours, deadline=soon())
    assert caught.value.delivered


def test_an_end_of_stream_is_no_bytes(pair: tuple[socket.socket, socket.socket]) -> None:
    pair[1].close()
    assert sockets.receive(pair[0], deadline=soon()) == b""


def test_what_has_come_is_returned_without_waiting_for_more(pair: tuple[socket.socket, socket.socket]) -> None:
    pair[1].sendall(b"abc")
    assert sockets.receive(pair[0], deadline=soon()) == b"abc"


def test_a_silent_peer_is_given_up_at_the_deadline(pair: tuple[socket.socket, socket.socket]) -> None:
    began = time.monotonic()
    with pytest.raises(DeadlinePassed, match=r"^receive timed out$"):
        sockets.receive(pair[0], deadline=began + 0.1)
    assert 0.1 <= time.monotonic() - began < 0.5


def test_receiving_without_time_left_is_a_passed_deadline_even_when_bytes_wait(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    pair[1].sendall(b"abc")
    with pytest.raises(DeadlinePassed, match=r"^no time left$"):
        sockets.receive(pair[0], deadline=time.monotonic() - 1)


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_a_frame_is_received_however_small_the_portions(pair: tuple[socket.socket, socket.socket], size: int) -> None:
    ours, theirs = pair
    frame = frames.encode(b"payload")

    def drip() -> None:
        for start in range(0, len(frame), size):
            theirs.sendall(frame[start : start + size])
            time.sleep(0.002)

    sender = in_background(drip)
    assert sockets.receive_frame(ours, Decoder(), deadline=soon()) == b"payload"
    sender.join()


def test_a_frame_of_sixteen_mebibytes_goes_through(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    payload = os.urandom(MEBIBYTE) * 16
    sender = in_background(lambda: sockets.send(ours, frames.encode(payload), deadline=soon()))
    received = sockets.receive_frame(theirs, Decoder(), deadline=soon())
    sender.join()
    assert received == payload


def test_two_frames_that_came_together_are_received_one_after_another(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = pair
    theirs.sendall(frames.encode(b"one") + frames.encode(b"two"))
    theirs.close()
    decoder = Decoder()
    received = [sockets.receive_frame(ours, decoder, deadline=soon()) for _ in range(3)]
    assert received == [b"one", b"two", None]


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"\x00\x00", TruncatedFrame),
        (b"\x00\x00\x00\x05ab", TruncatedFrame),
        (b"\x00\x00\x00\x00", EmptyFrame),
        (b"\xff\xff\xff\xff", FrameTooLarge),
    ],
)
def test_bytes_that_are_no_frame_are_a_frame_error(
    pair: tuple[socket.socket, socket.socket], data: bytes, error: type[Exception]
) -> None:
    pair[1].sendall(data)
    pair[1].close()
    with pytest.raises(error):
        sockets.receive_frame(pair[0], Decoder(), deadline=soon())


def test_a_frame_that_drips_in_does_not_extend_the_deadline(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    stop = threading.Event()

    def drip() -> None:
        theirs.sendall(b"\x00\x00\x10\x00")
        while not stop.wait(0.02):
            theirs.sendall(b".")

    sender = in_background(drip)
    began = time.monotonic()
    with pytest.raises(DeadlinePassed):
        sockets.receive_frame(ours, Decoder(), deadline=began + 0.2)
    taken = time.monotonic() - began
    stop.set()
    sender.join()
    assert 0.2 <= taken < 0.8


# --- is_quiet


def test_an_idle_connection_is_quiet(pair: tuple[socket.socket, socket.socket]) -> None:
    assert sockets.is_quiet(pair[0])


def test_a_connection_with_an_unasked_byte_is_not_quiet(pair: tuple[socket.socket, socket.socket]) -> None:
    pair[1].sendall(b"x")
    assert not sockets.is_quiet(pair[0])


def test_a_connection_that_the_peer_has_closed_is_not_quiet(pair: tuple[socket.socket, socket.socket]) -> None:
    pair[1].close()
    assert not sockets.is_quiet(pair[0])


def test_a_connection_that_the_peer_has_half_closed_is_not_quiet(
    tcp_pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = tcp_pair
    theirs.shutdown(socket.SHUT_WR)
    select.select([ours], [], [], 1)
    assert not sockets.is_quiet(ours)


def test_a_connection_that_was_reset_is_not_quiet(tcp_pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = tcp_pair
    reset(theirs)
    select.select([ours], [], [], 1)
    assert not sockets.is_quiet(ours)


def test_a_socket_that_was_closed_here_is_not_quiet(pair: tuple[socket.socket, socket.socket]) -> None:
    pair[0].close()
    assert not sockets.is_quiet(pair[0])


def test_a_vsock_socket_has_the_kernel_s_timeout_too() -> None:
    with socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM) as sock:
        with pytest.raises(PeerLost, match="receive failed"):  # it is not connected
            sockets.receive(sock, deadline=time.monotonic() + 90.5)
        view = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, sock.fileno())
        seconds, microseconds = struct.unpack("ll", view.getsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, 16))
        view.detach()
        assert 89.0 < seconds + microseconds / 1e6 <= 90.5
        assert sock.fileno() >= 0
