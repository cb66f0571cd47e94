"""What a script may do to a connection. A script is a tuple of these; its end holds the connection open.

Rule: nothing happens that the script does not say: no close, no close_notify, no answer. A script that
should end the connection ends with CloseNotify, Cut or Reset. Not possible from Python's ssl module and
therefore absent: renegotiation, KeyUpdate, and encrypted alerts other than close_notify.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """Waits for a whole request (head, and a Content-Length body) and keeps it in `server.requests`."""


@dataclass(frozen=True, slots=True)
class Receive:
    """Waits for any bytes: on a raw connection, for the first of the client's handshake."""


@dataclass(frozen=True, slots=True)
class Send:
    """Sends the bytes, under TLS as one record for each 16 KiB."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Drip:
    """Sends the bytes `size` at a time, `delay` seconds apart, each in a record of its own."""

    data: bytes
    delay: float = 0.0
    size: int = 1


@dataclass(frozen=True, slots=True)
class Flood:
    """Sends the bytes again and again until the peer hangs up or `limit` bytes are out."""

    data: bytes
    limit: int = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Sleep:
    """Does nothing for `seconds`."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Raw:
    """Puts bytes on the TCP stream itself, beneath TLS."""

    data: bytes


@dataclass(frozen=True, slots=True)
class PartOfRecord:
    """Encrypts `data` as one TLS record and sends only the first `keep` bytes of that record."""

    data: bytes
    keep: int


@dataclass(frozen=True, slots=True)
class BrokenRecord:
    """Encrypts `data` as one TLS record, flips a bit of its last byte (the tag), and sends it."""

    data: bytes


@dataclass(frozen=True, slots=True)
class PartialHandshake:
    """Answers `flights` of the client's flights and no more. Only as the first action of a script.

    A TLS 1.3 server has one flight, a TLS 1.2 server two.
    """

    flights: int


@dataclass(frozen=True, slots=True)
class CloseNotify:
    """Ends properly: close_notify (none on a plain connection), then FIN."""


@dataclass(frozen=True, slots=True)
class CloseNotifyOnly:
    """Sends close_notify and leaves TCP open."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Ends the TCP stream with FIN and no close_notify: what a host in the middle can do at any byte."""


@dataclass(frozen=True, slots=True)
class Reset:
    """Ends the TCP connection with RST (SO_LINGER 0)."""


Action = (
    ReadRequest
    | Receive
    | Send
    | Drip
    | Flood
    | Sleep
    | Raw
    | PartOfRecord
    | BrokenRecord
    | PartialHandshake
    | CloseNotify
    | CloseNotifyOnly
    | Cut
    | Reset
)
Script = tuple[Action, ...]
