"""A directory tree on disk -> entries for `cpio.archive`, without what depends on who unpacked it, when and how.

Modes become 0755 for directories and for files that anybody may execute, 0644 for other files, 0777 for links: a umask
leaves no trace, and no file is setuid. Owners, times, hard links and extended attributes are not read. Sockets, devices
and pipes are refused: /dev is the kernel's.
"""

import os
import stat
from collections.abc import Collection, Iterator
from pathlib import Path

from eif.cpio import Entry
from eif.errors import BadInput

DIRECTORY = stat.S_IFDIR | 0o755
EXECUTABLE = stat.S_IFREG | 0o755
FILE = stat.S_IFREG | 0o644
LINK = stat.S_IFLNK | 0o777


def entries(root: Path) -> Iterator[Entry]:
    """Yield what is below `root`, which is not itself an entry, in no particular order.

    Raises:
        BadInput: something is no directory, regular file or symbolic link.
        OSError: something cannot be read.
    """
    for path in root.rglob("*"):
        yield _entry(path, path.relative_to(root).as_posix())


def files(content: dict[str, tuple[bytes, bool]]) -> Iterator[Entry]:
    """Yield entries for `{path: (data, executable)}` and for the folders that the paths need."""
    for folder in sorted({parent for path in content for parent in _parents(path)}):
        yield Entry(path=folder, mode=DIRECTORY)
    for path, (data, executable) in content.items():
        yield Entry(path=path, mode=EXECUTABLE if executable else FILE, data=data)


def folders(paths: Collection[str]) -> Iterator[Entry]:
    """Yield empty directories."""
    yield from (Entry(path=path, mode=DIRECTORY) for path in paths)


def _entry(path: Path, name: str) -> Entry:
    mode = path.lstat().st_mode
    if stat.S_ISDIR(mode):
        return Entry(path=name, mode=DIRECTORY)
    if stat.S_ISLNK(mode):
        return Entry(path=name, mode=LINK, data=os.fsencode(path.readlink()))
    if stat.S_ISREG(mode):
        return Entry(path=name, mode=EXECUTABLE if mode & 0o111 else FILE, data=path.read_bytes())
    raise BadInput(f"{name}: {stat.filemode(mode)} is no directory, file or symbolic link")


def _parents(path: str) -> Iterator[str]:
    parts = path.split("/")[:-1]
    yield from ("/".join(parts[:length]) for length in range(1, len(parts) + 1))
