"""The enclave's sealing keys: made in its memory, never written anywhere, gone with the process.

A key is the current one for an hour and accepted for a quarter of an hour more, so that a client which has just
verified it can still use it. Whoever takes over an enclave's memory later finds no key for what was sealed before.
"""

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.hpke import MLKEM768X25519PrivateKey

from enclave_worker.sealed import envelope

HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifetime:
    """For how long a key is the current one, and for how much longer it is accepted; both in milliseconds."""

    current_ms: int = HOUR_MS
    overlap_ms: int = HOUR_MS // 4


DEFAULT_LIFETIME = Lifetime()


@dataclass(frozen=True, slots=True, kw_only=True)
class SealingKey:
    """`public` has 1216 bytes, `id` is its SHA-256; from `until_ms` (Unix) on, there is a newer one."""

    private: MLKEM768X25519PrivateKey = field(repr=False)
    public: bytes
    id: bytes
    until_ms: int


class KeyRing:
    """The current key and, for a while, the one before. Safe to use from many threads. `clock_ms` never goes back."""

    def __init__(self, clock_ms: Callable[[], int], lifetime: Lifetime = DEFAULT_LIFETIME) -> None:
        self._clock_ms = clock_ms
        self._lifetime = lifetime
        self._lock = threading.Lock()
        self._keys = [self._make(clock_ms())]  # the oldest first

    def current(self) -> SealingKey:
        """Return the key that clients are shown."""
        return self._fresh()[-1]

    def find(self, key_id: bytes) -> SealingKey | None:
        """Return the key with this id, or None when there is none that is still accepted."""
        return next((key for key in self._fresh() if key.id == key_id), None)

    def ids(self) -> tuple[bytes, ...]:
        """Return the ids of the keys there are, the oldest first. Makes none: whoever only asks waits for nothing."""
        return tuple(key.id for key in self._keys)

    def _fresh(self) -> list[SealingKey]:
        """Drop the keys whose time is over and make a new one where the last is no longer current."""
        with self._lock:
            now = self._clock_ms()
            kept = [key for key in self._keys if now < key.until_ms + self._lifetime.overlap_ms]
            if not kept or now >= kept[-1].until_ms:
                kept.append(self._make(now))
            self._keys = kept
            return kept

    def _make(self, now: int) -> SealingKey:
        private, public = envelope.generate()
        key_id = hashlib.sha256(public).digest()
        return SealingKey(private=private, public=public, id=key_id, until_ms=now + self._lifetime.current_ms)
