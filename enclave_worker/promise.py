"""What one thread waits for and another one gives: a `concurrent.futures.Future` for one waiter, in half the time."""

import threading
import time
from typing import Generic, TypeVar

T = TypeVar("T")


class Promise(Generic[T]):
    """Given once, by whoever begins it. One thread waits, and may give it up as long as nobody has begun."""

    def __init__(self) -> None:
        self._begun = threading.Lock()  # held from then on
        self._given = threading.Lock()  # held until then
        self._given.acquire()
        self._value: T | None = None
        self._error: Exception | None = None

    def begin(self) -> bool:
        """Begin the work, unless it was given up; return whether it is wanted."""
        return self._begun.acquire(blocking=False)

    def give(self, value: T) -> None:
        """Give what was promised."""
        self._value = value
        self._given.release()

    def fail(self, error: Exception) -> None:
        """Give the error instead."""
        self._error = error
        self._given.release()

    def wait(self, deadline: float) -> T:
        """Return what was given. `deadline` is an instant on `time.monotonic()`.

        Raises:
            TimeoutError: nothing was in time; if nobody has begun, nobody will.
            Exception: the one that was given.
        """
        if not self._given.acquire(timeout=max(0.0, deadline - time.monotonic())):
            self._begun.acquire(blocking=False)
            raise TimeoutError
        if self._error is not None:
            raise self._error
        return self._value  # type: ignore[return-value]  # given, since there is no error
