"""VERIFICATION.md, "Where PCR0 comes from": its commands are run in a clone and give the image that was booted."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from devstack import nitro
from eif import __main__ as commands
from tests.e2e.conftest import IMAGE, ROOT
from tests.e2e.test_boot import measured
from tytle_verifier import load_policy

TEXT = (ROOT / "VERIFICATION.md").read_text(encoding="utf-8")
SECTION = TEXT.partition("\n## Where PCR0 comes from\n")[2].partition("\n## ")[0]
BLOCKS = re.findall(r"^```sh\n(.*?)^```", SECTION, re.MULTILINE | re.DOTALL)
COMMIT = "c0ffee" + "0" * 34
PINNED = {f"PCR{index}" for index in range(3)}


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of the commit with what is not committed yet, and a release that pins the image in build/."""
    if os.geteuid() != 0:
        pytest.skip("NO IMAGE WAS REBUILT: building an image needs root")
    clone = tmp_path_factory.mktemp("rebuild") / "clone"
    git("clone", "--quiet", str(ROOT), str(clone))
    for name in git("ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")[:-1]:
        (clone / name).unlink(missing_ok=True)
        if (ROOT / name).is_file():
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, clone / name)
    if (base := ROOT / "build" / "base.tar").is_file():  # a local base, of the packages of that day
        (clone / "build").mkdir()
        for path in (base, base.with_suffix(".packages")):
            (clone / "build" / path.name).symlink_to(path)
    (clone / "services" / "vies.pcrs.toml").write_text(policy())
    return clone


def git(*words: str) -> str:
    return subprocess.run(("git", *words), cwd=ROOT, capture_output=True, text=True, check=True).stdout


def policy() -> str:
    pinned = {"commit": COMMIT, **{name.lower(): value for name, value in measured(IMAGE).in_hex().items()}}
    return 'service = "vies"\n[[releases]]\n' + "".join(f'{name} = "{value}"\n' for name, value in pinned.items())


def run(block: str, clone: Path) -> "subprocess.CompletedProcess[str]":
    host = nitro.emulator()
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    environment = {**inherited, "NITRO_KERNEL": f"{host}/kernel", "RELEASE": COMMIT}  # not as a part of `make e2e`
    return subprocess.run(
        ["sh", "-e", "-c", block], cwd=clone, env=environment, capture_output=True, text=True, check=False
    )


def test_the_sections_commands_build_the_image_that_was_booted_and_find_its_release(released: Path) -> None:
    expected = measured(IMAGE).in_hex()
    assert expected.keys() == PINNED
    build, verify = BLOCKS
    built = run(build, released)
    assert built.returncode == 0, built.stderr
    assert json.loads("{" + built.stdout.rpartition("\n{")[2]) == expected
    assert (released / "build" / "images" / "vies" / "enclave.eif").read_bytes() == IMAGE.read_bytes()
    verified = run(verify, released)
    assert verified.returncode == 0, verified.stderr
    assert "twice the same: " in verified.stdout
    assert verified.stdout.endswith(f"build/images/vies/enclave.eif measures to release {COMMIT}\n")


def test_the_verifier_loads_what_the_rebuild_is_compared_with() -> None:
    (release,) = load_policy(policy().encode()).releases
    assert {f"PCR{index}": value.hex() for index, value in release.pcrs.items()} == measured(IMAGE).in_hex()


def test_an_image_of_another_policy_is_not_that_release(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "vies.pcrs.toml").write_text(policy())
    changed = nitro.with_file(IMAGE.read_bytes(), "opt/tytle/services/vies.toml", b"")
    (tmp_path / "changed.eif").write_bytes(changed)
    assert commands.main(["check", str(tmp_path / "changed.eif"), str(tmp_path / "vies.pcrs.toml"), COMMIT]) == 1
    assert "has PCR0" in capsys.readouterr().err
