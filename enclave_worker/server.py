"""The listening side: blocking sockets, one bounded thread per connection, one call after another on each.

Rules: only the parent may connect; the number of threads is fixed beforehand; a peer that is silent in the middle of a
frame is dropped; shutting down means that nothing new begins and that everything begun is finished.
"""

import contextlib
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from enclave_worker import reply
from enclave_worker.log import Log
from wire import frames, sockets
from wire.addresses import PARENT_CID
from wire.errors import DeadlinePassed, FrameError, PeerLost

DEFAULT_CONNECTIONS = 512
IDLE_SECONDS = 120.0  # longer than the parent keeps an idle connection, so that the parent is the one to close
FRAME_SECONDS = 30.0  # from the first byte of a frame to its last, and for a reply to be taken


class FrameServer(socketserver.ThreadingMixIn, socketserver.BaseServer):
    """Serves `answer` (payload -> payloads) on a listening socket of any of the three address kinds."""

    daemon_threads = False  # server_close() joins them: what has begun is finished
    block_on_close = True

    def __init__(
        self,
        listener: socket.socket,
        answer: Callable[[bytes], Iterable[bytes]],
        *,
        log: Log,
        connections: int = DEFAULT_CONNECTIONS,
        idle_seconds: float = IDLE_SECONDS,
        frame_seconds: float = FRAME_SECONDS,
    ) -> None:
        super().__init__(listener.getsockname(), FrameHandler)
        self.answer = answer
        self.idle_seconds = idle_seconds
        self.frame_seconds = frame_seconds
        self.log = log
        self._listener = listener
        self._places = threading.BoundedSemaphore(connections)
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()

    def fileno(self) -> int:
        """Return the listener's descriptor, for `serve_forever`."""
        return self._listener.fileno()

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept one connection."""
        return self._listener.accept()

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Turn away vsock peers other than the parent. On a unix socket the file's mode decides, on TCP loopback."""
        return bool(request.family != socket.AF_VSOCK or client_address[0] == PARENT_CID)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give the connection a thread, or turn it away when all are taken."""
        if not self._places.acquire(blocking=False):
            self.log.event("full", what="connections")
            self._turn_away(request)
            return
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection and give its place back. Runs in the connection's thread, or for refused peers."""
        with self._lock:
            had_place = request in self._open
            self._open.discard(request)
        super().shutdown_request(request)
        self.close_request(request)
        if had_place:
            self._places.release()

    def close_request(self, request: Any) -> None:
        """Close a connection's descriptor."""
        request.close()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """Log that a handler broke, without its data. The connection is closed, the server goes on."""
        self.log.event("internal error", what="connection", error=type(sys.exception()).__name__)

    def stop(self) -> None:
        """Stop accepting, let every call under way finish, and return when the last thread has ended.

        Idle connections see the end of the stream at once; busy ones after their reply, since only reading is shut.
        """
        self.shutdown()
        self._listener.close()
        with self._lock:
            for sock in self._open:
                _shut_reading(sock)
        self.server_close()

    def _turn_away(self, request: socket.socket) -> None:
        with contextlib.suppress(DeadlinePassed, PeerLost):  # it is being turned away anyway
            data = frames.encode(reply.refusal(503, "Enclave at capacity").payload)
            sockets.send(request, data, deadline=time.monotonic() + 1.0)
        self.shutdown_request(request)


class FrameHandler(socketserver.BaseRequestHandler):
    """One connection: frames in, frames out, until the peer closes, falls silent or breaks the format."""

    server: FrameServer

    def handle(self) -> None:
        """Serve the connection."""
        decoder = frames.Decoder()
        try:
            while (payload := self._receive(decoder)) is not None:
                self._send(*self.server.answer(payload))
        except FrameError as exc:
            self.server.log.event("bad frame", error=str(exc))
            self._send_error(str(exc))
        except (DeadlinePassed, PeerLost):
            return  # a silent or vanished peer: nobody is left to be told

    def _receive(self, decoder: frames.Decoder) -> bytes | None:
        if not decoder.pending:
            data = sockets.receive(self.request, deadline=time.monotonic() + self.server.idle_seconds)
            if not data:
                return None
            decoder.feed(data)
        return sockets.receive_frame(self.request, decoder, deadline=time.monotonic() + self.server.frame_seconds)

    def _send(self, *payloads: bytes) -> None:
        data = b"".join(map(frames.encode, payloads))
        sockets.send(self.request, data, deadline=time.monotonic() + self.server.frame_seconds)

    def _send_error(self, error: str) -> None:
        with contextlib.suppress(DeadlinePassed, PeerLost):
            self._send(reply.refusal(400, error).payload)


def _shut_reading(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):  # the peer may have been faster
        sock.shutdown(socket.SHUT_RD)
