"""Where a peer listens: AF_VSOCK, a unix socket, or loopback TCP, written as text and back.

TCP is accepted for loopback only. Frames carry what callers asked for in clear; they must not leave the machine.
"""

import ipaddress
import os
from dataclasses import dataclass

from wire.errors import AddressError

MAX_U32 = 2**32 - 1  # vsock(7): cid and port are unsigned 32-bit numbers
MAX_UNIX_PATH_BYTES = 107  # unix(7): sun_path is 108 bytes with its NUL
PARENT_CID = 3  # the EC2 parent as an enclave sees it: AWS Nitro Enclaves user guide, "concepts"


@dataclass(frozen=True, slots=True, kw_only=True)
class VsockAddress:
    """An AF_VSOCK peer."""

    cid: int
    port: int

    def __str__(self) -> str:
        return f"vsock://{self.cid}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnixAddress:
    """A unix stream socket at an absolute path."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopbackAddress:
    """A TCP port of this machine. `host` is an IP literal of the loopback range."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"tcp://[{self.host}]:{self.port}" if ":" in self.host else f"tcp://{self.host}:{self.port}"


Address = VsockAddress | UnixAddress | LoopbackAddress


def parse(text: str) -> Address:
    """Read `vsock://CID:PORT`, `unix:/path` or `tcp://127.0.0.1:PORT`; `str()` of the result gives `text` back.

    Raises:
        AddressError: any other text.
    """
    address = _parse(text)
    if str(address) != text:
        raise AddressError(f"{text!r} is not written canonically: expected {str(address)!r}")
    return address


def _parse(text: str) -> Address:
    if text.startswith("vsock://"):
        cid, _, port = text.removeprefix("vsock://").partition(":")
        return VsockAddress(cid=_number(text, cid, MAX_U32), port=_number(text, port, MAX_U32))
    if text.startswith("unix:/"):
        return UnixAddress(path=_unix_path(text))
    if text.startswith("tcp://"):
        host, _, port = text.removeprefix("tcp://").rpartition(":")
        return LoopbackAddress(host=_loopback(text, host), port=_number(text, port, 65535))
    raise AddressError(f"{text!r} is no address")


def _number(text: str, digits: str, most: int) -> int:
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 10) or int(digits) > most:
        raise AddressError(f"{text!r}: got {digits!r}, expected a number from 0 to {most}")
    return int(digits)


def _unix_path(text: str) -> str:
    path = text.removeprefix("unix:")
    try:
        size = len(os.fsencode(path))
    except UnicodeEncodeError as exc:
        raise AddressError("a socket path must be text that a file name can hold") from exc
    if "\0" in path or size > MAX_UNIX_PATH_BYTES:
        raise AddressError(f"a socket path has at most {MAX_UNIX_PATH_BYTES} bytes and no NUL")
    return path


def _loopback(text: str, host: str) -> str:
    try:
        address = ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError as exc:
        raise AddressError(f"{text!r}: got host {host!r}, expected an IP literal") from exc
    if not address.is_loopback:
        raise AddressError(f"{text!r}: TCP is for the loopback range only")
    return str(address)
