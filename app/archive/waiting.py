"""Replies on their way into the archive: a queue bounded in bytes, filled by request threads, emptied by one writer."""

import threading
from collections import deque
from dataclasses import dataclass

MAX_WAITING_BYTES = 64 * 1024 * 1024  # ours: four of the largest replies, or some seconds of a busy parent's
BYTES_EACH = 1024  # what a queued reply costs besides its bytes, counted generously


@dataclass(frozen=True, slots=True)
class Item:
    """A reply as it was handed out, who asked for it, and under which request id the log knows it."""

    reply: bytes
    caller: str | None
    request_id: str


class Waiting:
    """First in, first out. What was taken counts until `release`."""

    def __init__(self, *, max_bytes: int = MAX_WAITING_BYTES) -> None:
        self._max_bytes = max_bytes
        self._items: deque[Item] = deque()
        self._bytes = 0
        self._closed = False
        self._changed = threading.Condition()

    @property
    def bytes(self) -> int:
        """How many bytes wait, or are being saved."""
        return self._bytes

    def put(self, item: Item) -> bool:
        """Add a reply. Returns False where there is no room, or nobody takes any more."""
        cost = len(item.reply) + BYTES_EACH
        with self._changed:
            if self._closed or self._bytes + cost > self._max_bytes:
                return False
            self._items.append(item)
            self._bytes += cost
            if len(self._items) == 1:
                self._changed.notify()
        return True

    def take(self, *, most: int, most_bytes: int, wait: float) -> list[Item]:
        """Return the oldest replies, after at most `wait` seconds; at least one of any size, where there is one."""
        with self._changed:
            if not self._items and not self._closed:
                self._changed.wait(wait)
            taken: list[Item] = []
            size = 0
            while self._items and len(taken) < most and (not taken or size + len(self._items[0].reply) <= most_bytes):
                taken.append(self._items.popleft())
                size += len(taken[-1].reply)
        return taken

    def release(self, items: list[Item]) -> None:
        """Give back the room of what was taken."""
        with self._changed:
            self._bytes -= sum(len(item.reply) + BYTES_EACH for item in items)

    def close(self) -> None:
        """Take nothing more; `take` returns at once."""
        with self._changed:
            self._closed = True
            self._changed.notify()
