"""One byte stream to an upstream, with what is known of it. Its errors are `UpstreamError`s."""

import socket
import ssl
import time
from collections.abc import Callable

from enclave_worker.upstream import tls
from enclave_worker.upstream.exchange import PLAIN, Transport, UpstreamError
from enclave_worker.upstream.phases import Phases
from policy.manifest import Upstream
from wire import sockets
from wire.errors import DeadlinePassed, PeerLost

Dial = Callable[[Upstream, float], socket.socket]  # (which upstream, deadline on time.monotonic()) -> byte stream


class Connection:
    """A connected stream; `transport` says how it is protected, `idle_since` when it was last let go."""

    def __init__(self, sock: socket.socket, transport: Transport) -> None:
        self._sock = sock
        self.transport = transport
        self.idle_since = 0.0

    def send(self, data: bytes, *, deadline: float) -> None:
        """Send all of `data`.

        Raises:
            UpstreamError: "timeout" or "truncated".
        """
        try:
            sockets.send(self._sock, data, deadline=deadline)
        except DeadlinePassed as exc:
            raise UpstreamError("timeout", "send: the upstream did not take the request in time") from exc
        except PeerLost as exc:
            raise UpstreamError("truncated", "the connection broke while the request was sent") from exc

    def receive(self, *, deadline: float) -> bytes:
        """Return at least one byte, or b"" for an end of the stream: a close_notify where there is TLS.

        Raises:
            UpstreamError: "timeout", "truncated" (an unauthenticated end) or "tls".
        """
        try:
            return sockets.receive(self._sock, deadline=deadline)
        except DeadlinePassed as exc:
            raise UpstreamError("timeout", "the response did not come in time") from exc
        except PeerLost as exc:
            cause = exc.__cause__
            if isinstance(cause, ssl.SSLError) and not tls.is_cut(cause):
                raise UpstreamError("tls", f"receive: {tls.reason(cause)}") from exc
            raise UpstreamError("truncated", "the connection broke, or was cut without close_notify") from exc

    def is_quiet(self) -> bool:
        """Whether an idle connection is still good: the upstream has neither closed nor sent anything unasked."""
        unread = self._sock.pending() if isinstance(self._sock, ssl.SSLSocket) else 0
        return not unread and sockets.is_quiet(self._sock)

    def close(self) -> None:
        """Close at once. No close_notify is awaited: everything of worth has been read."""
        self._sock.close()


def open_connection(
    upstream: Upstream, *, dial: Dial, context: ssl.SSLContext, phases: Phases, deadline: float
) -> Connection:
    """Return a new connection to `upstream`, through the parent's blind proxy, under TLS where its policy says so.

    Raises:
        UpstreamError: "connect", "tls" or "timeout".
    """
    try:
        sock = dial(upstream, min(deadline, time.monotonic() + phases.connect))
    except (DeadlinePassed, TimeoutError) as exc:
        raise UpstreamError("timeout", "connect: the proxy did not answer in time") from exc
    except (PeerLost, OSError) as exc:
        raise UpstreamError("connect", "the proxy for this upstream cannot be reached") from exc
    if not upstream.tls:
        return Connection(sock, PLAIN)
    timeout = max(sockets.MIN_TIMEOUT_SECONDS, min(deadline - time.monotonic(), phases.tls))
    wrapped = tls.handshake(sock, context, upstream.host, timeout=timeout)
    try:
        return Connection(wrapped, tls.transport(wrapped))
    except UpstreamError:
        wrapped.close()
        raise
