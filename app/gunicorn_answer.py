"""How an answer is written: its head together with its body, and with a date that is made once a second."""

import time
from email.utils import formatdate
from functools import lru_cache

from gunicorn import util  # type: ignore[import-untyped]
from gunicorn.http.wsgi import Response  # type: ignore[import-untyped]

from app.patience import Patient

MAX_JOINED_BYTES = 256 * 1024  # above that a copy costs more than a system call
AT_ONCE_BYTES = 128 * 1024  # half of gunicorn_arrival.SEND_BUFFER_BYTES, of which Linux by itself allows 208 KiB


class Answer(Response):  # type: ignore[misc]
    """gunicorn's response; the head is kept back until there is something to send it with."""

    headers_sent: bool
    _head = b""

    def is_taken_at_once(self) -> bool:
        """Whether the kernel has room for all of the answer, so that sending it waits for nobody.

        Raises:
            OSError: the connection is gone.
        """
        size = self.response_length
        if size is None or size > AT_ONCE_BYTES or not isinstance(self.sock, Patient):
            return False
        return bool(self.sock.unsent() + size <= AT_ONCE_BYTES)

    def default_headers(self) -> list[str]:
        """Return the lines that do not come from the application."""
        connection = "close" if self.should_close() else "keep-alive"
        date = _date(int(time.time()))
        first = f"HTTP/1.{self.req.version[1]} {self.status}\r\nDate: {date}\r\nConnection: {connection}\r\n"
        return [first, "Transfer-Encoding: chunked\r\n"] if self.chunked else [first]

    def send_headers(self) -> None:
        """Write the head, once."""
        if not self.headers_sent:
            lines = [*self.default_headers(), *(f"{name}: {value}\r\n" for name, value in self.headers), "\r\n"]
            self._head = "".join(lines).encode("latin-1")
            self.headers_sent = True

    def close(self) -> None:
        """Write what is left to write."""
        self.send_headers()
        self._flush()
        super().close()

    def _emit_body(self, data: bytes) -> None:
        if self.chunked or len(data) > MAX_JOINED_BYTES:
            self._flush()
            super()._emit_body(data)
            return
        util.write(self.sock, self._head + data)
        self._head = b""

    def _flush(self) -> None:
        if self._head:
            util.write(self.sock, self._head)
            self._head = b""


@lru_cache(maxsize=1)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)
