"""A blind byte relay, the stand-in for vsock-proxy: bytes in, the same bytes out, both ways.

Rule: nothing here looks at a byte. End of stream is passed on as end of stream (half-close), and an
error on either side ends both. One relay has one target, as one vsock-proxy has one remote host.
Like vsock-proxy it accepts before it has reached the target: a target that refuses shows as an end of
stream to the client, not as a refused connection.
"""

from __future__ import annotations

import contextlib
import functools
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from wire.addresses import VsockAddress


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestPort:
    """A vsock port of a virtual machine, reached through the unix socket that its host has for it."""

    path: Path
    port: int


Pump = Callable[[socket.socket, socket.socket], None]  # carries what comes from the first to the second, until its end
Endpoint = Path | tuple[str, int] | VsockAddress | GuestPort  # Path: a unix socket; tuple: a host and a port

MAX_CONNECTIONS = 64
CHUNK_BYTES = 16 * 1024
CONNECT_TIMEOUT_S = 5.0
POLL_S = 0.05  # how late stop() may be noticed; a closed listener does not wake accept() everywhere


class Relay:
    """Listens on `listen`, connects every accepted connection to `target`; start, stop, or use `with`.

    A connection above `max_connections` waits in the backlog. `target` may be changed at any time and
    holds for the connections accepted afterwards; so may `up` and `down`, which carry the bytes to the target and back.
    With `cut_after` every connection ends on both sides, without a word, once so many bytes came from the target.
    """

    def __init__(
        self,
        target: Endpoint,
        *,
        listen: Endpoint = ("127.0.0.1", 0),
        max_connections: int = MAX_CONNECTIONS,
        cut_after: int | None = None,
    ) -> None:
        if max_connections < 1:
            raise ValueError(f"max_connections must be at least 1, got {max_connections}")
        self.target = target
        self.up: Pump = pump
        self.down: Pump = pump if cut_after is None else functools.partial(pump, most=cut_after)
        self.accepted = 0  # connections so far; read by tests
        self._listen = listen
        self._slots = threading.BoundedSemaphore(max_connections)
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._threads: set[threading.Thread] = set()
        self._listener: socket.socket | None = None
        self._acceptor: threading.Thread | None = None

    @property
    def address(self) -> Endpoint:
        """Where it listens, with the port the kernel chose.

        Raises: RuntimeError before start().
        """
        if self._listener is None:
            raise RuntimeError("the relay is not started")
        if not isinstance(self._listen, tuple):
            return self._listen
        host, port = self._listener.getsockname()[:2]
        return str(host), int(port)

    def start(self) -> Relay:
        """Binds and begins to accept.

        Raises: OSError when the address is taken; RuntimeError when it was started before.
        """
        if self._listener is not None or self._stopping.is_set():
            raise RuntimeError("a relay starts once")
        self._listener = _listening(self._listen)
        self._acceptor = threading.Thread(target=self._accept, name="relay-accept", daemon=True)
        self._acceptor.start()
        return self

    def stop(self) -> None:
        """Closes the listener and every connection, and waits for the threads; may be called twice."""
        self._stopping.set()
        if self._acceptor is not None:
            self._acceptor.join()
        self.cut()
        if self._listener is not None:
            self._listener.close()
            if isinstance(self._listen, Path):
                self._listen.unlink(missing_ok=True)

    def cut(self) -> None:
        """Ends every connection that is open, and waits for its threads."""
        with self._lock:
            open_sockets, self._sockets = self._sockets, set()
            threads = list(self._threads)
        for sock in open_sockets:
            shutdown(sock, socket.SHUT_RDWR)
        for thread in threads:
            thread.join()

    def dial(self, timeout: float) -> socket.socket:
        """Connects to the relay as a client would. Raises: OSError."""
        return connect(self.address, timeout=timeout)

    def __enter__(self) -> Relay:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _accept(self) -> None:
        while not self._stopping.is_set():
            if not self._slots.acquire(timeout=POLL_S):
                continue
            client = self._next_client()
            if client is None:
                self._slots.release()
                continue
            self.accepted += 1
            thread = threading.Thread(target=self._serve, args=(client,), name="relay", daemon=True)
            with self._lock:
                self._sockets.add(client)
                thread.start()  # before cut() can see it: only what has begun can be waited for
                self._threads.add(thread)

    def _next_client(self) -> socket.socket | None:
        if self._listener is None:
            return None
        try:
            client, _ = self._listener.accept()
        except OSError:  # the poll interval passed, or the client went away before accept
            return None
        client.settimeout(None)
        return client

    def _serve(self, client: socket.socket) -> None:
        try:
            with client, contextlib.suppress(OSError):
                remote = connect(self.target, timeout=CONNECT_TIMEOUT_S)
                remote.settimeout(None)
                with remote:
                    self._exchange(client, remote)
        finally:
            with self._lock:
                self._sockets.discard(client)
                self._threads.discard(threading.current_thread())
            self._slots.release()

    def _exchange(self, client: socket.socket, remote: socket.socket) -> None:
        """Pumps both ways until both have ended; the second direction has its own thread."""
        with self._lock:
            if client not in self._sockets:  # it was cut while the target was reached
                return
            self._sockets.add(remote)
        up = threading.Thread(target=self.up, args=(client, remote), name="relay-up", daemon=True)
        up.start()
        try:
            self.down(remote, client)
            up.join()
        finally:
            with self._lock:
                self._sockets.discard(remote)


def connect(endpoint: Endpoint, *, timeout: float) -> socket.socket:
    """Connects; the timeout (seconds) stays set. Raises: OSError."""
    if isinstance(endpoint, tuple):
        return _at_once(socket.create_connection(endpoint, timeout=timeout))
    sock = _new_socket(endpoint)
    try:
        sock.settimeout(timeout)
        match endpoint:
            case Path():
                sock.connect(str(endpoint))
            case VsockAddress():
                sock.connect((endpoint.cid, endpoint.port))
            case GuestPort():
                sock.connect(str(endpoint.path))
                _ask_for(sock, endpoint.port)
    except OSError:
        sock.close()
        raise
    return sock


def _ask_for(sock: socket.socket, port: int) -> None:
    """Does the handshake of Firecracker and vhost-device-vsock: `CONNECT port`, answered by `OK` and a number."""
    sock.sendall(b"CONNECT %d\n" % port)
    line = b""
    while not line.endswith(b"\n"):
        byte = sock.recv(1)
        if not byte:
            raise ConnectionRefusedError(f"nobody listens on port {port}")
        line += byte


def _listening(endpoint: Endpoint) -> socket.socket:
    listener = _new_socket(endpoint)
    try:
        match endpoint:
            case Path():
                listener.bind(str(endpoint))
            case VsockAddress():
                listener.bind((endpoint.cid, endpoint.port))
            case tuple():
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                _at_once(listener).bind(endpoint)  # what it accepts inherits that
            case GuestPort():
                raise ValueError("a virtual machine's port is its own to listen on")
        listener.listen(128)
    except (OSError, ValueError):
        listener.close()
        raise
    listener.settimeout(POLL_S)
    return listener


def _new_socket(endpoint: Endpoint) -> socket.socket:
    match endpoint:
        case VsockAddress():
            return socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
        case Path() | GuestPort():
            return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        case tuple():
            return socket.socket(socket.AF_INET, socket.SOCK_STREAM)


def _at_once(sock: socket.socket) -> socket.socket:
    """Return a TCP socket that sends what it is given, without waiting for an acknowledgement of what went before."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def pump(source: socket.socket, sink: socket.socket, most: int | None = None) -> None:
    """Copies until the end of `source`, then half-closes `sink`; an error, or `most` bytes, end both directions."""
    try:
        while data := source.recv(CHUNK_BYTES):
            sink.sendall(data[:most])
            if most is not None and (most := most - len(data)) <= 0:
                raise ConnectionAbortedError("cut")
    except OSError:
        shutdown(source, socket.SHUT_RDWR)
        shutdown(sink, socket.SHUT_RDWR)
    else:
        shutdown(sink, socket.SHUT_WR)


def shutdown(sock: socket.socket, how: int) -> None:
    """Shuts a socket down, unless it is already."""
    with contextlib.suppress(OSError):  # the peer may have closed first
        sock.shutdown(how)
