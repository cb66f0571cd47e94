"""A database that stands still: it takes every question, refuses none and answers none."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

SILENT_SECONDS = 10.0  # SQLite waits 5 s for another's write


class Silence:
    """Listens to what many threads ask one database."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asking = 0
        self._since = 0.0  # the last answer, or the first question after which there was none

    @property
    def lasts(self) -> bool:
        """Whether somebody waits, and nobody got an answer for SILENT_SECONDS."""
        return self._asking > 0 and time.monotonic() > self._since + SILENT_SECONDS

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Ask within. What ends in an exception is no answer."""
        with self._lock:
            if self._asking == 0:
                self._since = time.monotonic()
            self._asking += 1
        answered = False
        try:
            yield
            answered = True
        finally:
            with self._lock:
                self._asking -= 1
                if answered:
                    self._since = time.monotonic()
