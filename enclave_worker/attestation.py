"""The NSM's owner: one thread, one bounded queue, and group commit for whoever asked for no document of its own.

Linux serialises requests to /dev/nsm with one mutex, so a second thread could only wait in the kernel instead of here,
where waiting is counted. A place in the queue is taken *before* the upstream is asked: an answer that could not be
attested any more would have been fetched for nothing, or twice.

Leaves that wait while the NSM is busy share the next document: one tree, one signature, a path for each. So their
number does not lengthen the wait: at most what the NSM does now, the documents that waited before, and one of theirs.
"""

import queue
import threading
from collections import deque
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeVar

from enclave_worker import statement, tree
from enclave_worker.boot import MAX_CLOCK_DIFFERENCE_MS
from enclave_worker.nsm_record import NsmRecord
from enclave_worker.places import Places
from enclave_worker.promise import Promise
from enclave_worker.shown import show
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
class Committed:
    """A document whose `user_data` is the root of a tree of `size` leaves, and the way there from leaf `index`.

    `shown` is the document's JSON.
    """

    attested: Attested
    shown: bytes
    index: int
    size: int
    path: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    nonce: bytes | None
    user_data: bytes
    public_key: bytes | None
    promise: Promise[Attested]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Leaf:
    leaf: bytes
    promise: Promise[Committed]


_T = TypeVar("_T")


class Place:
    """A place in the queue, for at most one document, or for one leaf of a shared one.

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

    def attest(
        self, *, nonce: bytes | None, user_data: bytes, public_key: bytes | None = None, deadline: float
    ) -> Attested:
        """Return a document that binds these. `deadline` is an instant on `time.monotonic()`.

        Raises:
            AttestationFailed: see there.
        """
        self._use()
        return self._attestor.attest(nonce=nonce, user_data=user_data, public_key=public_key, deadline=deadline)

    def commit(self, leaf: bytes, *, deadline: float) -> Committed:
        """Return a document that is shared with whoever waits too, and the way from this leaf hash to its root.

        Raises:
            AttestationFailed: see there.
        """
        self._use()
        return self._attestor.commit(leaf, deadline=deadline)

    def _use(self) -> None:
        if self._used:
            raise ValueError("a place is good for one document")
        self._used = True


class Attestor:
    """Owns the NSM. `exchange` is called from one thread only. Close it when no call is under way.

    `record` says when the NSM last gave a document.
    """

    def __init__(self, exchange: Exchange, *, places: int = DEFAULT_PLACES) -> None:
        self.record = NsmRecord()
        self._exchange = exchange
        self._places = Places(places)
        self._jobs: queue.SimpleQueue[_Job | _Leaf | None] = queue.SimpleQueue()
        self._aside: deque[_Job | None] = deque()  # the NSM thread's own: taken from the queue, not done yet
        self._thread = threading.Thread(target=self._run, name="nsm", daemon=True)
        self._thread.start()

    def reserve(self) -> Place:
        """Take a place, to be used as a context manager.

        Raises:
            QueueFull: there is none.
        """
        if not self._places.take():
            raise QueueFull("no place left in the attestation queue")
        return Place(self)

    @property
    def waiting(self) -> int:
        """How many documents and leaves the NSM thread has not begun with."""
        return self._jobs.qsize() + len(self._aside)

    def give_back(self) -> None:
        """Give a place back. Called by `Place` only."""
        self._places.give_back()

    def attest(
        self, *, nonce: bytes | None, user_data: bytes, public_key: bytes | None = None, deadline: float
    ) -> Attested:
        """See `Place.attest`, which is how to call this."""
        promise: Promise[Attested] = Promise()
        self._jobs.put(_Job(nonce=nonce, user_data=user_data, public_key=public_key, promise=promise))
        return _measured(_result(promise, deadline))

    def commit(self, leaf: bytes, *, deadline: float) -> Committed:
        """See `Place.commit`, which is how to call this."""
        promise: Promise[Committed] = Promise()
        self._jobs.put(_Leaf(leaf=leaf, promise=promise))
        return _result(promise, deadline)

    def close(self) -> None:
        """Finish what is queued, then end the thread."""
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (job := self._aside.popleft() if self._aside else self._jobs.get()) is not None:
            if isinstance(job, _Leaf):
                self._commit_all([job, *self._waiting()])
            else:
                self._answer(job)

    def _waiting(self) -> list[_Leaf]:
        """Take every leaf out of the queue; what else is there is put aside, and done next."""
        leaves = []
        while not self._jobs.empty():
            job = self._jobs.get()
            if isinstance(job, _Leaf):
                leaves.append(job)
            else:
                self._aside.append(job)
        return leaves

    def _answer(self, job: _Job) -> None:
        try:
            if job.promise.begin():
                asked = client.attest(
                    self._exchange, nonce=job.nonce, user_data=job.user_data, public_key=job.public_key
                )
                self.record.succeeded()
                job.promise.give(asked)
        except Exception as exc:  # noqa: BLE001  the edge of the thread: whoever waits must hear of it
            self.record.failed()
            job.promise.fail(exc)
        finally:
            self.give_back()

    def _commit_all(self, jobs: list[_Leaf]) -> None:
        wanted = [job for job in jobs if job.promise.begin()]
        try:
            for job, committed in zip(wanted, self._committed([job.leaf for job in wanted]), strict=True):
                job.promise.give(committed)
        except Exception as exc:  # noqa: BLE001  the edge of the thread: whoever waits must hear of it
            self.record.failed()
            for job in wanted:
                job.promise.fail(exc)
        finally:
            for _ in jobs:
                self.give_back()

    def _committed(self, leaves: list[bytes]) -> list[Committed]:
        if not leaves:
            return []
        root, paths = tree.root_and_paths(leaves)
        size = len(leaves)
        attested = client.attest(self._exchange, user_data=statement.user_data(root, size=size))
        shown = show(_measured(attested))
        self.record.succeeded()
        return [Committed(attested=attested, shown=shown, index=i, size=size, path=p) for i, p in enumerate(paths)]


def _result(promise: Promise[_T], deadline: float) -> _T:
    try:
        return promise.wait(deadline)
    except TimeoutError as exc:  # if it has not begun, the NSM is spared the work
        raise AttestationFailed("the NSM did not answer in time") from exc
    except NsmError as exc:
        raise AttestationFailed(f"{type(exc).__name__}: {exc}") from exc


def _measured(attested: Attested) -> Attested:
    missing = [index for index in NEEDED_PCRS if index not in attested.fields.pcrs]
    if missing:
        raise AttestationFailed(f"the NSM's document lacks PCR{missing[0]}")
    return attested


def check_clock(now_ms: int, attested: Attested) -> None:
    """Compare the enclave's clock with a document made a moment ago: a wrong time is worth nothing to a verifier.

    Raises:
        AttestationFailed: they differ.
    """
    drift = now_ms - attested.fields.timestamp_ms
    if abs(drift) > MAX_CLOCK_DIFFERENCE_MS:
        raise AttestationFailed(f"the enclave's clock differs by {drift} ms from the NSM's")
