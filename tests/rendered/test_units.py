"""systemd reads the units as they are rendered, in a root of their own, and finds them confined."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.rendered.conftest import need

PROGRAMS = ("usr/bin/vsock-proxy", "usr/bin/python3.11", "opt/tytle/venv/bin/gunicorn", "bin/kill")
MOST_EXPOSURE = 20  # systemd-analyze counts tenths: 2.0 of 10, "OK"
# What verify must be able to refuse: (unit, text, what becomes of it, what it says).
DEFECTS = [
    ("tytle-parent.service", "Restart=always", "Restart=perhaps", "Failed to parse service restart specifier"),
    ("tytle-parent.service", "PrivateTmp=yes", "PrivateTemp=yes", "Unknown key.*'PrivateTemp'"),
    ("tytle-parent.service", "ExecStart=/opt", "ExecStart=opt", "is not absolute|not executable|Neither a valid"),
    ("tytle.target", ".service", ".servise", "servise"),
]


@pytest.fixture
def root(rendered: Path, tmp_path: Path) -> Path:
    """Lay out a root: the rendered etc, programs that do nothing, and this system's own targets."""
    shutil.copytree(rendered / "host" / "etc", tmp_path / "etc")
    for name in PROGRAMS:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
    own = tmp_path / "usr/lib/systemd/system"
    own.mkdir(parents=True)
    for target in Path("/lib/systemd/system").glob("*.target"):
        shutil.copy(target, own / target.name)
    return tmp_path


def units_of(root: Path) -> list[str]:
    return sorted(path.name for path in (root / "etc/systemd/system").iterdir())


def verify(root: Path) -> subprocess.CompletedProcess[str]:
    command = [need("systemd-analyze"), "verify", "--man=no", "--recursive-errors=yes", f"--root={root}"]
    return subprocess.run([*command, *units_of(root)], capture_output=True, text=True, timeout=120, check=False)


def test_systemd_verifies_every_unit(root: Path) -> None:
    done = verify(root)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(("unit", "text", "wrong", "said"), DEFECTS)
def test_the_check_sees_a_defect(root: Path, unit: str, text: str, wrong: str, said: str) -> None:
    path = root / "etc/systemd/system" / unit
    before = path.read_text()
    assert text in before
    path.write_text(before.replace(text, wrong))
    assert re.search(said, verify(root).stderr)


def test_every_service_is_confined(root: Path) -> None:
    for unit in units_of(root):
        if unit.endswith(".service"):
            command = [need("systemd-analyze"), "security", "--no-pager", "--offline=yes", f"--root={root}"]
            command += [f"--threshold={MOST_EXPOSURE}", unit]
            done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
            assert done.returncode == 0, done.stdout + done.stderr


def test_sysusers_reads_its_file(root: Path) -> None:
    (root / "etc/passwd").touch()
    (root / "etc/group").touch()
    command = [need("systemd-sysusers"), f"--root={root}", root / "etc/sysusers.d/tytle.conf"]
    subprocess.run(command, capture_output=True, timeout=60, check=True)
    assert "tytle-enclave:" in (root / "etc/passwd").read_text()
    assert re.search(r"^ne:.*tytle-enclave", (root / "etc/group").read_text(), re.MULTILINE)
