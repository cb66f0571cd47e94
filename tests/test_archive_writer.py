"""What happens between an answer and the database: groups, a queue that is full, a database that fails, the end."""

import io
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.archive import archive as module
from app.archive import entry, silence
from app.archive.archive import DAY_MS
from app.archive.engine import open_engine
from app.archive.entry import Entry, NotArchivable
from app.archive.storage import Appended, Store, StoreFailed
from app.archive.waiting import BYTES_EACH, Item, Waiting
from app.errors import ApiError
from tests.archive_kit import NOW_MS, archive, entries, id_of, leaf_of, new_id, postgresql, reply, store, url
from tests.fake_enclave import wait_until
from tests.postgres_kit import Server

__all__ = ["postgresql", "store", "url"]  # fixtures


class Faulty(Store):
    """A real store whose appends wait for `go_on`, and fail as long as `fails`."""

    def __init__(self, folder: Path) -> None:
        super().__init__(open_engine(f"sqlite:///{folder / 'archive.db'}"))
        self.go_on = threading.Event()
        self.go_on.set()
        self.fails = False
        self.groups: list[int] = []

    def append(self, entries: Sequence[Entry], *, now_ms: int) -> Appended:
        self.go_on.wait(20)
        if self.fails:
            raise StoreFailed("OperationalError")
        self.groups.append(len(entries))
        return super().append(entries, now_ms=now_ms)

    def expire(self, *, before_ms: int) -> int:
        if self.fails:
            raise StoreFailed("OperationalError")
        return super().expire(before_ms=before_ms)


@pytest.fixture
def faulty(tmp_path: Path) -> Iterator[Faulty]:
    made = Faulty(tmp_path)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", (0.01,))
    monkeypatch.setattr(module, "PROBE_SECONDS", 0.01)
    monkeypatch.setattr(module, "FLUSH_SECONDS", 0.5)


def events(log: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.getvalue().splitlines()]


# --- what is kept


@pytest.mark.parametrize(
    "data",
    [
        b'{"sealed":"AAAA"}',
        b'{"sealed":"AAAA","attestation":{"attestationId":"enc-00000000-0000-4000-8000-000000000001"}}',
        b'{"success":false,"status":403,"code":"path.unknown","error":"no"}',
        b'{"success":true,"attestation":null}',
        b"not JSON", b"[]", b"null", b"\xff", b"[" * 100_000,
    ],
)  # fmt: skip
def test_what_is_sealed_or_not_attested_is_not_stored(data: bytes, store: Store) -> None:
    with archive(store) as kept:
        kept.keep(data, caller=None, request_id="r")
    assert store.head().size == 0
    assert kept.condition().lost == 0


@pytest.mark.parametrize("attestation", ['"x"', "{}", '{"attestationId":7}', '{"attestationId":"enc-1"}', "[]", "true"])
def test_an_attestation_without_a_usable_id_is_counted_and_logged(attestation: str, tmp_path: Path) -> None:
    log = io.StringIO()
    with archive(Faulty(tmp_path), log=log) as kept:
        kept.keep(b'{"attestation":%b}' % attestation.encode(), caller=None, request_id="r7")
    assert kept.condition().lost == 1
    assert [(line["event"], line["requestId"]) for line in events(log)] == [("archive lost", "r7")]


NESTED = st.recursive(
    st.none() | st.text() | st.integers(),
    lambda inner: st.dictionaries(st.just("attestationId") | st.text(), inner),
    max_leaves=4,
)


@given(st.binary(max_size=100))
def test_any_bytes_are_an_entry_or_none(data: bytes) -> None:
    assert entry.read(data, None) is None


@given(st.dictionaries(st.sampled_from(["attestation", "sealed", "success"]), NESTED))
def test_any_json_is_an_entry_or_none_or_refused(value: dict[str, Any]) -> None:
    try:
        assert entry.read(json.dumps(value).encode(), None) is None
    except NotArchivable:
        assert "sealed" not in value


def test_a_kept_reply_is_stored_under_its_id_and_its_leaf_is_the_verifiers(store: Store) -> None:
    data = reply()
    with archive(store, now_ms=lambda: NOW_MS) as kept:
        kept.keep(data, caller=None, request_id="r")
    found = store.find(id_of(data))
    assert found is not None
    assert (found.reply, found.leaf, store.head().time) == (data, leaf_of(data), NOW_MS)
    assert kept.condition() == module.Condition(saving=True, saved=1, lost=0, waiting_bytes=0)


# --- groups, and a queue that is full


def test_what_comes_while_the_database_is_busy_is_saved_as_one_group(faulty: Faulty) -> None:
    faulty.go_on.clear()
    with archive(faulty) as kept:
        for _ in range(50):
            kept.keep(reply(), caller=None, request_id="r")
        faulty.go_on.set()
    assert (sum(faulty.groups), len(faulty.groups) <= 2) == (50, True)
    assert faulty.head().size == 50


def test_a_full_queue_loses_what_comes_and_says_so_and_keeps_the_rest(faulty: Faulty) -> None:
    log, faulty_log = io.StringIO(), [reply() for _ in range(5)]
    faulty.go_on.clear()
    room = 3 * (len(faulty_log[0]) + BYTES_EACH)
    with archive(faulty, log=log, max_bytes=room) as kept:
        for number, data in enumerate(faulty_log):
            kept.keep(data, caller=None, request_id=f"r{number}")
        assert kept.condition().lost == 2
        faulty.go_on.set()
        wait_until(lambda: kept.condition().waiting_bytes == 0)
        kept.keep(reply(), caller=None, request_id="r5")
    assert [line["requestId"] for line in events(log) if line["event"] == "archive lost"] == ["r3", "r4"]
    assert faulty.head().size == 4


def test_a_queue_hands_out_in_order_within_its_bounds_and_gives_room_back() -> None:
    waiting = Waiting(max_bytes=4 * BYTES_EACH + 400)
    items = [Item(bytes([number]) * 100, None, str(number)) for number in range(5)]
    assert [waiting.put(item) for item in items] == [True, True, True, True, False]
    first = waiting.take(most=3, most_bytes=1000, wait=0)
    assert first == items[:3]
    assert not waiting.put(items[4])  # what is being saved still counts
    waiting.release(first)
    assert waiting.put(items[4])
    assert waiting.take(most=3, most_bytes=150, wait=0) == [items[3]]
    assert waiting.take(most=3, most_bytes=1, wait=0) == [items[4]]
    waiting.close()
    assert not waiting.put(items[0])
    assert waiting.take(most=1, most_bytes=1, wait=60) == []


# --- a database that fails


def test_a_database_that_fails_is_seen_and_what_waited_is_saved_when_it_is_back(faulty: Faulty) -> None:
    log, data = io.StringIO(), [reply() for _ in range(3)]
    faulty.fails = True
    with archive(faulty, log=log) as kept:
        for each in data:
            kept.keep(each, caller=None, request_id="r")
        wait_until(lambda: not kept.condition().saving)
        assert kept.condition().lost == 0
        faulty.fails = False
        wait_until(lambda: kept.condition().saved == 3)
        assert kept.condition().saving
    names = [line["event"] for line in events(log)]
    assert set(names) == {"archive failed", "archive recovered"}
    assert "archive recovered" in names[-2:]
    assert {line["error"] for line in events(log) if "error" in line} == {"OperationalError"}


def test_a_postgresql_server_that_is_killed_and_restarted_misses_nothing(postgresql: Server) -> None:
    postgresql.empty()
    store, data = Store(open_engine(postgresql.url)), [reply() for _ in range(6)]
    with archive(store) as kept:
        kept.keep(data[0], caller=None, request_id="r")
        wait_until(lambda: kept.condition().saved == 1)
        postgresql.stop()
        for each in data[1:]:
            kept.keep(each, caller=None, request_id="r")
        wait_until(lambda: not kept.condition().saving, seconds=20)
        postgresql.start()
        wait_until(lambda: kept.condition().saved == 6, seconds=20)
    assert store.head().size == 6
    assert all(store.find(id_of(each)) is not None for each in data)
    store.close()


def test_a_postgresql_server_that_says_nothing_is_not_saving_and_holds_up_no_end(
    postgresql: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silence, "SILENT_SECONDS", 1.0)
    postgresql.empty()
    log, store = io.StringIO(), Store(open_engine(postgresql.url))
    with archive(store, log=log, required=True) as kept:
        kept.keep(reply(), caller=None, request_id="r0")
        wait_until(lambda: kept.condition().saved == 1)
        with postgresql.frozen():
            kept.keep(reply(), caller=None, request_id="r1")
            wait_until(lambda: kept.condition().waiting_bytes > 0 and not kept.condition().saving)
            kept.keep(reply(), caller=None, request_id="r2")
            kept.keep(b'{"sealed":"AAAA"}', caller=None, request_id="r3")
            with pytest.raises(ApiError):
                kept.admit()
            kept.close()
            assert kept.condition().lost == 2
            assert [line["requestId"] for line in events(log) if line["event"] == "archive lost"] == ["r1", "r2"]
        wait_until(lambda: not [each for each in threading.enumerate() if each.name == "archive"])
    assert kept.condition().lost == 2


def test_calls_are_refused_while_nothing_can_be_saved_only_if_the_operator_demands_it(faulty: Faulty) -> None:
    faulty.fails = True
    with archive(faulty) as kept:
        wait_until(lambda: not kept.condition().saving)
        kept.admit()
    with archive(faulty, required=True) as kept:
        wait_until(lambda: not kept.condition().saving)  # found out without any call
        with pytest.raises(ApiError) as refused:
            kept.admit()
        assert (refused.value.status, refused.value.code) == (503, "archive_unavailable")
        faulty.fails = False
        wait_until(lambda: kept.condition().saving)
        kept.admit()


def test_an_error_that_nobody_foresaw_loses_its_group_loudly_and_the_next_is_saved(faulty: Faulty) -> None:
    log = io.StringIO()
    with archive(faulty, log=log) as kept:
        with broken(faulty):
            kept.keep(reply(), caller=None, request_id="r1")
            wait_until(lambda: kept.condition().lost == 1)
        kept.keep(reply(), caller=None, request_id="r2")
        wait_until(lambda: kept.condition().saved == 1)
    assert [(line["requestId"], line["why"]) for line in events(log)] == [("r1", "ZeroDivisionError")]


@contextmanager
def broken(faulty: Faulty) -> Iterator[None]:
    """Let appends raise what no caller of theirs expects."""

    def append(*_: object, **__: object) -> Appended:
        raise ZeroDivisionError

    right, faulty.append = faulty.append, append  # type: ignore[method-assign]
    try:
        yield
    finally:
        faulty.append = right  # type: ignore[method-assign]


# --- the end


def test_the_end_saves_what_waits_and_what_comes_later_is_lost_loudly(faulty: Faulty) -> None:
    log = io.StringIO()
    faulty.go_on.clear()
    with archive(faulty, log=log) as kept:
        for _ in range(700):
            kept.keep(reply(), caller=None, request_id="r")
        faulty.go_on.set()
    assert faulty.head().size == 700
    kept.keep(reply(), caller=None, request_id="late")
    kept.close()
    assert kept.condition().lost == 1
    assert [line["requestId"] for line in events(log)] == ["late"]


def test_the_end_does_not_wait_for_ever_for_a_database_that_fails(faulty: Faulty) -> None:
    log, names = io.StringIO(), [f"r{number}" for number in range(2 * module.GROUP)]
    faulty.fails = True
    with archive(faulty, log=log) as kept:
        for name in names:
            kept.keep(reply(), caller=None, request_id=name)
    assert kept.condition().lost == len(names)
    lost = [line for line in events(log) if line["event"] == "archive lost"]
    assert [line["requestId"] for line in lost] == names
    first, last = (events(log).index(line) for line in (lost[0], lost[-1]))
    assert last - first == len(names) - 1  # once time is up no other group is tried


# --- retention


def test_replies_are_removed_after_their_days_and_not_before(faulty: Faulty) -> None:
    made, log, now = entries(1200), io.StringIO(), [NOW_MS]
    Store.append(faulty, made, now_ms=NOW_MS)
    now[0] = NOW_MS + 30 * DAY_MS
    with archive(faulty, log=log, days=30, now_ms=lambda: now[0]) as kept:
        kept.keep(reply(), caller=None, request_id="r")
        wait_until(lambda: kept.condition().saved == 1)  # which comes after the first look for what is too old
    assert events(log) == []
    now[0] += 1
    with archive(faulty, log=log, days=30, now_ms=lambda: now[0]):
        wait_until(lambda: sum(line["replies"] for line in events(log)) == 1200)
    assert faulty.head().size == 1201
    found = faulty.find(made[1199].id)
    assert found is not None
    assert found.reply is None


def test_an_id_that_is_taken_by_other_bytes_is_counted_and_logged(faulty: Faulty) -> None:
    log, attestation_id = io.StringIO(), new_id()
    with archive(faulty, log=log) as kept:
        kept.keep(reply(attestation_id, body="a"), caller=None, request_id="r")
        kept.keep(reply(attestation_id, body="b"), caller=None, request_id="r")
    assert (kept.condition().saved, kept.condition().lost) == (1, 1)
    assert [line["why"] for line in events(log)] == ["its id is taken"]
