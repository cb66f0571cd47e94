"""What can go wrong with a soft NSM, on demand: set `SoftNsm.fault` to one of these, and back to None."""

import dataclasses
import errno
from typing import Literal

from nsm.errors import ErrorCode


@dataclasses.dataclass(frozen=True, slots=True)
class Answers:
    """Fault: every request is answered with this error."""

    code: ErrorCode


@dataclasses.dataclass(frozen=True, slots=True)
class Garbage:
    """Fault: every request is answered with these bytes."""

    data: bytes = b"\xff\x00garbage"


@dataclasses.dataclass(frozen=True, slots=True)
class Truncated:
    """Fault: of every reply only the first `keep` bytes arrive."""

    keep: int


@dataclasses.dataclass(frozen=True, slots=True)
class WrongEcho:
    """Fault: documents are properly signed, but with `value` in `field` instead of what was asked for."""

    field: Literal["nonce", "user_data", "public_key"] = "nonce"
    value: bytes | None = bytes(32)


@dataclasses.dataclass(frozen=True, slots=True)
class Fails:
    """Fault: every request raises DeviceFailed with this errno."""

    number: int = errno.ETIMEDOUT


@dataclasses.dataclass(frozen=True, slots=True)
class Hangs:
    """Fault: every request takes this many seconds longer, and then is answered."""

    seconds: float


Fault = Answers | Garbage | Truncated | WrongEcho | Fails | Hangs
