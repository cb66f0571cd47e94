"""The NSM's owner: one thread, one bounded queue.

Linux serialises requests to /dev/nsm with one mutex, so a second thread could only wait in the kernel instead of here,
where waiting is counted. A place in the queue is taken *before* the upstream is asked: an answer that could not be
attested any more would have been fetched for nothing, or twice.
"""

import queue
import threading
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from nsm import client
from nsm.client import Attested, Exchange
from nsm.errors import NsmError

DEFAULT_PLACES = 256
NEEDED_PCRS = (0, 1, 2)  # a document without the image's measurements proves nothing


class AttestationError(Exception):
    """Root of this module's errors."""


class QueueFull(AttestationError):
    """Every place is taken; nothing has been asked of the upstream yet."""


class AttestationFailed(AttestationError):
    """The NSM refused, broke or was too slow. The answer that was to be attested must not be passed on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    nonce: bytes | None
    user_data: bytes
    future: "Future[Attested]"


class Place:
    """A place in the queue, for at most one document.

    Given back when the NSM has done, or skipped, the work; on exit where none was asked for. A caller whose time is
    over leaves its place taken until then: what the NSM has still to do is what counts.
    """

    def __init__(self, attestor: "Attestor") -> None:
        self._attestor = attestor
        self._used = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._used:
            self._attestor.give_back()

    def attest(self, *, nonce: bytes | None, user_data: bytes, deadline: float) -> Attested:
        """Return a document that binds `nonce` and `user_data`. `deadline` is an instant on `time.monotonic()`.

        Raises:
            AttestationFailed: see there.
        """
        if self._used:
            raise ValueError("a place is good for one document")
        self._used = True
        return self._attestor.attest(nonce=nonce, user_data=user_data, deadline=deadline)


class Attestor:
    """Owns the NSM. `exchange` is called from one thread only. Close it when no call is under way."""

    def __init__(self, exchange: Exchange, *, places: int = DEFAULT_PLACES) -> None:
        self._exchange = exchange
        self._places = threading.BoundedSemaphore(places)
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="nsm", daemon=True)
        self._thread.start()

    def reserve(self) -> Place:
        """Take a place, to be used as a context manager.

        Raises:
            QueueFull: there is none.
        """
        if not self._places.acquire(blocking=False):
            raise QueueFull("no place left in the attestation queue")
        return Place(self)

    def give_back(self) -> None:
        """Give a place back. Called by `Place` only."""
        self._places.release()

    def attest(self, *, nonce: bytes | None, user_data: bytes, deadline: float) -> Attested:
        """See `Place.attest`, which is how to call this."""
        future: Future[Attested] = Future()
        self._jobs.put(_Job(nonce=nonce, user_data=user_data, future=future))
        try:
            return _measured(future.result(timeout=max(0.0, deadline - time.monotonic())))
        except FutureTimeout as exc:
            future.cancel()  # if it has not begun, the NSM is spared the work
            raise AttestationFailed("the NSM did not answer in time") from exc
        except NsmError as exc:
            raise AttestationFailed(f"{type(exc).__name__}: {exc}") from exc

    def close(self) -> None:
        """Finish what is queued, then end the thread."""
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                if job.future.set_running_or_notify_cancel():
                    self._answer(job)
            finally:
                self.give_back()

    def _answer(self, job: _Job) -> None:
        try:
            job.future.set_result(client.attest(self._exchange, nonce=job.nonce, user_data=job.user_data))
        except Exception as exc:  # noqa: BLE001  the edge of the thread: whoever waits must hear of it
            job.future.set_exception(exc)


def _measured(attested: Attested) -> Attested:
    missing = [index for index in NEEDED_PCRS if index not in attested.fields.pcrs]
    if missing:
        raise AttestationFailed(f"the NSM's document lacks PCR{missing[0]}")
    return attested
