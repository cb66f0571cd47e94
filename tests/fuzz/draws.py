"""Decisions taken from bytes, front to back. When the bytes are over, every decision is the first choice.

The fuzzer's own provider takes from both ends and is not there where a corpus is run without the fuzzer.
"""

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Draws:
    """Reads decisions from `data`."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> bytes:
        """Return the next bytes, at most `count`."""
        taken = self._data[self._at : self._at + count]
        self._at += count
        return taken

    def byte(self) -> int:
        return int.from_bytes(self.take(1), "big")

    def below(self, limit: int) -> int:
        """Return a number from 0 up to, and without, `limit`."""
        return int.from_bytes(self.take(1 if limit <= 256 else 3), "big") % limit

    def flag(self) -> bool:
        return self.byte() & 1 == 1

    def choice(self, among: Sequence[T]) -> T:
        return among[self.below(len(among))]

    def blob(self) -> bytes:
        """Return up to 255 bytes, which begin with their number."""
        return self.take(self.byte())

    def text(self) -> str:
        """Return up to 255 characters, any of the first 256."""
        return self.blob().decode("latin-1")

    def rest(self) -> bytes:
        return self.take(len(self._data))

    def edits(self, base: bytes, words: Sequence[bytes] = (), *, most: int = 4) -> bytes:
        """Return `base` with up to `most` places cut out, overwritten or added to, with bytes or one of `words`."""
        for _ in range(self.below(most + 1)):
            at = self.below(len(base) + 1)
            removed = self.byte() >> 3  # mostly few
            inserted = self.choice(words) if words and self.flag() else self.take(self.byte() & 3)
            base = base[:at] + inserted + base[at + removed :]
        return base
