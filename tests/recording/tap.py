"""A wire-tap: a relay that keeps what passes, each direction of each connection as one stream in one file."""

from __future__ import annotations

import contextlib
import socket
import threading
from pathlib import Path
from types import TracebackType

from devstack.relay import Endpoint, connect

CHUNK_BYTES = 64 * 1024
CONNECT_SECONDS = 5.0


class Tap:
    """Passes on to `target` what comes to `listen` (a unix socket; otherwise a free port of loopback); use `with`.

    The streams are kept in `folder`, as NUMBER.there and NUMBER.back.
    """

    def __init__(self, target: Endpoint, folder: Path, *, listen: Path | None = None) -> None:
        folder.mkdir(parents=True)
        self._target = target
        self._folder = folder
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128) if listen is None else _at(listen)
        self._acceptor = threading.Thread(target=self._accept, name="tap")
        self._sockets: list[socket.socket] = []
        self._pumps: list[threading.Thread] = []

    @property
    def port(self) -> int:
        """The port on loopback, of a tap that listens on no path."""
        port: int = self._listener.getsockname()[1]
        return port

    def __enter__(self) -> Tap:
        self._acceptor.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _end(self._listener)
        self._acceptor.join()
        for sock in self._sockets:
            _end(sock)
        for thread in self._pumps:
            thread.join()
        for sock in [self._listener, *self._sockets]:
            sock.close()

    def _accept(self) -> None:
        while (caller := _accepted(self._listener)) is not None:
            self._sockets.append(caller)
            try:
                called = connect(self._target, timeout=CONNECT_SECONDS)
            except OSError:
                _end(caller)
                continue
            called.settimeout(None)
            self._sockets.append(called)
            number = len(self._pumps) // 2
            self._start(caller, called, self._folder / f"{number}.there")
            self._start(called, caller, self._folder / f"{number}.back")

    def _start(self, source: socket.socket, sink: socket.socket, kept: Path) -> None:
        thread = threading.Thread(target=_pump, args=(source, sink, kept), name="tap")
        self._pumps.append(thread)
        thread.start()


def _pump(source: socket.socket, sink: socket.socket, kept: Path) -> None:
    with kept.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while data := source.recv(CHUNK_BYTES):
            file.write(data)
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def _accepted(listener: socket.socket) -> socket.socket | None:
    """Return the next connection, or None when the listener was ended."""
    try:
        return listener.accept()[0]
    except OSError:
        return None


def _at(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    listener.listen(128)
    return listener


def _end(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):  # the peer may have closed first
        sock.shutdown(socket.SHUT_RDWR)
