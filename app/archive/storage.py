"""The archive's database, spoken to in SQLAlchemy Core. Safe to use from many threads and processes at once."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, RowMapping, delete, insert, select
from sqlalchemy.exc import SQLAlchemyError

from app.archive import tree
from app.archive.engine import lock_for_writing
from app.archive.entry import Entry
from app.archive.silence import Silence
from app.archive.tables import ENTRIES, HASHES, METADATA, REPLIES

EXPIRED_AT_ONCE = 500  # replies; a short transaction keeps nobody waiting


class StoreFailed(Exception):
    """The database did not do what it was asked to. The message is the kind of error, never a value."""


class OutOfRange(Exception):
    """A proof was asked for that the log cannot have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Appended:
    """How a group of entries was taken: `conflicts` have an id under which other bytes are stored already."""

    added: int
    conflicts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One leaf and what is known of it. `reply` is None once retention has removed it."""

    index: int
    id: str
    digest: bytes
    leaf: bytes
    caller: str | None
    reply: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The log at a size: `time` is when its last leaf was stored, in ms since 1970; None where there is none."""

    size: int
    root: bytes
    time: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Inclusion:
    """Where a leaf is among the first `size`, their root, and the path to it, lowest sibling first."""

    index: int
    size: int
    root: bytes
    path: tuple[bytes, ...]


class Store:
    """Entries, hashes and replies. Every method raises StoreFailed."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._writing = engine.execution_options(archive_writes=True)
        self._prepared = False
        self._silence = Silence()

    @property
    def silent(self) -> bool:
        """Whether the database keeps whoever asked it waiting."""
        return self._silence.lasts

    def append(self, entries: Sequence[Entry], *, now_ms: int) -> Appended:
        """Store entries in one transaction, in their order. What is stored already is not stored again."""
        with self._write() as connection:
            known = _known(connection, [entry.id for entry in entries])
            fresh: dict[str, Entry] = {}
            for entry in entries:
                if entry.id not in known:
                    fresh[entry.id], known[entry.id] = entry, entry.leaf
            if fresh:
                _insert(connection, list(fresh.values()), now_ms)
        return Appended(added=len(fresh), conflicts=sum(known[entry.id] != entry.leaf for entry in entries))

    def find(self, attestation_id: str) -> Stored | None:
        """Return what is stored under an attestationId."""
        joined = ENTRIES.outerjoin(REPLIES, ENTRIES.c.index == REPLIES.c.index)
        query = select(ENTRIES, REPLIES.c.reply).select_from(joined).where(ENTRIES.c.id == attestation_id)
        with self._read() as connection:
            row = connection.execute(query).mappings().one_or_none()
        return None if row is None else _stored(row)

    def head(self) -> Head:
        """Return the whole log's size, root and time."""
        with self._read() as connection:
            size, time = _size_and_time(connection)
            return Head(size=size, root=tree.root(size, _reader(connection)), time=time)

    def prove(self, leaf: bytes, *, size: int | None = None) -> Inclusion | None:
        """Return the proof that a leaf hash is in the first `size` leaves (all, unless given), or None: it is nowhere.

        Raises:
            OutOfRange: the log has fewer leaves, or has this one behind them.
        """
        with self._read() as connection:
            index: int | None = connection.scalar(select(ENTRIES.c.index).where(ENTRIES.c.leaf == leaf))
            if index is None:
                return None
            whole, _ = _size_and_time(connection)
            size = whole if size is None else size
            if not index < size <= whole:
                raise OutOfRange(f"the leaf has index {index} in a log of {whole}")
            read = _reader(connection)
            return Inclusion(index=index, size=size, root=tree.root(size, read), path=tree.inclusion(index, size, read))

    def consistency(self, older: int, newer: int) -> tuple[bytes, ...]:
        """Return the proof that the first `older` leaves are the beginning of the first `newer`.

        Raises:
            OutOfRange: the log has fewer leaves, or they are in the wrong order.
        """
        with self._read() as connection:
            whole, _ = _size_and_time(connection)
            if not 0 <= older <= newer <= whole:
                raise OutOfRange(f"the log has {whole} leaves")
            return tree.consistency(older, newer, _reader(connection))

    def expire(self, *, before_ms: int) -> int:
        """Remove some replies that were stored earlier, and return how many; their leaves stay."""
        old = select(REPLIES.c.index).where(REPLIES.c.stored_ms < before_ms).limit(EXPIRED_AT_ONCE)
        with self._write() as connection:
            return connection.execute(delete(REPLIES).where(REPLIES.c.index.in_(old))).rowcount

    def close(self) -> None:
        """Close the connections that nobody uses."""
        self._engine.dispose()

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        with _failing(), self._silence.asking(), self._writing.begin() as connection:
            lock_for_writing(connection)
            if not self._prepared:
                METADATA.create_all(connection)
            yield connection
        self._prepared = True

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        if self.silent:
            raise StoreFailed("Silent")  # who waits already is enough to hear when it speaks again
        if not self._prepared:
            with self._write():  # makes the tables; processes and threads that do so at once take turns there
                pass
        with _failing(), self._silence.asking(), self._engine.begin() as connection:
            yield connection


@contextmanager
def _failing() -> Iterator[None]:
    try:
        yield
    except (SQLAlchemyError, KeyError) as exc:  # KeyError: a hash is missing, somebody has changed the tables
        cause = getattr(exc, "orig", None) or exc
        raise StoreFailed(type(cause).__name__) from exc


def _insert(connection: Connection, entries: list[Entry], now_ms: int) -> None:
    size, _ = _size_and_time(connection)
    places = tree.peaks(0, size)
    tops = _hashes(connection, places)
    leaves = [entry.leaf for entry in entries]
    grown = tree.grow(size, [tops[place] for place in places], leaves)
    connection.execute(insert(HASHES), [{"place": place, "hash": node} for place, node in grown])
    numbered = list(enumerate(entries, start=size))
    connection.execute(insert(ENTRIES), [_entry_row(index, entry, now_ms) for index, entry in numbered])
    replies = [{"index": index, "stored_ms": now_ms, "reply": entry.reply} for index, entry in numbered]
    connection.execute(insert(REPLIES), replies)


def _entry_row(index: int, entry: Entry, now_ms: int) -> dict[str, object]:
    return {
        "index": index,
        "id": entry.id,
        "digest": entry.digest,
        "leaf": entry.leaf,
        "caller": entry.caller,
        "stored_ms": now_ms,
    }


def _known(connection: Connection, ids: Sequence[str]) -> dict[str, bytes]:
    rows = connection.execute(select(ENTRIES.c.id, ENTRIES.c.leaf).where(ENTRIES.c.id.in_(ids)))
    return {row.id: row.leaf for row in rows}


def _size_and_time(connection: Connection) -> tuple[int, int | None]:
    last = select(ENTRIES.c.index, ENTRIES.c.stored_ms).order_by(ENTRIES.c.index.desc()).limit(1)
    row = connection.execute(last).one_or_none()
    if row is None:
        return 0, None
    index, stored_ms = row
    return index + 1, stored_ms


def _hashes(connection: Connection, places: Sequence[int]) -> dict[int, bytes]:
    rows = connection.execute(select(HASHES.c.place, HASHES.c.hash).where(HASHES.c.place.in_(places)))
    return {row.place: row.hash for row in rows}


def _reader(connection: Connection) -> tree.Read:
    return lambda places: _hashes(connection, places)


def _stored(row: RowMapping) -> Stored:
    return Stored(
        index=row["index"],
        id=row["id"],
        digest=row["digest"],
        leaf=row["leaf"],
        caller=row["caller"],
        reply=row["reply"],
    )
