"""The newc form of cpio, as Linux unpacks it at boot (`Documentation/driver-api/early-userspace/buffer-format.rst`).

Every number that could tell of the machine it was made on is fixed: inode numbers count up, owner and group are 0, the
time is 0, every file has one link, devices are 0:0. Not compressed: what a gzip or zstd writes differs between versions
and builds of the library, and a measured file has to come out the same everywhere.
"""

import stat
from collections.abc import Iterable
from dataclasses import dataclass

from eif.errors import BadInput

MAGIC = b"070701"
TRAILER = "TRAILER!!!"
ALIGNMENT_BYTES = 4
BLOCK_BYTES = 512  # archives are padded to it, so that several can stand one behind the other
MAX_NUMBER = 2**32 - 1  # eight hex digits


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A directory, regular file or symbolic link. `path` is relative, without a leading "./"; `data` is the content of
    a file or the target of a link."""

    path: str
    mode: int
    data: bytes = b""


def archive(entries: Iterable[Entry]) -> bytes:
    """Return the archive of these entries, sorted by the bytes of their paths, so that folders come before content.

    Raises:
        BadInput: a path occurs twice, is absolute, is not normal or has a character outside printable ASCII; a folder
            is missing; a kind of file other than the three; too large.
    """
    ordered = sorted(entries, key=lambda entry: entry.path.encode())
    _check(ordered)
    parts = [_member(number, entry) for number, entry in enumerate(ordered, start=1)]
    parts.append(_member(0, Entry(path=TRAILER, mode=0)))
    joined = b"".join(parts)
    return joined + bytes(-len(joined) % BLOCK_BYTES)


def _check(entries: list[Entry]) -> None:
    folders, seen = {""}, set()
    for entry in entries:
        parts = entry.path.split("/")
        if not entry.path.isascii() or not entry.path.isprintable() or {"", ".", ".."} & {*parts}:
            raise BadInput(f"path {entry.path!r}: expected a relative path of printable ASCII")
        if entry.path in seen or entry.path == TRAILER or "/".join(parts[:-1]) not in folders:
            raise BadInput(f"path {entry.path!r}: twice in the archive, or its folder is not in it")
        seen.add(entry.path)
        if stat.S_ISDIR(entry.mode):
            folders.add(entry.path)
        elif not (stat.S_ISREG(entry.mode) or stat.S_ISLNK(entry.mode)):
            raise BadInput(f"{entry.path}: mode {entry.mode:o} is no directory, file or symbolic link")
        if len(entry.data) > MAX_NUMBER:
            raise BadInput(f"{entry.path}: {len(entry.data)} bytes do not fit the format")


def _member(number: int, entry: Entry) -> bytes:
    name = entry.path.encode("ascii") + b"\0"
    owner, group, links, time, device = 0, 0, 1, 0, (0, 0, 0, 0)
    fields = (number, entry.mode, owner, group, links, time, len(entry.data), *device, len(name), 0)
    head = MAGIC + b"".join(b"%08x" % field for field in fields) + name
    return _padded(head) + _padded(entry.data)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % ALIGNMENT_BYTES)
