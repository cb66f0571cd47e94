"""A server that plays one script per connection, over TLS or plain TCP, with every byte in its hands.

Rule: TLS runs over MemoryBIO, so that nothing reaches the wire that the script did not order: no
close_notify at the end, no end of stream, no record of its own making but the handshake's. Connection n
after `load` plays script n; later connections play the last one.
"""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import struct
import threading
import time
from types import TracebackType

from tests.hostile.actions import (
    Action,
    BrokenRecord,
    CloseNotify,
    CloseNotifyOnly,
    Cut,
    Drip,
    Flood,
    PartialHandshake,
    PartOfRecord,
    Raw,
    ReadRequest,
    Receive,
    Reset,
    Script,
    Send,
    Sleep,
)

HOLD_S = 5.0  # how long the end of a script waits for the peer to go away
RECEIVE_BYTES = 65536
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)


class EndOfStreamError(Exception):
    """The peer ended its side before the script had read what it wanted."""


class PlainPipe:
    """A TCP connection with the same operations as TlsPipe."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    def send(self, data: bytes) -> None:
        """Sends all of `data`."""
        self.sock.sendall(data)

    def receive(self) -> bytes:
        """Returns what arrived. Raises: EndOfStreamError."""
        data = self.sock.recv(RECEIVE_BYTES)
        if not data:
            raise EndOfStreamError
        return data

    def close_notify(self) -> None:
        """Plain TCP has none."""


class TlsPipe:
    """TLS over MemoryBIO; ciphertext goes out only when an operation says so."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        self.sock = sock
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)

    def handshake(self, *, flights: int | None = None) -> None:
        """Completes the handshake, or sends `flights` flights of it and returns.

        Raises: ssl.SSLError; EndOfStreamError.
        """
        sent = 0
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                sent += self._flush()
                if flights is not None and sent >= flights:
                    return
                self._feed()
            except ssl.SSLError:
                self._flush()  # the alert
                raise
            else:
                self._flush()
                return

    def send(self, data: bytes) -> None:
        """Encrypts and sends all of `data`."""
        self.sock.sendall(self.encrypt(data))

    def encrypt(self, data: bytes) -> bytes:
        """Returns the records of `data` without sending them."""
        self._tls.write(data)
        return self._outgoing.read()

    def receive(self) -> bytes:
        """Returns what arrived. Raises: EndOfStreamError."""
        while True:
            try:
                data = self._tls.read(RECEIVE_BYTES)
            except ssl.SSLWantReadError:
                self._feed()
            except ssl.SSLZeroReturnError as error:
                raise EndOfStreamError from error
            else:
                if not data:
                    raise EndOfStreamError
                return data

    def close_notify(self) -> None:
        """Sends close_notify and does not wait for the peer's."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self._tls.unwrap()
        self._flush()

    def _flush(self) -> int:
        data = self._outgoing.read()
        if data:
            self.sock.sendall(data)
        return 1 if data else 0

    def _feed(self) -> None:
        data = self.sock.recv(RECEIVE_BYTES)
        if not data:
            raise EndOfStreamError
        self._incoming.write(data)


class HostileServer:
    """Plays scripts on a loopback port; `with HostileServer(context) as server: server.load(script)`.

    `context` None is a plain TCP server. `requests` and `connections` count from the last `load`.
    """

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._lock = threading.Lock()
        self._scripts: tuple[Script, ...] = ()
        self._threads: list[threading.Thread] = []
        self._sockets: set[socket.socket] = set()
        self.connections = 0
        self.requests: list[bytes] = []
        self.errors: list[BaseException] = []

    @property
    def address(self) -> tuple[str, int]:
        """Loopback host and port."""
        host, port = self._listener.getsockname()[:2]
        return str(host), int(port)

    def load(self, *scripts: Script) -> None:
        """Ends what is still open and plays `scripts` on the connections that come from now on."""
        self._end_connections()
        with self._lock:
            self._scripts = scripts
            self.connections = 0
            self.requests = []
            self.errors = []

    def __enter__(self) -> HostileServer:
        self._acceptor = threading.Thread(target=self._accept, name="hostile-accept", daemon=True)
        self._acceptor.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept() on Linux
        self._acceptor.join(HOLD_S)
        self._listener.close()
        self._end_connections()

    def _end_connections(self) -> None:
        with self._lock:
            threads, self._threads = self._threads, []
            open_sockets = list(self._sockets)
        for sock in open_sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(HOLD_S)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                script = self._scripts[min(self.connections, len(self._scripts) - 1)]
                self.connections += 1
                self._sockets.add(sock)
                thread = threading.Thread(target=self._serve, args=(sock, script), daemon=True)
                thread.start()  # before _end_connections() can see it: only what has begun can be waited for
                self._threads.append(thread)

    def _serve(self, sock: socket.socket, script: Script) -> None:
        sock.settimeout(HOLD_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            with sock:
                _Player(sock, self._context, self.requests).play(script)
        except (OSError, EndOfStreamError):
            pass  # the client hung up or refused the handshake: often the right thing to do
        except BaseException as error:  # noqa: BLE001 (a thread's edge: the test reads it)
            self.errors.append(error)
        finally:
            with self._lock:
                self._sockets.discard(sock)


class _Player:
    """Plays one script on one connection."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext | None, seen: list[bytes]) -> None:
        self._sock = sock
        self._pipe = PlainPipe(sock) if context is None else TlsPipe(sock, context)
        self._seen = seen
        self._unread = b""

    def play(self, script: Script) -> None:
        """Shakes hands and plays; the end of the script holds the connection until the peer ends it."""
        if isinstance(self._pipe, TlsPipe):
            first = script[0] if script else None
            partial = first.flights if isinstance(first, PartialHandshake) else None
            self._pipe.handshake(flights=partial)
        for action in script:
            self._do(action)
        self._hold()

    def _do(self, action: Action) -> None:  # noqa: C901, PLR0912 (one line for each action)
        match action:
            case ReadRequest():
                self._read_request()
            case Receive():
                self._unread += self._pipe.receive()
            case Send(data):
                self._pipe.send(data)
            case Drip(data, delay, size):
                for start in range(0, len(data), size):
                    self._pipe.send(data[start : start + size])
                    time.sleep(delay)
            case Flood(data, limit):
                for _ in range(0, limit, len(data)):
                    self._pipe.send(data)
            case Sleep(seconds):
                time.sleep(seconds)
            case Raw(data):
                self._sock.sendall(data)
            case PartOfRecord(data, keep):
                self._sock.sendall(self._encrypt(data)[:keep])
            case BrokenRecord(data):
                record = self._encrypt(data)
                self._sock.sendall(record[:-1] + bytes([record[-1] ^ 1]))
            case CloseNotify():
                self._pipe.close_notify()
                self._sock.shutdown(socket.SHUT_WR)
            case CloseNotifyOnly():
                self._pipe.close_notify()
            case Cut():
                self._sock.shutdown(socket.SHUT_WR)
            case Reset():
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self._sock.close()
            case PartialHandshake():
                pass

    def _encrypt(self, data: bytes) -> bytes:
        if not isinstance(self._pipe, TlsPipe):
            raise TypeError("a plain connection has no records")
        return self._pipe.encrypt(data)

    def _read_request(self) -> None:
        while b"\r\n\r\n" not in self._unread:
            self._unread += self._pipe.receive()
        end = self._unread.index(b"\r\n\r\n") + 4
        length = _LENGTH.search(self._unread, 0, end)
        end += int(length[1]) if length else 0
        while len(self._unread) < end:
            self._unread += self._pipe.receive()
        self._seen.append(self._unread[:end])
        self._unread = self._unread[end:]

    def _hold(self) -> None:
        """Reads and drops until the peer ends: closing with unread bytes would send RST instead of FIN."""
        if self._sock.fileno() == -1:
            return
        while self._sock.recv(RECEIVE_BYTES):
            pass
