"""Slow and silent peers, a process of its own that ends with SIGTERM: `python -m bench.siege.slow KIND COUNT ADDRESS`.

ADDRESS is a port of loopback or the path of a unix socket. COUNT connections are opened; each says what its kind says
first, then drips. One that is ended is opened again at its next turn. At the end it prints what the server did.
"""

import contextlib
import json
import re
import signal
import socket
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

from bench.siege.tokens import SLOW_TOKEN
from wire import frames, messages

TURNS = 20  # a second; each serves the connections whose turn it is
OPEN_SECONDS = 0.001  # from one connection to the next: a burst would all be accepted by one of the parent's processes
CONNECT_SECONDS = 1.0
SMALL_BUFFER = 4096
MIB = 1024 * 1024
_STATUS = re.compile(rb"HTTP/1\.1 ([0-9]{3}) ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """`first` is said on connecting, `drip` every `seconds`, and then `read` bytes are read at most (0: never)."""

    first: bytes = b""
    drip: bytes = b""
    seconds: float = 1.0
    read: int = 65536


def _post(length: int, token: str = "") -> bytes:
    lines = ["POST /attest/fetch HTTP/1.1", "Host: x", "Content-Type: application/json", f"Content-Length: {length}"]
    return "\r\n".join([*lines, *([f"Authorization: Bearer {token}"] if token else []), "", "{"]).encode()


LARGEST = 10 * MIB  # app.config.MAX_REQUEST_BYTES
KINDS = {
    "heads": Kind(first=b"POST /attest/fetch HTTP/1.1\r\nHost: x\r\nX-A: ", drip=b"a"),
    "strangers": Kind(first=_post(1000), drip=b" ", seconds=4.0),  # the pace at which they come back, too
    "bodies": Kind(first=_post(1000, SLOW_TOKEN), drip=b" ", seconds=4.0),
    "large": Kind(first=_post(LARGEST, SLOW_TOKEN), drip=b" " * (32 * 1024), seconds=0.25),
    "answers": Kind(first=b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 12, seconds=5.0, read=1),
    "idle": Kind(read=1),
    "kept": Kind(first=b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"),
    "half": Kind(first=(1000).to_bytes(4, "big") + b"{" * 500),
    "announced": Kind(first=frames.MAX_FRAME_BYTES.to_bytes(4, "big"), drip=b"{"),
    "deaf": Kind(first=frames.encode(messages.PING) * 3000, read=0),
}


@dataclass(slots=True)
class Slow:
    """`count` connections of one kind. `said` counts the statuses that were heard, `ended` connections."""

    kind: Kind
    address: int | str
    count: int
    said: Counter[str] = field(default_factory=Counter)
    ended: int = 0
    most: int = 0
    _socks: list[socket.socket | None] = field(default_factory=list)
    _unsent: dict[int, bytes] = field(default_factory=dict)

    def turn(self, numbers: range) -> None:
        """Serve these connections once."""
        self._socks += [None] * (self.count - len(self._socks))
        for number in numbers:
            sock = self._socks[number]
            try:
                if sock is None:
                    self._socks[number] = sock = self._open()
                    self._unsent[number] = self.kind.first
                else:
                    self._unsent[number] = self._unsent[number] or self.kind.drip
                self._move(number, sock)
            except OSError:
                self._lose(number)
        self.most = max(self.most, self.count - self._socks.count(None))

    def close(self) -> None:
        """Close every connection."""
        for sock in self._socks:
            if sock is not None:
                sock.close()

    def _open(self) -> socket.socket:
        family = socket.AF_UNIX if isinstance(self.address, str) else socket.AF_INET
        sock = socket.socket(family)
        if self.kind.read == 1:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
        sock.settimeout(CONNECT_SECONDS)
        try:
            sock.connect(self.address if isinstance(self.address, str) else ("127.0.0.1", self.address))
        except OSError:
            sock.close()
            raise
        sock.setblocking(False)
        return sock

    def _move(self, number: int, sock: socket.socket) -> None:
        if self._unsent[number]:
            with contextlib.suppress(BlockingIOError):
                self._unsent[number] = self._unsent[number][sock.send(self._unsent[number]) :]
        if self.kind.read:
            with contextlib.suppress(BlockingIOError):
                data = sock.recv(self.kind.read)
                self.said.update(match.decode() for match in _STATUS.findall(data))
                if not data:
                    raise ConnectionError

    def _lose(self, number: int) -> None:
        sock = self._socks[number]
        if sock is not None:
            self.ended += 1
            sock.close()
        self._socks[number] = None


def main(arguments: list[str]) -> int:
    """Attack until SIGTERM."""
    name, count, address = arguments
    kind = KINDS[name]
    slow = Slow(kind, int(address) if address.isdigit() else address, int(count))
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopped.append(number))
    for number in range(slow.count):
        slow.turn(range(number, number + 1))
        time.sleep(OPEN_SECONDS)
    step = max(1, int(slow.count / (TURNS * kind.seconds)))
    began, turns = time.monotonic(), 0
    while not stopped:
        first = turns * step % slow.count
        slow.turn(range(first, min(first + step, slow.count)))
        turns += 1
        time.sleep(max(0.0, began + turns / TURNS - time.monotonic()))
    slow.close()
    print(json.dumps({"kind": name, "most": slow.most, "ended": slow.ended, "said": dict(slow.said)}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
