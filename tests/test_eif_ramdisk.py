"""cpio archives from trees: what is inside is there, and nothing tells of who made it, where or when."""

import os
import socket
import stat
from pathlib import Path

import pytest

from eif import tree
from eif.cpio import Entry, archive
from eif.errors import BadInput
from tests.eif_kit import members

REGULAR = stat.S_IFREG | 0o644


def plant(root: Path, *, backwards: bool = False) -> Path:
    """Make a tree; `backwards` in the other order, so that folders list and inodes count differently."""
    content = {"usr/bin/tool": b"\x7fELF", "usr/bin.d": b"b", "usr/lib/x.py": b"x = 1\n", "empty": b""}
    root.mkdir()
    for path, data in sorted(content.items(), reverse=backwards):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    (root / "usr/bin/tool").chmod(0o700 if backwards else 0o4755)
    (root / "lib").symlink_to("usr/lib")
    (root / "opt").mkdir()
    return root


def test_a_tree_is_packed_sorted_with_folders_first(tmp_path: Path) -> None:
    found = members(archive(tree.entries(plant(tmp_path / "a"))))
    names = ["empty", "lib", "opt", "usr", "usr/bin", "usr/bin.d", "usr/bin/tool", "usr/lib", "usr/lib/x.py"]
    assert [member.name for member in found] == names
    assert found[1].data == b"usr/lib"
    assert found[8].data == b"x = 1\n"
    assert [member.mode for member in found[:2]] == [REGULAR, stat.S_IFLNK | 0o777]
    assert found[6].mode == stat.S_IFREG | 0o755


def test_nothing_of_the_machine_is_in_it(tmp_path: Path) -> None:
    found = members(archive(tree.entries(plant(tmp_path / "a"))))
    assert [member.ino for member in found] == list(range(1, len(found) + 1))
    assert {(m.uid, m.gid, m.nlink, m.mtime, m.devices) for m in found} == {(0, 0, 1, 0, (0, 0, 0, 0))}


def test_time_order_owner_umask_and_hard_links_leave_no_trace(tmp_path: Path) -> None:
    first = plant(tmp_path / "a")
    before = os.umask(0o077)
    try:
        second = plant(tmp_path / "b", backwards=True)
    finally:
        os.umask(before)
    os.utime(second / "empty", (1, 1))
    (tmp_path / "other").hardlink_to(second / "usr/bin.d")
    if os.getuid() == 0:
        os.chown(second / "empty", 1234, 5678)
    assert archive(tree.entries(first)) == archive(tree.entries(second))


def test_archives_can_stand_one_behind_the_other() -> None:
    assert len(archive([Entry(path="a", mode=REGULAR, data=b"12345")])) % 512 == 0


def test_files_bring_their_folders() -> None:
    found = members(archive(tree.files({"a/b/c": (b"1", True), "a/d": (b"2", False)})))
    assert [member.name for member in found] == ["a", "a/b", "a/b/c", "a/d"]


@pytest.mark.parametrize(
    "path", ["", "/a", "./a", "a/", "a//b", "../a", "a/..", "ü", "a\nb", "TRAILER!!!", "no/folder"]
)
def test_a_path_that_could_be_read_in_two_ways_is_refused(path: str) -> None:
    with pytest.raises(BadInput):
        archive([Entry(path="a", mode=REGULAR), Entry(path=path, mode=REGULAR)])


def test_a_path_given_twice_is_refused() -> None:
    with pytest.raises(BadInput, match="twice"):
        archive([Entry(path="a", mode=REGULAR), Entry(path="a", mode=REGULAR)])


def test_a_device_is_refused() -> None:
    with pytest.raises(BadInput, match="no directory, file or symbolic link"):
        archive([Entry(path="null", mode=stat.S_IFCHR | 0o666)])


def test_a_socket_in_a_tree_is_refused(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "s"))
        with pytest.raises(BadInput, match="s: "):
            list(tree.entries(tmp_path))
