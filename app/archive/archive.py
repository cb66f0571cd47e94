"""Saves replies in groups, in a thread: an answer never waits for the database.

The price: what waits when a process is killed (SIGKILL, power) is lost. An orderly end (SIGTERM, a reload) saves all
of it. While the database is away replies wait, up to waiting.MAX_WAITING_BYTES; what comes then is lost, counted and
logged by its requestId. Its receiver can tell: the log has no proof for it.
"""

import atexit
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from flask import Blueprint

from app.archive import entry, routes
from app.archive.access import Reader
from app.archive.entry import Entry, NotArchivable
from app.archive.storage import Store, StoreFailed
from app.archive.waiting import Item, Waiting
from app.errors import ApiError
from app.log import Log

GATHER_SECONDS = 0.1  # one transaction for all that come meanwhile
GROUP = 256  # replies in one transaction
GROUP_BYTES = 8 * 1024 * 1024
PROBE_SECONDS = 5.0  # how soon a database that failed is tried again while nothing waits
EXPIRE_SECONDS = 3600.0
RETRY_SECONDS = (0.2, 1.0, 5.0, 15.0)  # the last again and again
FLUSH_SECONDS = 20.0  # at the end of the process, below any service manager's patience (90 s in systemd)
DAY_MS = 24 * 3600 * 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """The archive's numbers since this process began: `saved` and `lost` count replies, `waiting_bytes` is now."""

    saving: bool
    saved: int
    lost: int
    waiting_bytes: int


class Archive:
    """Keeps what is handed to it. `now_ms` is the clock in ms since 1970; `required`: see `admit`."""

    def __init__(
        self,
        store: Store,
        log: Log,
        *,
        days: int,
        required: bool,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        waiting: Waiting | None = None,
    ) -> None:
        self.store = store
        self._log = log
        self._days = days
        self._required = required
        self._now_ms = now_ms
        self._waiting = waiting or Waiting()
        self._ending = threading.Event()
        self._give_up_at = float("inf")
        self._worked_last = True
        self._group: list[Item] = []  # what is being saved
        self._saved = 0
        self._lost = 0
        self._lost_lock = threading.Lock()
        self._expire_at = 0.0
        self._thread = threading.Thread(target=self._run, name="archive", daemon=True)  # `close` is what waits for it
        self._thread.start()
        atexit.register(self.close)  # runs when every thread of gunicorn's that answers has ended

    @property
    def saving(self) -> bool:
        """Whether the database did what it was asked last, and does not keep us waiting."""
        return self._worked_last and not self.store.silent

    def condition(self) -> Condition:
        """Return the numbers for a health check or metrics."""
        return Condition(saving=self.saving, saved=self._saved, lost=self._lost, waiting_bytes=self._waiting.bytes)

    def routes(self) -> Blueprint:
        """Return what the archive answers over HTTP."""
        return routes.blueprint(self.store)

    def admit(self) -> None:
        """Refuse a call before anything is fetched, if the operator demands an archive and nothing can be saved now.

        Raises:
            ApiError: 503.
        """
        if self._required and not self.saving:
            raise ApiError(503, "archive_unavailable", "Answers cannot be archived at present", retry_after=5)

    def keep(self, reply: bytes, *, caller: Reader | None, request_id: str) -> None:
        """Take a reply that is being handed out. Costs microseconds, and cannot fail the request."""
        if not self._waiting.put(Item(reply, None if caller is None else caller.name, request_id)):
            self._lose("no room", request_id)

    def close(self) -> None:
        """Save what waits, for at most FLUSH_SECONDS, and end the thread."""
        atexit.unregister(self.close)
        self._give_up_at = time.monotonic() + FLUSH_SECONDS
        self._ending.set()
        self._waiting.close()
        self._thread.join(FLUSH_SECONDS + 1.0)
        if self._thread.is_alive():
            self._lose_all()
        else:
            self.store.close()

    def _lose_all(self) -> None:
        """Give up what the thread holds, which waits for the database, and what waits for the thread."""
        held, self._group = self._group, []
        while more := self._waiting.take(most=GROUP, most_bytes=GROUP_BYTES, wait=0.0):
            held += [item for item in more if self._entry(item) is not None]
        for item in held:
            self._lose("the database did not answer until the end", item.request_id)

    def _run(self) -> None:
        while True:
            self._expire_when_due()
            group = self._waiting.take(most=GROUP, most_bytes=GROUP_BYTES, wait=PROBE_SECONDS)
            if not group and self._ending.is_set():
                return
            if group:
                self._group = group
                self._save_and_release(group)
                self._ending.wait(GATHER_SECONDS)

    def _save_and_release(self, group: list[Item]) -> None:
        try:
            self._save(group)
        except Exception as exc:  # noqa: BLE001  the edge of this thread: it must live, and lose nothing in silence
            for item in self._group:
                self._lose(type(exc).__name__, item.request_id)
        finally:
            self._waiting.release(group)

    def _save(self, group: list[Item]) -> None:
        """Try until it is done; at the end of the process, until time is up."""
        made = [(item, found) for item in group if (found := self._entry(item)) is not None]
        entries = [found for _, found in made]
        self._group = [item for item, _ in made]
        attempt = 0
        while entries:
            if not self._worked_last and time.monotonic() > self._give_up_at:
                for item in self._group:
                    self._lose("the database failed until the end", item.request_id)
                return
            if self._append(entries):
                return
            self._pause(RETRY_SECONDS[min(attempt, len(RETRY_SECONDS) - 1)])
            attempt += 1

    def _append(self, entries: list[Entry]) -> bool:
        try:
            appended = self.store.append(entries, now_ms=self._now_ms())
        except StoreFailed as exc:
            self._failed(exc)
            return False
        self._worked()
        self._saved += appended.added
        if appended.conflicts:
            self._lose("its id is taken", None, count=appended.conflicts)
        return True

    def _failed(self, error: StoreFailed) -> None:
        self._worked_last = False
        self._log.event("archive failed", error=str(error), waitingBytes=self._waiting.bytes)

    def _worked(self) -> None:
        if not self._worked_last:
            self._log.event("archive recovered")
        self._worked_last = True

    def _entry(self, item: Item) -> Entry | None:
        try:
            return entry.read(item.reply, item.caller)
        except NotArchivable as exc:
            self._lose(str(exc), item.request_id)
            return None

    def _pause(self, seconds: float) -> None:
        """Wait; once the process is ending, only a little."""
        if self._ending.is_set():
            time.sleep(min(seconds, RETRY_SECONDS[0]))
        else:
            self._ending.wait(seconds)

    def _lose(self, why: str, request_id: str | None, *, count: int = 1) -> None:
        with self._lost_lock:
            self._lost += count
        self._log.event("archive lost", requestId=request_id, why=why, count=count)

    def _expire_when_due(self) -> None:
        """Remove some of the replies that are too old: at the start, hourly, and while any are left.

        It also finds out whether the database is there, when nobody asks for anything.
        """
        if self._ending.is_set() or (time.monotonic() < self._expire_at and self.saving):
            return
        try:
            removed = self.store.expire(before_ms=self._now_ms() - self._days * DAY_MS)
        except StoreFailed as exc:
            self._failed(exc)
            return
        self._worked()
        if removed:
            self._log.event("archive expired", replies=removed)
        else:
            self._expire_at = time.monotonic() + EXPIRE_SECONDS
