"""The HTTPS server on loopback that hosts the upstream stand-ins, one handler per host name.

Rule: a request reaches a handler only when SNI and Host name the same host (421 otherwise, RFC 9110
section 15.5.20). Answers carry Content-Length and the connection stays open, as HTTP/1.1 wants; it
ends with a close_notify. The handlers are pure: a Request in, a Response out.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from devstack.tls_identity import Issuer

MAX_BODY_BYTES = 256 * 1024
MAX_REMEMBERED = 10_000
IDLE_TIMEOUT_S = 30.0
CLOSE_TIMEOUT_S = 0.5  # how long to wait for the peer's close_notify
POLL_S = 0.05
SNI_ATTRIBUTE = "devstack_sni"  # set on the SSLSocket during its handshake


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request as a stand-in sees it. Header names are lower-case; a repeated one keeps its last value."""

    method: str
    host: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """What a stand-in answers. Date, Content-Length and Connection are the server's to write."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


Handler = Callable[[Request], Response]


class UpstreamServer:
    """Serves `handlers` (host name -> handler) on a loopback port; start, stop, or use `with`.

    With `authority` it speaks TLS and presents one certificate per host, chosen by SNI; an unknown or
    missing name is refused with the unrecognized_name alert. With None it speaks plain HTTP.
    `requests` and `connections` say what arrived, for tests.
    """

    def __init__(self, handlers: Mapping[str, Handler], *, authority: Issuer | None, port: int = 0) -> None:
        if not handlers:
            raise ValueError("an upstream without handlers would answer nothing")
        self._server = _Server(dict(handlers), authority, port)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(POLL_S,), name="upstream", daemon=True)

    @property
    def address(self) -> tuple[str, int]:
        """Loopback host and port; every host name of the handlers answers there."""
        host, port = self._server.server_address[:2]
        return str(host), int(port)

    @property
    def connections(self) -> int:
        """Connections that finished their handshake."""
        return self._server.connections

    @property
    def requests(self) -> tuple[Request, ...]:
        """The last MAX_REMEMBERED requests that reached a handler, oldest first."""
        return tuple(self._server.requests)

    def start(self) -> UpstreamServer:
        """Begins to accept; the port was bound when the object was made."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stops accepting, closes every connection and waits for the accepting thread."""
        if self._thread.ident is not None:
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()
        self._server.close_connections()

    def __enter__(self) -> UpstreamServer:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, handlers: dict[str, Handler], authority: Issuer | None, port: int) -> None:
        self.handlers = handlers
        self.requests: deque[Request] = deque(maxlen=MAX_REMEMBERED)
        self.connections = 0
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._context = None if authority is None else _context(authority, handlers)
        super().__init__(("127.0.0.1", port), _Connection)

    def get_request(self) -> tuple[socket.socket, object]:
        """Wraps without a handshake: that belongs to the connection's own thread."""
        sock, address = super().get_request()
        sock.settimeout(IDLE_TIMEOUT_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._context is not None:
            sock = self._context.wrap_socket(
                sock, server_side=True, do_handshake_on_connect=False, suppress_ragged_eofs=False
            )
        with self._lock:
            self._open.add(sock)
        return sock, address

    def count(self) -> None:
        """One more connection is up."""
        with self._lock:
            self.connections += 1

    def shutdown_request(self, request: object) -> None:
        """Ends one connection with a close_notify; http.server alone would cut it."""
        if not isinstance(request, socket.socket):
            raise TypeError(f"a stream server serves sockets, got {type(request).__name__}")
        with self._lock:
            self._open.discard(request)
        with contextlib.suppress(OSError, ValueError):
            if isinstance(request, ssl.SSLSocket):
                request.settimeout(CLOSE_TIMEOUT_S)
                request.unwrap()
            request.shutdown(socket.SHUT_WR)
        self.close_request(request)

    def close_connections(self) -> None:
        """Ends every connection at once; its thread then finds an end of stream."""
        with self._lock:
            still_open = list(self._open)
        for sock in still_open:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: object) -> None:
        """A client that hangs up or fails its handshake is its own business; all else is printed."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


def _context(authority: Issuer, hosts: Mapping[str, Handler]) -> ssl.SSLContext:
    contexts = {host: authority.issue(host).context() for host in hosts}

    def choose(sock: ssl.SSLSocket | ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> int | None:
        if name is None or name not in contexts:
            return int(ssl.AlertDescription.ALERT_DESCRIPTION_UNRECOGNIZED_NAME)
        sock.context = contexts[name]
        setattr(sock, SNI_ATTRIBUTE, name)
        return None

    first = authority.issue(next(iter(hosts))).context()
    first.sni_callback = choose
    return first


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "devstack"
    sys_version = ""
    wbufsize = -1  # one write per answer, flushed by http.server
    server: _Server

    def setup(self) -> None:
        if isinstance(self.request, ssl.SSLSocket):
            self.request.do_handshake()
        self.server.count()
        super().setup()

    def _answer(self) -> None:
        body = self._body()
        if body is None:
            return
        host = (self.headers.get("Host") or "").partition(":")[0]
        handler = self.server.handlers.get(host)
        if handler is None or getattr(self.request, SNI_ATTRIBUTE, host) != host:
            self._write(Response(status=421, body=b"misdirected request\n"))
            return
        target = urlsplit(self.path)
        request = Request(
            method=self.command,
            host=host,
            path=target.path,
            query=tuple(parse_qsl(target.query, keep_blank_values=True)),
            headers={name.lower(): value for name, value in self.headers.items()},
            body=body,
        )
        self.server.requests.append(request)
        self._write(handler(request))

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815 (names of http.server)

    def _body(self) -> bytes | None:
        """The request's body; None after refusing one that the stand-ins have no use for."""
        length = self.headers.get("Content-Length", "0")
        if (
            "Transfer-Encoding" in self.headers
            or not (length.isascii() and length.isdigit())
            or int(length) > MAX_BODY_BYTES
        ):
            self.close_connection = True
            self._write(Response(status=413, body=b"content-length of at most 256 KiB, please\n"))
            return None
        return self.rfile.read(int(length))

    def _write(self, response: Response) -> None:
        self.send_response(response.status)
        for name, value in response.headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(response.body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(response.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (name of http.server)
        """Quiet: tests read `requests` instead."""
