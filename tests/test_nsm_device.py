"""The device file, with an ioctl that does what Linux does: reads and writes through the addresses it is given."""

import ctypes
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nsm import client
from nsm.device import NSM_IOCTL, PATH, Device, Message
from nsm.errors import ERRNO_SENTENCES, DeviceFailed, DeviceUnavailable, MalformedReply

BUFFER_BYTES = 0x3000


class Kernel:
    """Stands where fcntl.ioctl stands, and keeps what it was given."""

    def __init__(self, reply: bytes = b"", *, claims: int | None = None, errnos: tuple[int, ...] = ()) -> None:
        self.reply = reply
        self.claims = len(reply) if claims is None else claims
        self.errnos = list(errnos)
        self.calls: list[tuple[int, int, bytes, int]] = []

    def ioctl(self, descriptor: int, command: int, message: Message) -> int:
        request = ctypes.string_at(message.request.addr, message.request.len)
        self.calls.append((descriptor, command, request, message.response.len))
        if self.errnos:
            number = self.errnos.pop(0)
            raise OSError(number, os.strerror(number))
        ctypes.memmove(message.response.addr, self.reply, len(self.reply))
        message.response.len = self.claims
        return 0


Opener = Callable[[Kernel], Device]


@pytest.fixture
def opened() -> Iterator[Opener]:
    devices = []

    def opener(kernel: Kernel) -> Device:
        devices.append(Device(path=os.devnull, ioctl=kernel.ioctl))
        return devices[-1]

    yield opener
    for device in devices:
        device.close()


def test_the_command_and_the_message_are_those_of_linux() -> None:
    assert NSM_IOCTL == 0xC0200A00
    assert ctypes.sizeof(Message) == 32
    assert (Message.request.offset, Message.response.offset) == (0, 16)


@pytest.mark.parametrize("size", [1, 2, 1023, 0x1000])
def test_the_driver_gets_the_request_and_room_for_the_largest_reply(opened: Opener, size: int) -> None:
    kernel = Kernel(b"reply")
    request = os.urandom(size)
    assert opened(kernel).exchange(request) == b"reply"
    ((descriptor, command, seen, room),) = kernel.calls
    assert os.fstat(descriptor).st_rdev == Path(os.devnull).stat().st_rdev
    assert (command, seen, room) == (0xC0200A00, request, BUFFER_BYTES)


def test_a_request_may_contain_zero_bytes_anywhere(opened: Opener) -> None:
    kernel = Kernel(b"\x00r\x00\x00")
    assert opened(kernel).exchange(b"\x00q\x00\x00") == b"\x00r\x00\x00"
    assert kernel.calls[0][2] == b"\x00q\x00\x00"


@pytest.mark.parametrize("size", [0, 1, BUFFER_BYTES])
def test_the_reply_has_the_length_that_the_driver_wrote(opened: Opener, size: int) -> None:
    reply = os.urandom(size)
    assert opened(Kernel(reply)).exchange(b"x") == reply


def test_a_reply_does_not_contain_bytes_of_the_one_before(opened: Opener) -> None:
    kernel = Kernel(b"secret secret")
    device = opened(kernel)
    device.exchange(b"x")
    kernel.reply, kernel.claims = b"ab", 8
    assert device.exchange(b"x") == b"ab" + bytes(6)


@pytest.mark.parametrize("claims", [BUFFER_BYTES + 1, 2**32, 2**64 - 1])
def test_a_driver_that_claims_more_than_the_buffer_holds_is_not_believed(opened: Opener, claims: int) -> None:
    with pytest.raises(MalformedReply, match=f"wrote {claims} bytes into a buffer of 12288"):
        opened(Kernel(b"reply", claims=claims)).exchange(b"x")


def test_a_request_beyond_the_drivers_limit_is_refused_before_the_ioctl(opened: Opener) -> None:
    kernel = Kernel()
    with pytest.raises(DeviceFailed) as caught:
        opened(kernel).exchange(bytes(0x1001))
    assert (caught.value.errno, kernel.calls) == (errno.EMSGSIZE, [])


def test_an_empty_request_is_refused_before_the_ioctl(opened: Opener) -> None:
    kernel = Kernel()
    with pytest.raises(ValueError, match="at least 1 byte"):
        opened(kernel).exchange(b"")
    assert kernel.calls == []


def test_an_interrupted_ioctl_is_done_again(opened: Opener) -> None:
    kernel = Kernel(b"reply", errnos=(errno.EINTR, errno.EINTR))
    assert opened(kernel).exchange(b"x") == b"reply"
    assert [call[2:] for call in kernel.calls] == [(b"x", BUFFER_BYTES)] * 3


@pytest.mark.parametrize("number", sorted(set(ERRNO_SENTENCES) - {errno.EINTR}))
def test_every_errno_of_the_driver_has_its_sentence(opened: Opener, number: int) -> None:
    kernel = Kernel(errnos=(number,))
    with pytest.raises(DeviceFailed) as caught:
        opened(kernel).exchange(b"x")
    assert caught.value.errno == number
    assert str(caught.value) == f"{errno.errorcode[number]}: {ERRNO_SENTENCES[number]}"
    assert len(kernel.calls) == 1
    assert isinstance(caught.value.__cause__, OSError)


def test_an_errno_that_nobody_documents_is_named(opened: Opener) -> None:
    with pytest.raises(DeviceFailed, match="EXDEV: An error that the nsm driver does not document"):
        opened(Kernel(errnos=(errno.EXDEV,))).exchange(b"x")
    assert str(DeviceFailed(4095)).startswith("errno 4095: ")


def test_the_device_is_opened_once_for_reading_and_writing() -> None:
    seen = []

    def open_file(path: str, flags: int) -> int:
        seen.append((path, flags))
        return os.open(os.devnull, flags)

    with Device(open_file=open_file, ioctl=Kernel(b"reply").ioctl) as device:
        device.exchange(b"x")
        device.exchange(b"y")
    assert seen == [(PATH, os.O_RDWR | os.O_CLOEXEC)] == [("/dev/nsm", os.O_RDWR | os.O_CLOEXEC)]


def test_a_device_that_cannot_be_opened_says_why(tmp_path: Path) -> None:
    with pytest.raises(DeviceUnavailable, match=r"cannot open .*absent: No such file or directory") as caught:
        Device(path=str(tmp_path / "absent"))
    assert "enclave" in caught.value.advice


def test_a_closed_device_closes_its_file_once_and_answers_no_more(opened: Opener) -> None:
    kernel = Kernel(b"reply")
    device = opened(kernel)
    device.exchange(b"x")
    descriptor = kernel.calls[0][0]
    device.close()
    device.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
    with pytest.raises(DeviceUnavailable, match="closed"):
        device.exchange(b"x")


def test_the_real_ioctl_tells_that_another_file_is_no_nsm() -> None:
    with Device(path=os.devnull) as device, pytest.raises(DeviceFailed) as caught:
        device.exchange(b"x")
    assert caught.value.errno == errno.ENOTTY


def test_the_client_speaks_through_the_device(opened: Opener) -> None:
    kernel = Kernel(bytes.fromhex("a1694765 7452616e646f6da1667261 6e646f6d43010203"))
    assert client.get_random(opened(kernel).exchange) == b"\x01\x02\x03"
    assert kernel.calls[0][2] == b"\x69GetRandom"


@pytest.mark.skipif(not Path(PATH).exists(), reason="NO /dev/nsm: this runs inside an enclave only")
def test_the_real_device_gives_randomness_and_describes_itself() -> None:
    with Device() as device:
        assert client.get_random(device.exchange)
        assert client.describe(device.exchange).max_pcrs == 32
