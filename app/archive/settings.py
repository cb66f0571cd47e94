"""What an operator may set about the archive. Read from the environment by app/config.py."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveSettings:
    """Where replies are stored, and for how long.

    `url` is an SQLAlchemy URL and may hold a password, so it is in no repr; `days` is how long the bytes of a reply are
    kept (the log keeps its leaves for ever); `required` makes the parent refuse new calls while nothing can be saved.
    """

    url: str = field(repr=False)
    days: int = 30
    required: bool = False

    def __post_init__(self) -> None:
        if not self.url or self.days < 1:
            raise ValueError("an archive has a URL, and keeps replies for at least a day")
