"""gunicorn's threaded worker, with an end to slow callers, and this API's errors where HTTP itself is broken.

As shipped, a thread waits without limit for the rest of a request: a few silent connections would hold every thread.
Here a thread begins when the head is whole (app.gunicorn_arrival), and does not wait for ever for the rest
(app.patience). When there is room for no other connection, the one that has been idle for longest is closed.

As shipped, gunicorn answers those with HTML and repeats the offending line in the answer and in the log; a mangled
request line or header may be a secret.

As shipped, each request of a kept connection is found by the main thread and handed to another one, which costs more
than a small request itself. Here a thread that has answered waits a moment for the next request, as long as enough
threads are free for everybody else.

As shipped, the main thread waits up to two seconds for a caller to take note that its connection ends. While it waits
for one, nobody is accepted or heard, and when the process is to end, kept connections close with requests in them. Here
the thread that answered waits.

As shipped, a process that has no descriptor left for a new connection ends, and every call under way in it. Here new
connections wait. The same happens where one event closes the connection of another that came with it; here that one is
passed over. As shipped, a process whose master was killed keeps its kept connections as long as they are used, and
the port with them, so that no other master can start. Here it ends as it does when it is told to.
"""

import errno
import gc
import ssl
import time
import uuid
from collections.abc import Callable
from functools import partial
from selectors import EVENT_READ
from typing import Any

from gunicorn import util  # type: ignore[import-untyped]
from gunicorn.http import errors, wsgi  # type: ignore[import-untyped]
from gunicorn.http.body import LengthReader  # type: ignore[import-untyped]
from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]

from app.gate import AFTER
from app.gunicorn_answer import Answer
from app.gunicorn_arrival import Caller, Connection
from app.log import Log
from wire import jsontext

REFUSALS = {
    errors.LimitRequestLine: (414, "URI Too Long", "uri_too_long"),
    errors.ExpectationFailed: (417, "Expectation Failed", "expectation_failed"),
    errors.LimitRequestHeaders: (431, "Request Header Fields Too Large", "headers_too_large"),
    errors.UnsupportedTransferCoding: (501, "Not Implemented", "unsupported_transfer_coding"),
}
LINGER_MICROSECONDS = 50_000  # how long a thread waits for a connection's next request
FAREWELL_SECONDS, SHORT_FAREWELL_SECONDS = 2.0, 0.1  # gunicorn's, for a caller to close; and when threads are scarce
BUSY_SHARE = 0.75  # of the threads may be taken, by calls or by such waiting, before none of them waits any more
SWEEP_SECONDS = 0.5  # how often heads that are late are looked for
ARRIVING = object()  # what `handle` returns of a connection whose head is not whole
TOO_SLOW = (408, "Request Timeout", "request_timeout")
NO_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)  # accept(2); it ends when something is closed
MALFORMED = (400, "Bad Request", "bad_request")
BUG = (500, "Internal Server Error", "internal_error")


class Worker(ThreadWorker):  # type: ignore[misc]
    """Named in gunicorn_conf.py. Calls none of gunicorn's hooks for requests, and writes no access log."""

    def init_process(self) -> None:
        """Prepare the process that serves."""
        self._taken = 0  # threads that serve or linger, and connections that wait for one; of the main thread
        self._many = int(self.cfg.threads * BUSY_SHARE)
        self._arriving: dict[Caller, float] = {}  # in the poller, and when they are given up; of the main thread
        self._swept = 0.0
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

    def is_parent_alive(self) -> bool:
        """Whether the master is there; without it this process is about to end. (Called by the main thread.)"""
        if not super().is_parent_alive():
            self.alive = False
        return bool(self.alive)

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Wait for events and see to them; one may close, or hand on, the connection of another that came with it.

        So each is looked at again: a new connection may even have the number of the closed one.
        """
        registered = self.poller.get_map()
        for key, _ in self.poller.select(timeout):
            if registered.get(key.fd) is key:
                key.data(key.fileobj)

    def enqueue_req(self, conn: Any) -> None:
        """Give a connection that has something to read to a thread. (Called by the main thread.)"""
        self._taken += 1
        super().enqueue_req(conn)

    def finish_request(self, conn: Any, fs: Any) -> None:
        """Take a connection back from its thread. (Called by the main thread.)"""
        self._taken -= 1
        if conn.ended:
            self.nr_conns -= 1
        elif not fs.cancelled() and fs.exception() is None and fs.result() is ARRIVING:
            self._await(conn)
        else:
            super().finish_request(conn, fs)

    def accept(self, listener: Any) -> None:
        """Accept a connection; it gets a thread when something comes. (Called by the main thread.)

        Where there is no descriptor for it, let it wait until something else has happened, or a second.
        """
        try:
            sock, address = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as exc:
            if exc.errno not in NO_ROOM:
                raise
            if not self._full:
                Log().event("full", what="descriptors", error=exc.strerror)
            self._full = True
            self.set_accept_enabled(False)  # gunicorn's next round enables it again
            return
        self._full = False
        self.nr_conns += 1
        self._await(Caller(self.cfg, sock, address, listener.getsockname()))
        if self.nr_conns >= self.worker_connections:
            self._make_room()

    def on_pending_socket_readable(self, conn: Any, client: Any) -> None:  # gunicorn's name
        """Let a thread take what has come. (Called by the main thread, as all that follows here.)

        The rest of a head that drips is looked at here, which costs less than a thread's turn; not under TLS.
        """
        if conn.until is not None and not self.cfg.is_ssl and not _is_whole(conn):
            return
        self.poller.unregister(client)
        del self._arriving[conn]
        self.enqueue_req(conn)

    def murder_pending(self) -> None:  # gunicorn's name
        """Give up the connections whose head did not come in time."""
        now = time.monotonic()
        if now < self._swept + SWEEP_SECONDS:
            return
        self._swept = now
        for conn in [conn for conn, until in self._arriving.items() if until <= now]:
            self._give_up(conn)

    def _await(self, conn: Caller) -> None:
        """Leave a connection to the poller until more of its head comes, or its time is over."""
        try:
            self.poller.register(conn.sock, EVENT_READ, partial(self.on_pending_socket_readable, conn))
        except (OSError, ValueError):  # closed meanwhile
            self.nr_conns -= 1
            conn.close()
            return
        self._arriving[conn] = conn.until or time.monotonic() + self.cfg.keepalive

    def _make_room(self) -> None:
        """Close the connection that has been idle for longest; first of those from which no request has come."""
        if len(self._arriving) > 1:  # the newest is among them
            self._give_up(next(iter(self._arriving)))
        elif self.keepalived_conns:
            self.keepalived_conns[0].timeout = 0.0
            self.murder_keepalived()

    def _give_up(self, conn: Caller) -> None:
        del self._arriving[conn]
        self.poller.unregister(conn.sock)
        self.nr_conns -= 1
        if conn.until is not None:
            _tell(conn.sock, TOO_SLOW, TimeoutError())
        conn.close()

    def _cap_keepalive(self, deadline: float) -> None:
        """When the process stops: wait until `deadline`, no longer, for connections from which nothing has come."""
        super()._cap_keepalive(deadline)
        for conn, until in self._arriving.items():
            if conn.until is None:
                self._arriving[conn] = min(until, deadline)

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
        """Serve a connection until it pauses.

        What is returned is for gunicorn: whether the connection is to be kept; or ARRIVING.
        """
        try:
            kept = self._serve(conn)
        except ssl.SSLError as exc:
            if exc.args[0] != ssl.SSL_ERROR_EOF:
                self.handle_error(None, conn.sock, conn.client, exc)
            kept = False
        except OSError:
            kept = False  # nobody is left to be told
        except errors.ParseException as exc:
            self.handle_error(None, conn.sock, conn.client, exc)
            kept = False
        if kept is False:
            util.close_graceful(conn.sock, self._farewell())
            conn.ended = True
        return kept

    def _serve(self, conn: Caller) -> Any:
        if not conn.initialized:
            conn.prepare(self._is_scarce)
        while conn.arrive():
            kept = super().handle(conn)
            if kept is not True or self._is_scarce() or not _goes_on(conn):
                return kept
        return ARRIVING

    def _is_scarce(self) -> bool:
        return self._taken > self._many

    def _farewell(self) -> float:
        """Return how many seconds a thread has for a connection that ends."""
        return SHORT_FAREWELL_SECONDS if self._is_scarce() else FAREWELL_SECONDS

    def _keepalive_after(self, conn: Any, keepalive: bool) -> bool:  # gunicorn's signature
        """Whether the connection can serve another request; what is left of a body is drained, if there is time."""
        body = conn.parser.mesg.body
        if keepalive and isinstance(body.reader, LengthReader) and not (body.reader.length or body.buf.tell()):
            return not body.failed
        if not keepalive or self._is_scarce():
            return False
        return bool(conn.parser.finish_body(deadline=time.monotonic() + FAREWELL_SECONDS))

    def handle_request(self, req: Any, conn: Any) -> bool:
        """Answer one request; return whether the connection may be kept."""
        answer, environ = wsgi.create(req, conn.sock, conn.client, conn.server, self.cfg, response_class=Answer)
        environ["wsgi.multithread"] = True
        after: list[Callable[[], None]] = []
        environ[AFTER] = after
        self.nr += 1
        if self.nr >= self.max_requests:
            self.alive = False
        if not (self.alive and self.cfg.keepalive) or len(self.keepalived_conns) >= self.max_keepalived:
            answer.force_close()
        try:
            pieces = self.wsgi(environ, answer.start_response)
            if after and answer.is_taken_at_once():
                _do(after)  # before it is sent: the next question may be here as soon as its last byte is there
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
        finally:
            _do(after)
        return not answer.should_close()

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Exception) -> None:  # noqa: ARG002
        """Answer with JSON, say which kind of error it was, and repeat nothing of what was sent."""
        refusal = MALFORMED if isinstance(exc, errors.ParseException | OSError) else BUG  # OSError: of TLS
        _tell(client, REFUSALS.get(type(exc), refusal), exc)


def _do(steps: list[Callable[[], None]]) -> None:
    while steps:
        steps.pop()()


def _is_whole(conn: Caller) -> bool:
    """Whether there is something to do for a thread: a head, or an end."""
    try:
        return conn.arrive()
    except (OSError, errors.ParseException):
        return True  # the thread meets it again


def _tell(sock: Any, refusal: tuple[int, str, str], exc: Exception) -> None:
    """Answer what was no request, if that can be done at once."""
    status, reason, code = refusal
    request_id = str(uuid.uuid4())
    Log().event("http error", requestId=request_id, status=status, error=type(exc).__name__)
    body = jsontext.dump({"success": False, "error": reason, "code": code, "requestId": request_id})
    head = (
        f"HTTP/1.1 {status} {reason}\r\nConnection: close\r\nContent-Type: application/json\r\n"
        f"Cache-Control: no-store\r\nX-Request-Id: {request_id}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    try:
        util.write_nonblock(sock, head.encode("ascii") + body)
    except OSError:
        return  # nobody is left to be told


def _goes_on(conn: Caller) -> bool:
    """Whether the next request of a connection, or its end, comes within LINGER_MICROSECONDS.

    Under TLS there is no such waiting: an SSLSocket would begin a wait anew that the kernel has ended.
    """
    unreader, sock = conn.parser.unreader, conn.sock
    if not isinstance(sock, Connection):
        return False
    if unreader.buf.getvalue():
        return True
    try:
        unreader.unread(sock.wait(microseconds=LINGER_MICROSECONDS))
    except OSError:
        return False  # nothing, or the end, which gunicorn will notice
    return True
