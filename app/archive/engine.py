"""Opens the database: SQLite in a file that only this user can read, or PostgreSQL through psycopg.

One writer at a time, whatever the number of processes and hosts: BEGIN IMMEDIATE there, an advisory lock here.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine, event, text
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.exc import ArgumentError

from app.config import ConfigError

WAIT_SECONDS = 5  # for another process's write, and for a place in the pool of connections
STATEMENT_MS = 30_000  # a database that hangs must become an error
GONE: Mapping[str, int] = {  # so must a host that is gone, within some 30 s (libpq, connection parameters)
    "tcp_user_timeout": STATEMENT_MS,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}
LOCK = 0x7479_746C_6541_7263  # "tytleArc": what the advisory lock is taken on
PRAGMAS = (
    "journal_mode = WAL",  # readers never wait for the writer
    "synchronous = FULL",  # what was committed survives a power failure
    "secure_delete = ON",  # what retention removes is overwritten
    "cache_size = -256",  # KiB for each connection; the system caches the file, too, and 2 MiB in each only add up
)


def open_engine(address: str) -> Engine:
    """Return an engine for ARCHIVE_URL. A PostgreSQL server is not contacted yet.

    Raises:
        ConfigError: the URL cannot be used, its driver is not installed, or others may read the SQLite file.
    """
    try:
        url = make_url(address)
    except (ArgumentError, ValueError):  # the latter holds a part of the password, where that has an @ in it
        raise ConfigError("ARCHIVE_URL: not a database URL; write @ : / % in a password as %40 %3A %2F %25") from None
    if url.drivername == "sqlite":
        return _sqlite(url)
    if url.drivername == "postgresql+psycopg":
        return _postgresql(url)
    raise ConfigError("ARCHIVE_URL: expected sqlite:///PATH or postgresql+psycopg://USER:PASSWORD@HOST/DATABASE")


def lock_for_writing(connection: Connection) -> None:
    """Wait until no other transaction writes to the archive; held until the transaction ends."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})


def _sqlite(url: URL) -> Engine:
    if not url.database or url.database == ":memory:" or url.host or url.query:
        raise ConfigError("ARCHIVE_URL: expected sqlite:///PATH, with a path and nothing else")
    _keep_private(Path(url.database))
    engine = create_engine(url, hide_parameters=True, pool_timeout=WAIT_SECONDS, connect_args={"timeout": WAIT_SECONDS})
    event.listen(engine, "connect", _set_up)
    event.listen(engine, "begin", _begin)
    return engine


def _postgresql(url: URL) -> Engine:
    options = f"-c statement_timeout={STATEMENT_MS} -c idle_in_transaction_session_timeout={STATEMENT_MS}"
    try:
        return create_engine(
            url,
            hide_parameters=True,
            pool_timeout=WAIT_SECONDS,
            pool_pre_ping=True,
            connect_args={"connect_timeout": WAIT_SECONDS, "options": options, **GONE},
        )
    except ModuleNotFoundError as exc:
        raise ConfigError("ARCHIVE_URL: PostgreSQL needs the packages of requirements/postgresql.txt") from exc


def _keep_private(path: Path) -> None:
    try:
        path.touch(mode=0o600)  # SQLite gives its -wal and -shm files the same mode
        mode = path.stat().st_mode
    except OSError as exc:
        raise ConfigError(f"ARCHIVE_URL: the file cannot be written: {exc.strerror}") from exc
    if mode & 0o077:
        raise ConfigError("ARCHIVE_URL: the file holds answers in clear and others may read it: chmod 600")


def _set_up(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # sqlite3 would begin transactions by itself, and not before the first write
    for pragma in PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    """Begin a transaction; one that will write takes the lock now, for a later upgrade could only fail."""
    writes = connection.get_execution_options().get("archive_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
