"""The memory of what was opened: a request works once, and is remembered for as long as its time would be accepted.

Bounded: when it is full, requests are refused, not forgotten. Tokens are kept by the minute that their request states,
and a whole minute is dropped once everything in it has become too old.
"""

import hashlib
import threading

WINDOW_MS = 300_000  # how far a request's time may lie from the enclave's; clients' clocks are not better than that
DEFAULT_PLACES = 262_144  # some 700 requests a second that state their own time; about 30 MiB
_BUCKET_MS = 60_000
_TOKEN_BYTES = 16  # of SHA-256; nobody gains by two requests of their own that collide


class Stale(Exception):
    """The stated time is too far from the enclave's."""


class Replayed(Exception):
    """This was here before."""


class MemoryFull(Exception):
    """Nothing more can be remembered at the moment, so nothing more is let in."""


class ReplayMemory:
    """Remembers what was admitted. Safe to use from many threads."""

    def __init__(self, *, places: int = DEFAULT_PLACES) -> None:
        self._places = places
        self._held = 0
        self._latest_ms = 0
        self._seen: dict[int, set[bytes]] = {}
        self._lock = threading.Lock()

    def admit(self, name: bytes, *, stated_ms: int, now_ms: int) -> None:
        """Let `name` in, once. `stated_ms` is the request's own time, `now_ms` the enclave's.

        Threads come here in another order than they read the clock in. The latest time that any of them brought counts:
        else one that was held up would find what it replays forgotten, and still in time.

        Raises:
            Stale, Replayed, MemoryFull: see there.
        """
        token = hashlib.sha256(name).digest()[:_TOKEN_BYTES]
        with self._lock:
            self._latest_ms = max(self._latest_ms, now_ms)
            if abs(self._latest_ms - stated_ms) > WINDOW_MS:
                raise Stale
            self._forget()
            tokens = self._seen.setdefault(stated_ms // _BUCKET_MS, set())
            if token in tokens:
                raise Replayed
            if self._held >= self._places:
                raise MemoryFull
            tokens.add(token)
            self._held += 1

    def _forget(self) -> None:
        oldest = (self._latest_ms - WINDOW_MS) // _BUCKET_MS
        for bucket in [bucket for bucket in self._seen if bucket < oldest]:
            self._held -= len(self._seen.pop(bucket))
