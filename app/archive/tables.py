"""The three tables. Entries and hashes are only ever inserted; replies are inserted, and deleted by retention.

A database user that may INSERT and SELECT on all three and DELETE on `archive_replies` is enough once they exist.
"""

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, MetaData, String, Table

_NUMBER = BigInteger().with_variant(Integer(), "sqlite")  # there the rowid itself, which is 64 bits wide
METADATA = MetaData()

ENTRIES = Table(
    "archive_entries",
    METADATA,
    Column("index", _NUMBER, primary_key=True, autoincrement=False),  # of the leaf, from 0 without gaps
    Column("id", String(40), nullable=False, unique=True),  # attestationId
    Column("digest", LargeBinary(32), nullable=False),
    Column("leaf", LargeBinary(32), nullable=False, unique=True),
    Column("caller", String, nullable=True),
    Column("stored_ms", BigInteger, nullable=False),  # since 1970, by the parent's clock
)

HASHES = Table(
    "archive_hashes",
    METADATA,
    Column("place", _NUMBER, primary_key=True, autoincrement=False),  # tree.place
    Column("hash", LargeBinary(32), nullable=False),
)

REPLIES = Table(
    "archive_replies",
    METADATA,
    Column("index", _NUMBER, primary_key=True, autoincrement=False),
    Column("stored_ms", BigInteger, nullable=False, index=True),
    Column("reply", LargeBinary, nullable=False),
)
