"""Who may read a stored reply."""

from collections.abc import Collection
from typing import Protocol

SCOPE = "archive"  # lets a caller read what others asked for


class Reader(Protocol):
    """A caller that was authenticated."""

    @property
    def name(self) -> str:
        """Who it is, as stored beside a reply."""

    @property
    def scopes(self) -> Collection[str]:
        """What it may do besides asking for itself."""


def may_read(reader: Reader | None, owner: str | None) -> bool:
    """Whether `reader` may have what `owner` asked for. Without authentication (None) everybody is everybody.

    What has no owner was stored before authentication was set up: only the scope opens it.
    """
    if reader is None or SCOPE in reader.scopes:
        return True
    return owner is not None and reader.name == owner
