"""The archive's database, on SQLite and on PostgreSQL: dense indexes, proofs, retention, and two writers at once."""

import multiprocessing
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import delete, event, select, update

from app.archive import silence, tree
from app.archive.engine import open_engine
from app.archive.storage import EXPIRED_AT_ONCE, Head, OutOfRange, Store, Stored, StoreFailed
from app.archive.tables import ENTRIES, HASHES, REPLIES
from app.config import ConfigError
from tests.archive_kit import NOW_MS, entries, entry_of, id_of, leaf_of, new_id, postgresql, reply, store, url
from tests.fake_enclave import wait_until
from tests.postgres_kit import Server
from tytle_verifier import log
from tytle_verifier.inclusion import Inclusion
from tytle_verifier.log import Consistency

__all__ = ["postgresql", "store", "url"]  # fixtures


def outside(head: Head) -> log.Head:
    """The head as the verifier takes it."""
    return log.Head(size=head.size, root=head.root, time=head.time)


def test_a_new_log_is_empty(store: Store) -> None:
    assert store.head() == Head(size=0, root=tree.EMPTY_ROOT, time=None)
    assert store.find(new_id()) is None
    assert store.prove(bytes(32)) is None
    assert store.consistency(0, 0) == ()


def test_a_reply_comes_back_byte_for_byte_with_who_asked(store: Store) -> None:
    for caller in ("alice", None):
        data = reply(body="Zürich \U0001f600 \x00")
        made = entry_of(data, caller)
        store.append([made], now_ms=NOW_MS)
        found = store.find(made.id)
        assert found is not None
        assert (found.reply, found.caller, found.leaf) == (data, caller, leaf_of(data))


def test_a_large_reply_fits(store: Store) -> None:
    made = entry_of(reply(body="x" * 16_000_000))
    store.append([made], now_ms=NOW_MS)
    found = store.find(made.id)
    assert found is not None
    assert found.reply == made.reply


def test_every_leaf_is_proved_at_every_size_to_the_verifier(store: Store) -> None:
    made, heads = entries(21), [store.head()]
    for group in (made[:1], made[1:3], made[3:11], made[11:12], made[12:]):
        store.append(group, now_ms=NOW_MS + len(heads))
        heads.append(store.head())
    assert [head.size for head in heads] == [0, 1, 3, 11, 12, 21]
    assert [head.time for head in heads[1:]] == [NOW_MS + at for at in range(1, 6)]
    for head in heads[1:]:
        for index, each in enumerate(made[: head.size]):
            proof = store.prove(each.leaf, size=head.size)
            assert proof is not None
            assert (proof.index, proof.root) == (index, head.root)
            shown = Inclusion(index=proof.index, size=proof.size, path=proof.path)
            log.check_inclusion(leaf_of(each.reply), shown, outside(head))
    for at, older in enumerate(heads):
        for newer in heads[at:]:
            shown_path = store.consistency(older.size, newer.size)
            grown = Consistency(older=older.size, newer=newer.size, path=shown_path)
            log.check_consistency(outside(older), outside(newer), grown)


def test_a_proof_that_the_log_cannot_have_is_refused(store: Store) -> None:
    made = entries(5)
    store.append(made, now_ms=NOW_MS)
    for size in (0, 2, 6):
        with pytest.raises(OutOfRange):
            store.prove(made[2].leaf, size=size)
    for older, newer in ((0, 6), (4, 3), (6, 6), (-1, 3)):
        with pytest.raises(OutOfRange):
            store.consistency(older, newer)


def test_what_is_stored_already_is_not_stored_again(store: Store) -> None:
    made = entries(3)
    store.append(made[:2], now_ms=NOW_MS)
    again = store.append([made[1], made[2], made[2]], now_ms=NOW_MS)
    assert (again.added, again.conflicts, store.head().size) == (1, 0, 3)


def test_other_bytes_under_a_taken_id_are_a_conflict_and_change_nothing(store: Store) -> None:
    first = entry_of(reply(new_id(), body="first"))
    store.append([first], now_ms=NOW_MS)
    other = entry_of(reply(first.id, body="other"))
    appended = store.append([other], now_ms=NOW_MS)
    assert (appended.added, appended.conflicts) == (0, 1)
    found = store.find(first.id)
    assert found is not None
    assert (found.reply, store.head().size) == (first.reply, 1)


def test_retention_removes_replies_and_no_leaf(store: Store) -> None:
    old, fresh = entries(2), entries(1)
    store.append(old, now_ms=NOW_MS)
    store.append(fresh, now_ms=NOW_MS + 1000)
    before = store.head()
    assert [store.expire(before_ms=NOW_MS + 1) for _ in range(2)] == [2, 0]
    assert store.head() == before
    for made, kept in ((old[0], None), (old[1], None), (fresh[0], fresh[0].reply)):
        found = store.find(made.id)
        assert found is not None
        assert (found.reply, found.digest) == (kept, made.digest)
        assert store.prove(made.leaf) is not None


def test_retention_removes_a_limited_number_at_once(store: Store) -> None:
    store.append(entries(EXPIRED_AT_ONCE + 1), now_ms=NOW_MS)
    assert [store.expire(before_ms=NOW_MS + 1) for _ in range(3)] == [EXPIRED_AT_ONCE, 1, 0]


def test_removed_bytes_are_overwritten_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "archive.db"
    mine = Store(open_engine(f"sqlite:///{path}"))
    mine.append([entry_of(reply(body="a very private body"))], now_ms=NOW_MS)
    mine.close()  # the last connection writes the -wal file back
    assert b"a very private body" in path.read_bytes()
    mine.expire(before_ms=NOW_MS + 1)
    mine.close()
    assert b"a very private body" not in path.read_bytes()


def test_proofs_read_a_logarithmic_number_of_hashes_in_one_statement(store: Store) -> None:
    made = [each for _ in range(8) for each in entries(250)]
    for at in range(0, 2000, 250):
        store.append(made[at : at + 250], now_ms=NOW_MS)
    statements: list[int] = []

    def count(_connection: object, _cursor: object, statement: str, parameters: object, *_more: object) -> None:
        if "FROM archive_hashes" in statement:
            statements.append(len(list(parameters)))  # type: ignore[call-overload]

    event.listen(store._engine, "before_cursor_execute", count)
    store.prove(made[1234].leaf)
    store.append(entries(1), now_ms=NOW_MS)
    event.remove(store._engine, "before_cursor_execute", count)
    assert len(statements) == 3  # the root, the path; the append's peaks
    assert max(statements) <= 2 * 11  # 2,000 leaves are 11 levels


def append_some(url: str, seed: int, counts: list[int]) -> list[bytes]:
    """Append groups as another process does."""
    mine = Store(open_engine(url))
    made = []
    for count in counts:
        group = entries(count)
        assert mine.append(group, now_ms=NOW_MS + seed).added == count
        made += [each.leaf for each in group]
    mine.close()
    return made


def test_processes_and_threads_that_append_at_once_leave_no_gap(url: str) -> None:
    shuffled = random.Random(3)  # noqa: S311  the same groups in every run
    plans = [[shuffled.randrange(1, 9) for _ in range(15)] for _ in range(5)]
    context = multiprocessing.get_context("spawn")
    with context.Pool(3) as processes, ThreadPoolExecutor(2) as threads:
        far = [processes.apply_async(append_some, (url, seed, plan)) for seed, plan in enumerate(plans[:3])]
        near = [threads.submit(append_some, url, seed, plan) for seed, plan in enumerate(plans[3:], 3)]
        leaves = {leaf for one in far for leaf in one.get(60)} | {leaf for one in near for leaf in one.result()}
    mine = Store(open_engine(url))
    with mine._engine.begin() as connection:
        rows = connection.execute(select(ENTRIES.c.index, ENTRIES.c.leaf).order_by(ENTRIES.c.index)).all()
        stored = {row.place: row.hash for row in connection.execute(select(HASHES))}
    assert [row[0] for row in rows] == list(range(sum(map(sum, plans))))
    assert {row[1] for row in rows} == leaves
    assert stored == dict(tree.grow(0, [], [row[1] for row in rows]))
    mine.close()


# --- what an operator could try, and what goes wrong


def test_a_dropped_leaf_is_noticed_by_whoever_holds_its_reply_and_an_older_head(store: Store) -> None:
    """The log is made anew without one reply, as an operator would who wants it gone."""
    made = entries(6)
    store.append(made, now_ms=NOW_MS)
    held = store.head()
    with store._write() as connection:
        for table in (ENTRIES, HASHES, REPLIES):
            connection.execute(delete(table))
    store.append([*made[:2], *made[3:], *entries(4)], now_ms=NOW_MS)
    now = store.head()
    assert store.prove(made[2].leaf) is None
    shown = Consistency(older=6, newer=now.size, path=store.consistency(6, now.size))
    with pytest.raises(log.LogError, match="rewritten"):
        log.check_consistency(outside(held), outside(now), shown)


def test_a_changed_hash_breaks_proofs_and_a_missing_one_is_an_error(store: Store) -> None:
    made = entries(6)
    store.append(made, now_ms=NOW_MS)
    head = store.head()
    with store._write() as connection:
        connection.execute(update(HASHES).where(HASHES.c.place == tree.place(1, 1)).values(hash=bytes(32)))
    proof = store.prove(made[0].leaf)
    assert proof is not None
    with pytest.raises(log.LogError):
        log.check_inclusion(made[0].leaf, Inclusion(index=0, size=6, path=proof.path), outside(head))
    with store._write() as connection:
        connection.execute(delete(HASHES).where(HASHES.c.place == tree.place(1, 1)))
    with pytest.raises(StoreFailed, match="KeyError"):
        store.prove(made[0].leaf)


def test_an_error_holds_no_value_of_a_reply(tmp_path: Path) -> None:
    mine = Store(open_engine(f"sqlite:///{tmp_path / 'archive.db'}"))
    mine.head()
    with mine._write() as connection:
        connection.exec_driver_sql("DROP TABLE archive_replies")
    with pytest.raises(StoreFailed) as caught:
        mine.append([entry_of(reply(body="a very private body"))], now_ms=NOW_MS)
    assert str(caught.value) == "OperationalError"
    assert "private" not in str(caught.value.__cause__)
    mine.close()


def test_a_server_that_is_gone_is_an_error_and_one_that_came_back_is_used(postgresql: Server) -> None:
    postgresql.empty()
    mine = Store(open_engine(postgresql.url))
    first = entries(2)
    mine.append(first, now_ms=NOW_MS)
    postgresql.stop()
    with pytest.raises(StoreFailed):
        mine.head()
    with pytest.raises(StoreFailed):
        mine.append(entries(1), now_ms=NOW_MS)
    postgresql.start()
    assert mine.append(first, now_ms=NOW_MS).added == 0
    assert mine.head().size == 2
    mine.close()


# --- the URL


@pytest.mark.parametrize(
    "address",
    [
        "sqlite://", "sqlite:///:memory:", "sqlite:///a.db?mode=ro", "mysql://h/d", "postgresql://h/d", "nonsense",
        "postgresql+asyncpg://h/d", "sqlite+aiosqlite:////tmp/x",
    ],
)  # fmt: skip
def test_another_kind_of_url_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="ARCHIVE_URL"):
        open_engine(address)


def test_the_files_of_sqlite_are_the_users_alone(tmp_path: Path) -> None:
    mine = Store(open_engine(f"sqlite:///{tmp_path / 'archive.db'}"))
    mine.append(entries(1), now_ms=NOW_MS)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == {"archive.db": 0o600, "archive.db-wal": 0o600, "archive.db-shm": 0o600}
    mine.close()


def test_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "archive.db").touch(mode=0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        open_engine(f"sqlite:///{tmp_path / 'archive.db'}")


def test_a_file_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be written"):
        open_engine(f"sqlite:///{tmp_path / 'absent' / 'archive.db'}")


# --- a database that stands still


def test_a_postgresql_server_that_says_nothing_holds_only_who_asked_before_that_was_known(
    postgresql: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silence, "SILENT_SECONDS", 0.5)
    postgresql.empty()
    store, data = Store(open_engine(postgresql.url)), reply()
    store.append([entry_of(data)], now_ms=NOW_MS)
    found: list[Stored | None] = []
    held = threading.Thread(target=lambda: found.append(store.find(id_of(data))))
    with postgresql.frozen():
        held.start()
        wait_until(lambda: store.silent)
        for question in (lambda: store.find(id_of(data)), store.head, lambda: store.consistency(0, 1)):
            with pytest.raises(StoreFailed):
                question()
        assert found == []
    held.join(20)
    assert [each.reply for each in found if each is not None] == [data]
    assert not store.silent
    assert store.head().size == 1
    store.close()


def test_silence_is_one_that_nobody_broke(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(silence, "time", SimpleNamespace(monotonic=lambda: now[0]))
    heard = silence.Silence()
    assert not heard.lasts
    with heard.asking():
        now[0] += silence.SILENT_SECONDS
        assert not heard.lasts
        now[0] += 1
        assert heard.lasts
        with pytest.raises(ValueError, match="no place"), heard.asking():
            raise ValueError("no place among the connections")
        assert heard.lasts
        with heard.asking():
            assert heard.lasts
        assert not heard.lasts
        now[0] += silence.SILENT_SECONDS + 1
        assert heard.lasts
    assert not heard.lasts
