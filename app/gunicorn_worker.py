"""gunicorn's threaded worker, with an end to silent callers, and this API's errors where HTTP itself is broken.

As shipped, a thread waits without limit for the rest of a request: a few silent connections would hold every thread.

As shipped, gunicorn answers those with HTML and repeats the offending line in the answer and in the log; a mangled
request line or header may be a secret.

As shipped, each request of a kept connection is found by the main thread and handed to another one, which costs more
than a small request itself. Here a thread that has answered waits a moment for the next request, as long as enough
threads are free for everybody else.

As shipped, the main thread waits up to two seconds for a caller to take note that its connection ends. While it waits
for one, nobody is accepted or heard, and when the process is to end, kept connections close with requests in them. Here
the thread that answered waits.

As shipped, a process that has no descriptor left for a new connection ends, and every call under way in it. Here new
connections wait. As shipped, a process whose master was killed keeps its kept connections as long as they are used, and
the port with them, so that no other master can start. Here it ends as it does when it is told to.
"""

import contextlib
import errno
import gc
import socket
import struct
import time
import uuid
from typing import Any

from gunicorn import util  # type: ignore[import-untyped]
from gunicorn.http import errors, wsgi  # type: ignore[import-untyped]
from gunicorn.http.body import LengthReader  # type: ignore[import-untyped]
from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]

from app.gunicorn_answer import Answer
from app.log import Log
from wire import jsontext

REFUSALS = {
    errors.LimitRequestLine: (414, "URI Too Long", "uri_too_long"),
    errors.ExpectationFailed: (417, "Expectation Failed", "expectation_failed"),
    errors.LimitRequestHeaders: (431, "Request Header Fields Too Large", "headers_too_large"),
    errors.UnsupportedTransferCoding: (501, "Not Implemented", "unsupported_transfer_coding"),
}
SILENCE_SECONDS = 10  # between two packets of a request, or of an answer that is taken; a drip is not covered
LINGER_MICROSECONDS = 50_000  # how long a thread waits for a connection's next request
FAREWELL_SECONDS, SHORT_FAREWELL_SECONDS = 2.0, 0.1  # gunicorn's, for a caller to close; and when threads are scarce
BUSY_SHARE = 0.75  # of the threads may be taken, by calls or by such waiting, before none of them waits any more
RECEIVE_BYTES = 8192  # gunicorn's
NO_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)  # accept(2); it ends when something is closed
MALFORMED = (400, "Bad Request", "bad_request")
BUG = (500, "Internal Server Error", "internal_error")


class Connection(socket.socket):
    """A caller's socket: to set the timeout that it has costs no system call. gunicorn does so for every request."""

    def settimeout(self, value: float | None) -> None:
        """As `socket.settimeout`."""
        if value != self.gettimeout():
            super().settimeout(value)

    def setblocking(self, flag: bool) -> None:  # socket's signature
        """As `socket.setblocking`."""
        self.settimeout(None if flag else 0.0)

    def limit(self, *, seconds: int = 0, microseconds: int = 0) -> None:
        """Make every receive end after this time without a byte."""
        self.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", seconds, microseconds))


class Worker(ThreadWorker):  # type: ignore[misc]
    """Named in gunicorn_conf.py. Calls none of gunicorn's hooks for requests, and writes no access log."""

    def init_process(self) -> None:
        """Prepare the process that serves."""
        self._taken = 0  # threads that serve or linger, and connections that wait for one; of the main thread
        self._many = int(self.cfg.threads * BUSY_SHARE)
        self._full = False  # whether the last connection that came could not be taken
        # gunicorn asks for some twenty settings for each request, and each would be looked up through two calls
        self.cfg.__dict__.update({name: setting.get() for name, setting in self.cfg.settings.items()})
        super().init_process()

    def run(self) -> None:
        """Serve, with what was loaded out of the garbage collector's sight: it would look at all of it, and share no
        memory with its siblings any more."""
        gc.collect()
        gc.freeze()
        super().run()

    def accept(self, listener: Any) -> None:
        """Take a new connection; where there is no descriptor for it, let it wait until something else has happened, or
        a second. (Called by the main thread.)"""
        try:
            super().accept(listener)
            self._full = False
        except OSError as exc:
            if exc.errno not in NO_ROOM:
                raise
            if not self._full:
                Log().event("full", what="descriptors", error=exc.strerror)
            self._full = True
            self.set_accept_enabled(False)  # gunicorn's next round enables it again

    def is_parent_alive(self) -> bool:
        """Whether the master is there; without it this process is about to end. (Called by the main thread.)"""
        if not super().is_parent_alive():
            self.alive = False
        return bool(self.alive)

    def enqueue_req(self, conn: Any) -> None:
        """Give a connection that has something to read to a thread. (Called by the main thread.)"""
        self._taken += 1
        super().enqueue_req(conn)

    def finish_request(self, conn: Any, fs: Any) -> None:
        """Take a connection back from its thread. (Called by the main thread.)"""
        self._taken -= 1
        if getattr(conn, "ended", False):
            self.nr_conns -= 1
        else:
            super().finish_request(conn, fs)

    def murder_keepalived(self, force: bool = False) -> None:  # gunicorn's name
        """Close kept connections whose time is over, each after another look whether a request has just come on it."""
        while not force and self.keepalived_conns and self.keepalived_conns[0].timeout <= time.monotonic():
            conn = self.keepalived_conns[0]
            self.wait_for_and_dispatch_events(timeout=0.0)
            if self.keepalived_conns and self.keepalived_conns[0] is conn:
                self.keepalived_conns.popleft()
                self.poller.unregister(conn.sock)
                self.nr_conns -= 1
                conn.close()
        super().murder_keepalived(force)

    def handle(self, conn: Any) -> Any:
        """Serve a connection whose reads and writes end after SILENCE_SECONDS, until it pauses.

        What is returned is for gunicorn: whether the connection is to be kept.
        """
        if not conn.initialized:
            _prepare(conn)
        kept = super().handle(conn)
        while kept is True and self._taken <= self._many and _goes_on(conn):
            kept = super().handle(conn)
        if kept is False:
            few = self._taken > self._many
            util.close_graceful(conn.sock, SHORT_FAREWELL_SECONDS if few else FAREWELL_SECONDS)
            conn.ended = True
        return kept

    def _keepalive_after(self, conn: Any, keepalive: bool) -> bool:  # gunicorn's signature
        """Whether the connection can serve another request; where all of the body was read, there is none to drain."""
        body = conn.parser.mesg.body
        if keepalive and isinstance(body.reader, LengthReader) and not (body.reader.length or body.buf.tell()):
            return not body.failed
        return bool(super()._keepalive_after(conn, keepalive))

    def handle_request(self, req: Any, conn: Any) -> bool:
        """Answer one request; return whether the connection may be kept."""
        answer, environ = wsgi.create(req, conn.sock, conn.client, conn.server, self.cfg, response_class=Answer)
        environ["wsgi.multithread"] = True
        self.nr += 1
        if self.nr >= self.max_requests:
            self.alive = False
        if not (self.alive and self.cfg.keepalive) or len(self.keepalived_conns) >= self.max_keepalived:
            answer.force_close()
        try:
            pieces = self.wsgi(environ, answer.start_response)
            try:
                for piece in pieces:
                    answer.write(piece)
                answer.close()
            finally:
                if hasattr(pieces, "close"):
                    pieces.close()
        except OSError:
            raise
        except Exception as exc:
            if not answer.headers_sent:
                raise
            Log().event("http error", error=type(exc).__name__)
            raise StopIteration from exc  # half an answer is out: gunicorn then closes the connection
        return not answer.should_close()

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Exception) -> None:  # noqa: ARG002
        """Answer with JSON, say which kind of error it was, and repeat nothing of what was sent."""
        refusal = MALFORMED if isinstance(exc, errors.ParseException | OSError) else BUG  # OSError: of TLS
        status, reason, code = REFUSALS.get(type(exc), refusal)
        request_id = str(uuid.uuid4())
        Log().event("http error", requestId=request_id, status=status, error=type(exc).__name__)
        body = jsontext.dump({"success": False, "error": reason, "code": code, "requestId": request_id})
        head = (
            f"HTTP/1.1 {status} {reason}\r\nConnection: close\r\nContent-Type: application/json\r\n"
            f"Cache-Control: no-store\r\nX-Request-Id: {request_id}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        try:
            util.write_nonblock(client, head.encode("ascii") + body)
        except OSError:
            return  # nobody is left to be told


def _prepare(conn: Any) -> None:
    with contextlib.suppress(OSError):  # it has gone already; gunicorn will notice
        conn.sock.setblocking(True)  # a Connection takes it for granted
        conn.sock = Connection(fileno=conn.sock.detach())
        conn.sock.limit(seconds=SILENCE_SECONDS)
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", SILENCE_SECONDS, 0))


def _goes_on(conn: Any) -> bool:
    """Whether the next request of a connection, or its end, comes within LINGER_MICROSECONDS.

    Under TLS there is no such waiting: an SSLSocket would begin a wait anew that the kernel has ended.
    """
    unreader, sock = conn.parser.unreader, conn.sock
    if not isinstance(sock, Connection):
        return False
    if unreader.buf.getvalue():
        return True
    try:
        sock.limit(microseconds=LINGER_MICROSECONDS)
        unreader.unread(sock.recv(RECEIVE_BYTES))
        sock.limit(seconds=SILENCE_SECONDS)
    except BlockingIOError:
        sock.limit(seconds=SILENCE_SECONDS)
        return False
    except OSError:
        return False  # gunicorn will notice
    return True
