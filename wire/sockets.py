"""The one file of this room that touches sockets: connect, listen, send and receive, each against a deadline.

Deadlines are instants on `time.monotonic()`, in seconds. Every function raises this room's errors only.

A socket is left blocking. The kernel ends a wait for bytes (SO_RCVTIMEO), and nobody waits before a send that can go at
once: Python's own timeouts cost two more system calls for each, and every one is a chance to lose the interpreter.
TLS sockets do not block, since the kernel cannot say when a whole record will be there: for them there is `Waiter`.
"""

import select
import socket
import struct
import time

from wire.addresses import Address, LoopbackAddress, UnixAddress, VsockAddress
from wire.errors import DeadlinePassed, PeerLost
from wire.frames import Decoder

MAX_SEND_BYTES = 31 * 1024  # larger vsock writes were seen corrupted on some hypervisor kernels
RECEIVE_BYTES = 64 * 1024
MIN_TIMEOUT_SECONDS = 0.001  # zero would mean non-blocking or without end, not "no time left"
_TIMEVAL = struct.Struct("ll")


def connect(address: Address, *, deadline: float) -> socket.socket:
    """Return a connected stream socket.

    Raises:
        PeerLost: nobody listens there, or the family is not available here; nothing was sent.
        DeadlinePassed: no answer in time.
    """
    sock = None
    try:
        sock = _new_socket(address)
        sock.settimeout(_left(deadline))
        sock.connect(_socket_address(address))
        sock.settimeout(None)
    except OSError as exc:
        _close(sock)
        if _is_our_timeout(exc):
            raise DeadlinePassed(f"connect to {address} timed out") from exc
        raise PeerLost(f"connect to {address} failed: {exc.strerror or exc}", delivered=False) from exc
    except DeadlinePassed:
        _close(sock)
        raise
    return sock


def listen(address: Address, *, backlog: int = 128) -> socket.socket:
    """Return a listening stream socket; `vsock://4294967295:PORT` listens on every CID.

    Raises:
        OSError: the address cannot be bound: at start-up that is fatal, so it is not translated.
    """
    sock = _new_socket(address)
    try:
        if isinstance(address, LoopbackAddress):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(_socket_address(address))
        sock.listen(backlog)
    except OSError:
        sock.close()
        raise
    return sock


def send(sock: socket.socket, data: bytes, *, deadline: float) -> None:
    """Send all of `data`, at most 31 KiB per call to the kernel.

    Raises:
        PeerLost: the connection broke; `delivered` says whether the peer can have all of `data`.
        DeadlinePassed: the peer did not read in time.
    """
    view = memoryview(data)
    while view:
        _left(deadline)
        try:
            sent = sock.send(view[:MAX_SEND_BYTES], socket.MSG_DONTWAIT)
        except BlockingIOError:
            _until_writable(sock, deadline)
        except OSError as exc:
            raise PeerLost(f"send failed: {exc.strerror or exc}", delivered=False) from exc
        else:
            view = view[sent:]


def receive_frame(sock: socket.socket, decoder: Decoder, *, deadline: float) -> bytes | None:
    """Return the next payload, or None when the peer closed between two frames.

    Raises:
        FrameError: see `frames.Decoder`.
        PeerLost: the connection broke.
        DeadlinePassed: the frame was not complete in time.
    """
    while (payload := decoder.next()) is None:
        data = receive(sock, deadline=deadline)
        if not data:
            decoder.finish()
            return None
        decoder.feed(data)
    return payload


def receive(sock: socket.socket, *, deadline: float) -> bytes:
    """Return at least one byte, or b"" when the peer has closed.

    Raises:
        PeerLost: the connection broke.
        DeadlinePassed: nothing came in time.
    """
    _limit_receive(sock, deadline)
    while True:
        try:
            return sock.recv(RECEIVE_BYTES)
        except BlockingIOError as exc:
            if time.monotonic() >= deadline:
                raise DeadlinePassed("receive timed out") from exc
            _limit_receive(sock, deadline)  # the kernel counts in ticks, and may be one early
        except OSError as exc:
            raise PeerLost(f"receive failed: {exc.strerror or exc}", delivered=True) from exc


class Waiter:
    """Waits for a socket that does not block, such as a TLS one. For one thread at a time, while the socket is open."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._readable = select.poll()
        self._readable.register(sock, select.POLLIN | select.POLLRDHUP)

    def until_readable(self, deadline: float) -> None:
        """Return when bytes or an end have come. Raises: DeadlinePassed."""
        if not self._readable.poll(_left(deadline) * 1000):
            raise DeadlinePassed("receive timed out")

    def until_writable(self, deadline: float) -> None:
        """Return when bytes can go, or the connection has broken. Raises: DeadlinePassed."""
        _until_writable(self._sock, deadline)

    def is_quiet(self) -> bool:
        """Whether the idle connection is still good: no end of stream, no error and no unasked byte is waiting."""
        return not self._readable.poll(0)


def is_quiet(sock: socket.socket) -> bool:
    """Whether an idle connection is still good: no end of stream, no error and no unasked byte is waiting."""
    poller = select.poll()
    try:
        poller.register(sock, select.POLLIN | select.POLLRDHUP)
        return not poller.poll(0)
    except (OSError, ValueError):
        return False


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise DeadlinePassed("no time left")
    return max(left, MIN_TIMEOUT_SECONDS)


def _limit_receive(sock: socket.socket, deadline: float) -> None:
    """Make the next receive end at the deadline, about."""
    left = _left(deadline)
    if sock.gettimeout() is not None:
        sock.settimeout(None)
    seconds = int(left)
    value = _TIMEVAL.pack(seconds, int((left - seconds) * 1_000_000))
    if sock.family != socket.AF_VSOCK:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, value)
        return
    # Python (3.11) takes nothing but integers for options of AF_VSOCK, of any level; the kernel asks for a timeval.
    other = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, sock.fileno())
    try:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, value)
    finally:
        other.detach()


def _until_writable(sock: socket.socket, deadline: float) -> None:
    poller = select.poll()
    poller.register(sock, select.POLLOUT)
    if not poller.poll(_left(deadline) * 1000):
        raise DeadlinePassed("send timed out")


def _is_our_timeout(error: OSError) -> bool:
    # The kernel's own ETIMEDOUT is a TimeoutError too, but it says that the peer is gone: connecting over vsock to a
    # CID that nobody has ends so after 2 s (VSOCK_DEFAULT_CONNECT_TIMEOUT).
    return isinstance(error, TimeoutError) and error.errno is None


def _new_socket(address: Address) -> socket.socket:
    match address:
        case VsockAddress():
            return socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
        case UnixAddress():
            return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        case LoopbackAddress():
            family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
            sock = socket.socket(family, socket.SOCK_STREAM)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return sock


def _socket_address(address: Address) -> tuple[int, int] | str | tuple[str, int]:
    match address:
        case VsockAddress():
            return (address.cid, address.port)
        case UnixAddress():
            return address.path
        case LoopbackAddress():
            return (address.host, address.port)


def _close(sock: socket.socket | None) -> None:
    if sock is not None:
        sock.close()
