"""An enclave that plays a script on a unix socket: real bytes, and a record of all that reached it.

It shares no code with `wire/`, so that a mistake there is not repeated here. A script is a function of one accepted
connection; when it returns, the connection is closed.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from wire.addresses import UnixAddress

PING = b'{"type":"ping"}'
PONG = b'{"type":"pong","timestamp":1}'
ANSWER = b'{"success":true,"status":200,"headers":{"x":"y"},"rawBody":"hi","extra":1}'


def frame(payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + payload


class Peer:
    """One accepted connection. `number` counts from 0 in the order of acceptance."""

    def __init__(self, sock: socket.socket, number: int, received: list[bytes]) -> None:
        self.sock = sock
        self.number = number
        self._received = received

    def read(self) -> bytes | None:
        """Return the next whole payload and record it; None when the parent has closed."""
        header = self.read_exactly(4)
        if header is None:
            return None
        payload = self.read_exactly(struct.unpack(">I", header)[0])
        if payload is not None:
            self._received.append(payload)
        return payload

    def read_exactly(self, size: int) -> bytes | None:
        data = bytearray()
        while len(data) < size:
            part = self.sock.recv(size - len(data))
            if not part:
                return None
            data += part
        return bytes(data)

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def reply(self, payload: bytes) -> None:
        self.send(frame(payload))


Script = Callable[[Peer], None]


def keeps(answer: Callable[[bytes], bytes] = lambda _: ANSWER) -> Script:
    """Serve one frame after another, as our worker does."""

    def script(peer: Peer) -> None:
        while (payload := peer.read()) is not None:
            peer.reply(PONG if payload == PING else answer(payload))

    return script


def closes(answer: Callable[[bytes], bytes] = lambda _: ANSWER) -> Script:
    """Answer one frame and close, as the predecessor's worker does."""

    def script(peer: Peer) -> None:
        payload = peer.read()
        if payload is not None:
            peer.reply(PONG if payload == PING else answer(payload))

    return script


def sends(data: bytes) -> Script:
    """Read one frame, send these bytes as they are, and close."""

    def script(peer: Peer) -> None:
        if peer.read() is not None:
            peer.send(data)

    return script


def silent(peer: Peer) -> None:
    """Read and never answer."""
    while peer.read() is not None:
        pass


class FakeEnclave:
    """Listens until `stop`; `received` holds every whole payload, `accepted` counts connections."""

    def __init__(self, path: Path, script: Script) -> None:
        self.address = UnixAddress(path=str(path))
        self.received: list[bytes] = []
        self.accepted = 0
        self._path = path
        self._script = script
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(128)
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def calls(self) -> list[dict[str, Any]]:
        """The received payloads that are no pings."""
        return [json.loads(payload) for payload in self.received if payload != PING]

    def drop(self) -> None:
        """Close every open connection and return when they are closed; go on listening."""
        with self._lock:
            for sock in self._open:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
        wait_until(lambda: not self._open)

    def stop(self) -> None:
        """Be gone, as an enclave that was terminated: nobody listens, every connection is cut."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        self._listener.close()
        self._path.unlink(missing_ok=True)
        self.drop()
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> FakeEnclave:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self._open.add(sock)
            thread = threading.Thread(target=self._serve, args=(Peer(sock, self.accepted, self.received),))
            self.accepted += 1
            self._threads.append(thread)
            thread.start()

    def _serve(self, peer: Peer) -> None:
        try:
            with contextlib.suppress(OSError):  # the parent went away, which many tests are about
                self._script(peer)
        finally:
            peer.sock.close()
            with self._lock:
                self._open.discard(peer.sock)


def wait_until(condition: Callable[[], bool], *, seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the condition did not come true")
        time.sleep(0.002)
