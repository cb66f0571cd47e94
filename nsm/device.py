"""The device file /dev/nsm and its one ioctl. The only file of this room that touches ctypes, fcntl and os.

Linux (`include/uapi/linux/nsm.h`): struct nsm_raw is two struct nsm_iovec { u64 addr; u64 len }, request and
response; NSM_IOCTL_RAW is _IOWR(0x0A, 0, struct nsm_raw). The driver (`drivers/misc/nsm.c`) holds a mutex while a
request is under way, waits up to 120 s for the device, writes the reply through the response's address, and sets the
response's length to what it wrote. Anybody may open the file (mode 0666).
"""

import ctypes
import errno
import fcntl
import os
from collections.abc import Callable
from types import TracebackType
from typing import Self

from nsm.errors import DeviceFailed, DeviceUnavailable, MalformedReply
from nsm.requests import MAX_REQUEST_BYTES
from nsm.responses import MAX_RESPONSE_BYTES

PATH = "/dev/nsm"
_CLOSED = -1


class Iovec(ctypes.Structure):
    """struct nsm_iovec: the address of a buffer and its length in bytes, 64 bits each on every platform."""

    _fields_ = (("addr", ctypes.c_uint64), ("len", ctypes.c_uint64))


class Message(ctypes.Structure):
    """struct nsm_raw: the request, which the driver reads, and the response, which it writes."""

    _fields_ = (("request", Iovec), ("response", Iovec))


def _iowr(kind: int, number: int, size: int) -> int:
    """_IOWR of include/uapi/asm-generic/ioctl.h, as on x86-64 and arm64, the two that Nitro Enclaves run on."""
    read_and_write = 3
    return read_and_write << 30 | size << 16 | kind << 8 | number


NSM_IOCTL = _iowr(0x0A, 0, ctypes.sizeof(Message))

Ioctl = Callable[[int, int, Message], int]
OpenFile = Callable[[str, int], int]


class Device:
    """The opened device. Its `exchange` may be called from several threads: each call has buffers of its own.

    `path`, `open_file` and `ioctl` are there for tests. `close` must not run while an `exchange` does: the number
    of the file descriptor may by then belong to another file.
    """

    def __init__(self, *, path: str = PATH, open_file: OpenFile = os.open, ioctl: Ioctl = fcntl.ioctl) -> None:
        self._ioctl = ioctl
        try:
            self._descriptor = open_file(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise DeviceUnavailable(f"cannot open {path}: {error.strerror}") from error

    def exchange(self, request: bytes) -> bytes:
        """Hand `request` (1..0x1000 bytes of CBOR) to the module and return its reply, at most 0x3000 bytes.

        A reply that would be longer arrives cut short: the driver truncates it and does not tell.

        Raises:
            ValueError: `request` is empty, which upsets the device itself (QEMU's stops working for good).
            DeviceFailed: the ioctl failed; EMSGSIZE, without asking the driver, if `request` is too long.
            DeviceUnavailable: the device is closed.
            MalformedReply: the driver claims to have written more than the buffer holds.
        """
        if not request:
            raise ValueError("a request has at least 1 byte")
        if len(request) > MAX_REQUEST_BYTES:
            raise DeviceFailed(errno.EMSGSIZE)
        if self._descriptor == _CLOSED:
            raise DeviceUnavailable("the device is closed")
        sent = ctypes.create_string_buffer(request, len(request))
        received = ctypes.create_string_buffer(MAX_RESPONSE_BYTES)
        message = Message(_iovec(sent), _iovec(received))
        self._call(message)
        written: int = message.response.len
        if written > MAX_RESPONSE_BYTES:
            raise MalformedReply(f"the driver wrote {written} bytes into a buffer of {MAX_RESPONSE_BYTES}")
        return received.raw[:written]

    def _call(self, message: Message) -> None:
        """Do the ioctl, again after EINTR.

        Linux's driver waits uninterruptibly, so an EINTR can only stem from before the request was under way; if it
        could come later, to repeat ExtendPCR would be wrong.
        """
        while True:
            try:
                self._ioctl(self._descriptor, NSM_IOCTL, message)
            except InterruptedError:
                continue
            except OSError as error:
                raise DeviceFailed(error.errno or errno.EIO) from error
            return

    def close(self) -> None:
        """Close the device. Closing it twice is fine."""
        descriptor, self._descriptor = self._descriptor, _CLOSED
        if descriptor != _CLOSED:
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _iovec(buffer: "ctypes.Array[ctypes.c_char]") -> Iovec:
    return Iovec(ctypes.addressof(buffer), ctypes.sizeof(buffer))
