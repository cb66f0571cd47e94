"""Kernel folders, the boot ramdisk, the measurements file, the commands, and what a release refuses."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from eif import __main__ as commands
from eif import init, kernel, record
from eif.errors import BadInput
from eif.layout import Kind, read
from eif.measure import measure
from tests.eif_kit import image, members
from tytle_verifier import load_policy

ROOT = Path(__file__).parent.parent
MEASURED = measure(read(image())).in_hex()


@pytest.fixture
def emulated(tmp_path: Path) -> Path:
    for name in ("vmlinuz-6.12", "nsm.ko", "vsock.ko", "vsock_loopback.ko"):
        (tmp_path / name).write_bytes(name.encode())
    return tmp_path


COMMIT = "c0ffee" + "0" * 34


def pcrs_toml(**changed: str) -> str:
    values = {"commit": COMMIT, **{name.lower(): value for name, value in MEASURED.items()}} | changed
    return 'service = "vies"\n[[releases]]\n' + "".join(f'{name} = "{value}"\n' for name, value in values.items())


def test_an_emulated_hosts_kernel_brings_the_drivers_that_init_loads(emulated: Path) -> None:
    found = kernel.load(emulated)
    assert found.image == b"vmlinuz-6.12"
    assert found.cmdline == kernel.CMDLINE
    assert sorted(found.drivers) == ["nsm.ko", "vsock.ko"]
    assert not found.arm64


def test_aws_blobs_are_taken_as_they_are_installed(tmp_path: Path) -> None:
    for name in ("bzImage", "bzImage.config", "cmdline", "init", "linuxkit", "nsm.ko"):
        (tmp_path / name).write_text(f"{name}\n")
    found = kernel.load(tmp_path)
    assert (found.image, found.cmdline, list(found.drivers)) == (b"bzImage\n", "cmdline", ["nsm.ko"])


def test_a_folder_with_two_kernels_or_none_is_refused(emulated: Path, tmp_path: Path) -> None:
    (emulated / "bzImage").write_bytes(b"another")
    with pytest.raises(BadInput, match="2 kernels"):
        kernel.load(emulated)
    (tmp_path / "none").mkdir()
    with pytest.raises(BadInput, match="0 kernels"):
        kernel.load(tmp_path / "none")


def test_the_boot_ramdisk_is_init_its_mount_points_and_the_drivers(emulated: Path) -> None:
    found = {member.name: member for member in members(kernel.boot_ramdisk(kernel.load(emulated)))}
    assert sorted(found) == [
        "dev",
        "drivers",
        "drivers/nsm.ko",
        "drivers/vsock.ko",
        "init",
        "proc",
        "run",
        "sys",
        "tmp",
    ]
    assert found["init"].mode == 0o100755
    assert found["init"].data == Path(init.__file__).read_bytes()


def test_init_starts_what_the_image_declares_as_its_entry_point() -> None:
    words = re.search(r"^ENTRYPOINT (.+)$", (ROOT / "Dockerfile.enclave").read_text(), re.MULTILINE)
    assert words is not None
    assert json.loads(words[1]) == list(init.WORKER)
    assert Path(init.__file__).read_text().startswith(f"#!{init.WORKER[0]} -ISB\n")


def test_the_commands_build_what_the_functions_do(emulated: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = emulated / "rootfs"
    folder.mkdir()
    (folder / "a").write_bytes(b"1")
    assert commands.main(["ramdisk", str(folder), str(emulated / "a.cpio")]) == 0
    assert commands.main(["build", str(emulated), str(emulated / "a.cpio"), "-o", str(emulated / "a.eif")]) == 0
    assert commands.main(["measure", str(emulated / "a.eif")]) == 0
    found = read((emulated / "a.eif").read_bytes())
    assert json.loads(capsys.readouterr().out) == measure(found).in_hex()
    assert [member.name for member in members(found.of(Kind.RAMDISK)[1])] == ["a"]


def test_the_record_says_what_went_in(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.eif").write_bytes(image())
    (tmp_path / "packages").write_text("libc6 2.36\nzlib1g 1.2\n")
    options = ["--service", "vies", "--commit", "c0ffee", "--base", "local"]
    assert commands.main(["record", str(tmp_path / "a.eif"), str(tmp_path / "packages"), *options]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {name: found[name] for name in MEASURED} == MEASURED
    assert found["packages"] == ["libc6 2.36", "zlib1g 1.2"]
    assert found["eif"]["bytes"] == len(image())
    assert [section["kind"] for section in found["sections"]] == ["kernel", "cmdline", "metadata", "ramdisk", "ramdisk"]


def test_a_bad_file_is_reported_in_one_line_and_advice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.eif").write_bytes(b"no image")
    assert commands.main(["measure", str(tmp_path / "bad.eif")]) == 1
    assert commands.main(["measure", str(tmp_path / "absent.eif")]) == 1
    assert capsys.readouterr().err.splitlines()[0] == "eif: 8 bytes, expected 548 to 4294967296"


def test_an_image_that_measures_to_its_release_passes(tmp_path: Path) -> None:
    (tmp_path / "a.eif").write_bytes(image())
    (tmp_path / "vies.pcrs.toml").write_text(pcrs_toml())
    assert commands.main(["check", str(tmp_path / "a.eif"), str(tmp_path / "vies.pcrs.toml"), COMMIT]) == 0


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("", "0 releases of"),
        ("releases = 1", "0 releases of"),
        ("releases = [1]", "0 releases of"),
        ("not toml", "not TOML"),
        (pcrs_toml(commit="1" * 40), "0 releases of"),
        (pcrs_toml() + pcrs_toml().removeprefix('service = "vies"\n'), "2 releases of"),
        (f'[[releases]]\ncommit = "{COMMIT}"\npcr0 = "00"', "expected one, with pcr0"),
        (pcrs_toml(pcr0="0" * 96), "no measurement"),
        (pcrs_toml(pcr1="ab"), "no measurement"),
        (pcrs_toml(pcr2="ab" * 48), "has PCR2 abab"),
    ],
)
def test_an_image_that_does_not_is_refused(toml: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        record.check_release(MEASURED, toml, COMMIT)


def test_the_file_of_releases_is_the_policy_that_the_verifier_loads() -> None:
    (release,) = load_policy(pcrs_toml().encode()).releases
    assert {f"PCR{index}": value.hex() for index, value in release.pcrs.items()} == MEASURED
    record.check_release(MEASURED, pcrs_toml(), release.commit)


def test_a_release_refuses_a_base_that_is_not_pinned_and_says_how_to_pin(tmp_path: Path) -> None:
    environment = {**os.environ, "BASE": "local", "NITRO_KERNEL": str(tmp_path), "PYTHON": sys.executable}
    command = [ROOT / "eif" / "image", "--release", "vies", tmp_path / "out"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "a release needs a pinned base" in ended.stderr
    assert "make base" in ended.stderr
    assert not (tmp_path / "out").exists()
