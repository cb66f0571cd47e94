"""One byte stream to an upstream, with what is known of it. Its errors are `UpstreamError`s."""

import socket
import ssl
import time
from collections.abc import Callable

from enclave_worker.journey import Journey
from enclave_worker.upstream import tls
from enclave_worker.upstream.exchange import PLAIN, Transport, UpstreamError
from enclave_worker.upstream.phases import Phases
from policy.manifest import Upstream
from wire import sockets
from wire.errors import DeadlinePassed, PeerLost

RECEIVE_BYTES = 16 * 1024  # the plaintext of one TLS record, at most: RFC 8446 5.1

Dial = Callable[[Upstream, float], socket.socket]  # (which upstream, deadline on time.monotonic()) -> byte stream


class Connection:
    """A connected stream; `transport` says how it is protected, `idle_since` when it was last let go.

    Every wait is for the socket, not inside TLS: a peer that drips bytes of a record does not move a deadline.
    """

    def __init__(self, sock: socket.socket, transport: Transport) -> None:
        self._sock = sock
        self._waiter = sockets.Waiter(sock)
        self.transport = transport
        self.idle_since = 0.0

    @property
    def kept(self) -> bool:
        """Whether it was idle before: what comes on it may have been sent before anything was asked."""
        return self.idle_since > 0.0

    def send(self, data: bytes, *, deadline: float) -> None:
        """Send all of `data`.

        Raises:
            UpstreamError: "timeout" or "truncated".
        """
        view = memoryview(data)
        if time.monotonic() >= deadline:
            raise UpstreamError("timeout", "send: the upstream did not take the request in time")
        try:
            while view:
                try:
                    view = view[self._sock.send(view[: sockets.MAX_SEND_BYTES]) :]
                except (BlockingIOError, ssl.SSLWantWriteError):
                    self._waiter.until_writable(deadline)
        except DeadlinePassed as exc:
            raise UpstreamError("timeout", "send: the upstream did not take the request in time") from exc
        except OSError as exc:
            raise UpstreamError("truncated", "the connection broke while the request was sent") from exc

    def receive(self, *, deadline: float) -> bytes:
        """Return at least one byte, or b"" for an end of the stream: a close_notify where there is TLS.

        Raises:
            UpstreamError: "timeout", "truncated" (an unauthenticated end) or "tls".
        """
        try:
            while True:
                self._waiter.until_readable(deadline)
                try:
                    return self._sock.recv(RECEIVE_BYTES)
                except (BlockingIOError, ssl.SSLWantReadError):
                    continue  # no whole record yet
        except DeadlinePassed as exc:
            raise UpstreamError("timeout", "the response did not come in time") from exc
        except OSError as exc:
            if isinstance(exc, ssl.SSLError) and not tls.is_cut(exc):
                raise UpstreamError("tls", f"receive: {tls.reason(exc)}") from exc
            raise UpstreamError("truncated", "the connection broke, or was cut without close_notify") from exc

    def is_quiet(self) -> bool:
        """Whether an idle connection is still good: the upstream has neither closed nor sent anything unasked.

        Nothing can be left inside TLS: a receive takes a whole record, and OpenSSL reads none ahead.
        """
        return self._waiter.is_quiet()

    def close(self) -> None:
        """Close at once. No close_notify is awaited: everything of worth has been read."""
        self._sock.close()


def open_connection(
    upstream: Upstream, *, dial: Dial, context: ssl.SSLContext, phases: Phases, deadline: float, journey: Journey
) -> Connection:
    """Return a new connection to `upstream`, through the parent's blind proxy, under TLS where its policy says so.

    The time that it takes is added to `journey`.

    Raises:
        UpstreamError: "connect", "tls" or "timeout".
    """
    began = time.monotonic_ns()
    try:
        sock = dial(upstream, min(deadline, time.monotonic() + phases.connect))
    except (DeadlinePassed, TimeoutError) as exc:
        raise UpstreamError("timeout", "connect: the proxy did not answer in time") from exc
    except (PeerLost, OSError) as exc:
        raise UpstreamError("connect", "the proxy for this upstream cannot be reached") from exc
    finally:
        journey.connect += time.monotonic_ns() - began
    if not upstream.tls:
        return Connection(sock, PLAIN)
    timeout = max(sockets.MIN_TIMEOUT_SECONDS, min(deadline - time.monotonic(), phases.tls))
    began = time.monotonic_ns()
    try:
        wrapped = tls.handshake(sock, context, upstream.host, timeout=timeout)
    finally:
        journey.tls += time.monotonic_ns() - began
    try:
        return Connection(wrapped, tls.transport(wrapped))
    except UpstreamError:
        wrapped.close()
        raise
