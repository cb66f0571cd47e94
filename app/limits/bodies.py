"""How many bytes of requests one process holds at once: refused before they are read, where their length is known.

An eighth is for small requests alone: however many large ones are under way, and however slowly they come, a small one
finds room.
"""

import threading
from typing import Any

from app.errors import ApiError

SMALL_BYTES = 1024 * 1024
_RETRY_SECONDS = 1


class BodyBudget:
    """Bytes of request bodies under way in this process, at most `most`. Safe to use from many threads."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self.held = 0
        self.refused = 0

    def reserve(self, size: int, *, whole: int | None = None) -> None:
        """Count `size` bytes; `release` has to follow. `whole` is what is known so far of a body that they are part of.

        Raises:
            ApiError: 503, there is no room; nothing was counted.
        """
        small = (size if whole is None else whole) <= SMALL_BYTES
        most = self._most if small else self._most - self._most // 8
        with self._lock:
            if self.held + size > most:
                self.refused += 1
                raise ApiError(503, "busy", "Too many large requests are under way", retry_after=_RETRY_SECONDS)
            self.held += size

    def release(self, size: int) -> None:
        """Count the end of `size` bytes."""
        with self._lock:
            self.held -= size


class MeteredStream:
    """A body whose length is not known beforehand: counted as it comes. `size` is what was counted so far."""

    def __init__(self, stream: Any, budget: BodyBudget) -> None:
        self._stream = stream
        self._budget = budget
        self.size = 0

    def read(self, size: int = -1) -> bytes:
        """Read as the stream beneath does. Raises ApiError: 503, there is no room for what came."""
        data: bytes = self._stream.read(size)
        self._budget.reserve(len(data), whole=self.size + len(data))
        self.size += len(data)
        return data
