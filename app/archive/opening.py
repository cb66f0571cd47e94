"""Makes an archive from its settings."""

from app.archive.archive import Archive
from app.archive.engine import open_engine
from app.archive.settings import ArchiveSettings
from app.archive.storage import Store
from app.log import Log


def open_archive(settings: ArchiveSettings, log: Log) -> Archive:
    """Return a running archive. Whether a PostgreSQL server answers is found out later, and logged.

    Raises:
        ConfigError: the URL cannot be used.
    """
    return Archive(Store(open_engine(settings.url)), log, days=settings.days, required=settings.required)
