"""gunicorn's threaded worker, with an end to silent callers, and this API's errors where HTTP itself is broken.

As shipped, a thread waits without limit for the rest of a request: a few silent connections would hold every thread.

As shipped, gunicorn answers those with HTML and repeats the offending line in the answer and in the log; a mangled
request line or header may be a secret.
"""

import contextlib
import socket
import struct
import uuid
from typing import Any

from gunicorn import util  # type: ignore[import-untyped]
from gunicorn.http import errors  # type: ignore[import-untyped]
from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]

from app.log import Log
from wire import jsontext

REFUSALS = {
    errors.LimitRequestLine: (414, "URI Too Long", "uri_too_long"),
    errors.ExpectationFailed: (417, "Expectation Failed", "expectation_failed"),
    errors.LimitRequestHeaders: (431, "Request Header Fields Too Large", "headers_too_large"),
    errors.UnsupportedTransferCoding: (501, "Not Implemented", "unsupported_transfer_coding"),
}
SILENCE_SECONDS = 10  # between two packets of a request, or of an answer that is taken; a drip is not covered
MALFORMED = (400, "Bad Request", "bad_request")
BUG = (500, "Internal Server Error", "internal_error")


class Worker(ThreadWorker):  # type: ignore[misc]
    """Named in gunicorn_conf.py."""

    def handle(self, conn: Any) -> Any:
        """Serve a connection whose reads and writes end after SILENCE_SECONDS."""
        with contextlib.suppress(OSError):  # it has gone already; gunicorn will notice
            for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
                conn.sock.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", SILENCE_SECONDS, 0))
        return super().handle(conn)

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
