"""The one file of this room that touches sockets: connect, listen, send and receive, each against a deadline.

Deadlines are instants on `time.monotonic()`, in seconds. Every function raises this room's errors only.

A plain socket is left blocking, and the kernel ends its waits (SO_RCVTIMEO, SO_SNDTIMEO): Python's own timeouts cost
two more system calls for each send and receive. A TLS socket has Python's: it would begin an ended wait anew.
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
        try:
            _limit(sock, socket.SO_SNDTIMEO, deadline)
            sent = sock.send(view[:MAX_SEND_BYTES])
        except OSError as exc:
            if _is_our_timeout(exc):
                raise DeadlinePassed("send timed out") from exc
            raise PeerLost(f"send failed: {exc.strerror or exc}", delivered=False) from exc
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
    try:
        _limit(sock, socket.SO_RCVTIMEO, deadline)
        return sock.recv(RECEIVE_BYTES)
    except OSError as exc:
        if _is_our_timeout(exc):
            raise DeadlinePassed("receive timed out") from exc
        raise PeerLost(f"receive failed: {exc.strerror or exc}", delivered=True) from exc


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


def _limit(sock: socket.socket, option: int, deadline: float) -> None:
    """Make the next send (SO_SNDTIMEO) or receive (SO_RCVTIMEO) end at the deadline."""
    left = _left(deadline)
    if type(sock) is not socket.socket:
        sock.settimeout(left)
        return
    if sock.gettimeout() is not None:
        sock.settimeout(None)
    seconds = int(left)
    sock.setsockopt(socket.SOL_SOCKET, option, _TIMEVAL.pack(seconds, int((left - seconds) * 1_000_000)))


def _is_our_timeout(error: OSError) -> bool:
    # The kernel's own ETIMEDOUT is a TimeoutError too, but it says that the peer is gone: connecting over vsock to a
    # CID that nobody has ends so after 2 s (VSOCK_DEFAULT_CONNECT_TIMEOUT).
    return isinstance(error, BlockingIOError) or (isinstance(error, TimeoutError) and error.errno is None)


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
