"""What can go wrong at the Nitro Secure Module: one tree, so that an edge catches `NsmError` and knows it all.

The class says whose fault it is: the enclave has no device (`DeviceUnavailable`), the kernel could not pass the
message (`DeviceFailed`), the module said no (`Refused`), its answer is not one (`MalformedReply`), or it attested
something else than was asked (`EchoMismatch`).
"""

import enum
import errno

_SHOWN_BYTES = 16  # of a field in a message: enough to tell two apart


class ErrorCode(enum.Enum):
    """The codes of the module, by their names on the wire (`ErrorCode` in AWS's `src/api/mod.rs`)."""

    Success = "There is no error; a module that says so in an error contradicts itself."
    InvalidArgument = "An argument of the request is not valid."
    InvalidIndex = "There is no register with this index."
    InvalidResponse = "The response does not belong to the request."
    ReadOnlyIndex = "The register is locked, and the request would change it."
    InvalidOperation = "The module does not know this request, or cannot do it now."
    BufferTooSmall = "The operation succeeded, but its result does not fit the response buffer."
    InputTooLarge = "The request, or one of its fields, is larger than the module takes."
    InternalError = "The module failed for reasons of its own."

    @property
    def sentence(self) -> str:
        """What the code means, in one sentence."""
        return self.value


# EFAULT to ETIMEDOUT stem from drivers/misc/nsm.c and its virtqueue; EBADF, EINTR, ENODEV and ENOTTY from above them.
ERRNO_SENTENCES = {
    errno.EBADF: "The file descriptor is not open.",
    errno.EFAULT: "The kernel could not read the request from, or write the response to, our memory.",
    errno.EINTR: "A signal interrupted the request.",
    errno.EINVAL: "The driver does not know this command number or this size of the message.",
    errno.EIO: "The driver could not hand the request to the device, or the virtqueue is broken.",
    errno.EMSGSIZE: "The request is longer than 0x1000 bytes.",
    errno.ENODATA: "The device gave back a buffer that the driver had not given it.",
    errno.ENODEV: "The device is gone.",
    errno.ENOMEM: "The kernel has no memory for the request.",
    errno.ENOSPC: "The virtqueue has no room for the request.",
    errno.ENOTTY: "The opened file is not a Nitro Secure Module.",
    errno.ETIMEDOUT: "The device did not answer within the driver's 120 seconds.",
}


class NsmError(Exception):
    """Root of this room's errors. `advice` says what a person can do about it."""

    advice: str = "Look at the enclave's console; without the module it cannot attest anything."


class DeviceUnavailable(NsmError):
    """The device file cannot be opened, or was closed."""

    advice = "Run this inside a Nitro enclave whose kernel has the nsm driver (CONFIG_NSM) loaded."


class DeviceFailed(NsmError):
    """The ioctl failed. `errno` is the kernel's number; whether the module acted on the request is not known."""

    advice = "The module may come back; if it does not, restart the enclave."

    def __init__(self, number: int) -> None:
        name = errno.errorcode.get(number, f"errno {number}")
        super().__init__(f"{name}: {ERRNO_SENTENCES.get(number, 'An error that the nsm driver does not document.')}")
        self.errno = number


class Refused(NsmError):
    """The module answered with an error. `code` says which."""

    advice = "The request is at fault, or comes too late; the sentence of the code says what to look at."

    def __init__(self, code: ErrorCode) -> None:
        super().__init__(f"{code.name}: {code.sentence}")
        self.code = code


class MalformedReply(NsmError):
    """The module's answer, or the document in it, is not what AWS specifies."""

    advice = "The module speaks another version of its API, or this is not a Nitro Secure Module."


class EchoMismatch(NsmError):
    """The document attests another value than was asked for. `field` is nonce, user_data or public_key."""

    advice = "Do not hand the document out: somebody else's request may have been answered. Restart the enclave."

    def __init__(self, field: str, *, expected: bytes | None, got: bytes | None) -> None:
        super().__init__(f"{field}: asked for {_shown(expected)}, the document has {_shown(got)}")
        self.field = field


def _shown(value: bytes | None) -> str:
    if value is None:
        return "nothing"
    dots = "..." if len(value) > _SHOWN_BYTES else ""
    return f"{len(value)} bytes {value[:_SHOWN_BYTES].hex()}{dots}"
