"""gunicorn's threaded worker, with this API's errors where HTTP itself is broken and no application is reached.

As shipped, gunicorn answers those with HTML and repeats the offending line in the answer and in the log; a mangled
request line or header may be a secret.
"""

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
MALFORMED = (400, "Bad Request", "bad_request")
BUG = (500, "Internal Server Error", "internal_error")


class Worker(ThreadWorker):  # type: ignore[misc]
    """Named in gunicorn_conf.py."""

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Exception) -> None:  # noqa: ARG002
        """Answer with JSON, say which kind of error it was, and repeat nothing of what was sent."""
        refusal = MALFORMED if isinstance(exc, errors.ParseException) else BUG
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
