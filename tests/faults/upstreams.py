"""Stand-ins whose answers may be held back until something has happened, or be others than they are."""

import contextlib
import threading
from collections.abc import Iterator

from devstack.trouble import Trouble
from devstack.upstream import Handler, Request, Response

PATIENCE_SECONDS = 20.0


class Held:
    """A handler. Only what is posted is held or changed: undisturbed callers ask with GET."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._holding = False
        self._arrived = threading.Semaphore(0)
        self._go_on = threading.Event()
        self.trouble: Trouble | None = None
        self.posted = 0

    def __call__(self, request: Request) -> Response:
        """Answer one request."""
        answer = self._handler(request)
        if request.method != "POST":
            return answer
        self.posted += 1
        if self._holding:
            self._arrived.release()
            self._go_on.wait(PATIENCE_SECONDS)
        return answer if self.trouble is None else self.trouble(answer)

    @contextlib.contextmanager
    def holding(self) -> Iterator[None]:
        """Hold requests back from now on; those that are held at the end are answered."""
        self._holding, self._arrived = True, threading.Semaphore(0)
        self._go_on.clear()
        try:
            yield
        finally:
            self.go_on()

    def wait(self) -> None:
        """Return when a request is held. Raises: TimeoutError."""
        if not self._arrived.acquire(timeout=PATIENCE_SECONDS):
            raise TimeoutError("no request came to the stand-in")

    def go_on(self) -> None:
        """Answer what is held, and hold nothing more."""
        self._holding = False
        self._go_on.set()
