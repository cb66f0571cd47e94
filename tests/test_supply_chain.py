"""Supply chain: everything installed is pinned by hash; bills of materials; what an audit says."""

import contextlib
import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devstack import audit
from devstack.audit import KNOWN, NOT_AUDITED, UNUSABLE
from eif import bills, pins, sbom
from eif.errors import BadInput

ROOT = Path(__file__).parent.parent
REQUIREMENTS = sorted((ROOT / "requirements").glob("*.txt"))
BUILDING = [
    *sorted(ROOT.glob("Dockerfile*")),
    ROOT / "Makefile",
    *(path for folder in (".ci", "eif") for path in sorted((ROOT / folder).iterdir()) if path.is_file()),
]
OWN_WHEEL = "--no-deps"  # an install of what this checkout made, or is: it brings nothing in


# --- pinned by hash --------------------------------------------------------------------------------------------------


def installs(text: str) -> list[str]:
    """Return the commands that install or fetch Python packages, on one line each."""
    lines = text.replace("\\\n", " ").splitlines()
    wanted = re.compile(r"\b(pip3?|pipx|uv|uvx) +(pip +)?(-\S+ +)*(install|wheel|download|run|sync|tool)\b")
    return [line.strip() for line in lines if wanted.search(line) and not line.lstrip().startswith("#")]


@pytest.mark.parametrize("path", REQUIREMENTS, ids=lambda path: path.name)
def test_every_requirement_is_pinned_by_version_and_hash(path: Path) -> None:
    found = [pin for pin, _ in pins.every(path.read_text(encoding="ascii"))]
    assert len(found) == len({(pin.name, pin.version) for pin in found}) > 0
    assert all(pin.sha256 for pin in found)


def test_nothing_in_images_or_ci_installs_without_hashes() -> None:
    found = {(path.name, line) for path in BUILDING for line in installs(path.read_text(encoding="utf-8"))}
    assert [each for each in found if "--require-hashes" not in each[1] and OWN_WHEEL not in each[1]] == []
    assert {name for name, _ in found} >= {"Dockerfile", "Dockerfile.enclave", "Makefile", "fuzz", "supply-venv"}


def test_an_install_without_hashes_would_be_seen() -> None:
    assert installs("RUN python3 -m pip install \\\n  flask\n") == ["RUN python3 -m pip install    flask"]
    assert installs("# pip install flask\n") == []


def test_every_pinned_file_comes_from_a_list_of_ours() -> None:
    assert {path.stem for path in REQUIREMENTS} == {path.stem for path in (ROOT / "requirements").glob("*.in")}


# --- reading pins ----------------------------------------------------------------------------------------------------

HASH = f"--hash=sha256:{'ab' * 32}"


@pytest.mark.parametrize(
    "line",
    [
        "flask",
        "flask==3.1.3",
        f"flask>=3 {HASH}",
        f"flask==3.* {HASH}",
        "flask==3.1.3 --hash=md5:ab",
        f"-e . {HASH}",
        f"flask @ https://a.example/flask.whl {HASH}",
        f"flask==3.1.3 ; python_version > '3.8' {HASH}",
        f"flask==3.1.3 ; __import__('os') {HASH}",
        f"flask==3.1.3 ; os_name in 'posix' {HASH}",
    ],
)
def test_what_is_not_pinned_or_not_decided_is_refused(line: str) -> None:
    with pytest.raises(BadInput):
        pins.read(line + "\n")


def test_a_marker_is_decided_for_an_image() -> None:
    text = (
        f"a==1 {HASH}\nb==1 ; sys_platform == 'win32' {HASH}\nC_c==1 ; os_name != 'nt' and (os_name == 'posix') {HASH}"
    )
    assert [pin.name for pin in pins.read(text)] == ["a", "c-c"]


@given(st.text())
def test_any_text_gives_pins_or_the_error_of_this_room(text: str) -> None:
    with contextlib.suppress(BadInput):
        pins.read(text)


# --- bills of materials ----------------------------------------------------------------------------------------------

MEASURED: dict[str, Any] = {
    "service": "vies",
    **{f"PCR{index}": f"{index}" * 96 for index in range(3)},
    "base": "local",
    "commit": "c" * 40,
    "eif": {"bytes": 9, "sha256": "ab" * 32},
    "sections": [
        {"kind": "kernel", "bytes": 1, "sha384": "cd" * 48},
        {"kind": "ramdisk", "bytes": 2, "sha384": "ef" * 48},
        {"kind": "ramdisk", "bytes": 3, "sha384": "01" * 48},
    ],
    "packages": ["libc6 2.36-9+deb12u13", "zlib1g 1:1.2.13.dfsg-1"],
}


def listed(text: str) -> dict[str, dict[str, Any]]:
    return {each["bom-ref"]: each for each in json.loads(text)["components"]}


def test_the_bill_of_an_enclave_names_rooms_packages_and_what_was_measured() -> None:
    text = bills.enclave(ROOT, "vies", MEASURED)
    made, found = json.loads(text), listed(text)
    assert (made["bomFormat"], made["specVersion"]) == ("CycloneDX", "1.6")
    assert made["metadata"]["component"]["hashes"] == [{"alg": "SHA-256", "content": "ab" * 32}]
    rooms = {"own/enclave_worker", "own/nsm", "own/policy", "own/wire", "own/vies.toml", "own/init.py"}
    pinned = {
        f"pkg:pypi/{pin.name}@{pin.version}" for pin in pins.read((ROOT / "requirements/enclave.txt").read_text())
    }
    debian = {
        "pkg:deb/debian/libc6@2.36-9%2Bdeb12u13?distro=debian-12",
        "pkg:deb/debian/zlib1g@1%3A1.2.13.dfsg-1?distro=debian-12",
    }
    assert found.keys() == rooms | pinned | debian | {"section/0-kernel", "section/1-ramdisk", "section/2-ramdisk"}
    assert found["own/vies.toml"]["hashes"][0]["content"] == sha256(ROOT / "services" / "vies.toml")
    assert made["dependencies"][0]["dependsOn"] == sorted(found)


def test_the_digest_of_a_room_is_that_of_sha256sum() -> None:
    command = "find nsm -type f ! -path '*/__pycache__/*' | LC_ALL=C sort | xargs sha256sum | sha256sum"
    printed = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True, check=True).stdout  # noqa: S602
    assert sbom.folder(ROOT / "nsm")["hashes"] == [{"alg": "SHA-256", "content": printed.split()[0]}]


def test_the_bill_of_the_parent_says_what_it_does_not_know() -> None:
    known = bills.parent(ROOT, "parent", ["bash 5.2"], "local")
    assert {"own/app", "own/services", "pkg:deb/debian/bash@5.2?distro=debian-12"} <= listed(known).keys()
    assert '"yes"' in known
    assert "no: what the base holds" in bills.parent(ROOT, "postgresql", None, "NAME@sha256:0")


def test_the_bill_of_the_wheel_has_ranges_and_no_versions(tmp_path: Path) -> None:
    file = tmp_path / "tytle_verifier.whl"
    file.write_bytes(b"a wheel")
    text = bills.wheel(ROOT, file)
    found = listed(text)
    assert {"pkg:pypi/cbor2", "pkg:pypi/cryptography"} <= {
        name for name, each in found.items() if each.get("scope") == "required"
    }
    assert found["pkg:pypi/requests"]["scope"] == "optional"
    assert json.loads(text)["metadata"]["component"]["hashes"][0]["content"] == sha256(file)


def test_the_same_inputs_give_the_same_bill_and_others_another(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "eif", "bill-enclave", "vies"]
    texts = {
        subprocess.run(
            command, cwd=ROOT, capture_output=True, check=True, env={"PYTHONHASHSEED": seed, "TZ": zone}
        ).stdout
        for seed, zone in (("1", "UTC"), ("2", "Asia/Kathmandu"))
    }
    assert texts == {bills.enclave(ROOT, "vies", None).encode()}
    other = {**MEASURED, "packages": ["libc6 2.37"]}
    serials = {json.loads(bills.enclave(ROOT, "vies", given))["serialNumber"] for given in (None, MEASURED, other)}
    assert len(serials) == 3


def test_a_bill_of_nothing_or_of_something_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    whole = sbom.subject("library", "x")
    for wrong in (
        lambda: sbom.folder(tmp_path / "empty"),
        lambda: sbom.debian("libc6"),
        lambda: sbom.bill(whole, [sbom.debian("libc6 1"), sbom.debian("libc6 1")]),
        lambda: bills.enclave(ROOT, "sicae", MEASURED),
    ):
        with pytest.raises(BadInput):
            wrong()


def test_no_bill_is_in_an_image() -> None:
    copied = [line for path in ROOT.glob("Dockerfile*") for line in path.read_text().splitlines() if "COPY" in line]
    assert copied
    assert not any("cdx" in line or "sbom" in line or "bills" in line for line in copied)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# --- the audit -------------------------------------------------------------------------------------------------------


def report(*dependencies: dict[str, Any]) -> str:
    return json.dumps({"dependencies": dependencies, "fixes": []})


CLEAN = {"name": "h11", "version": "0.16.0", "vulns": []}
SKIPPED = {"name": "h11", "skip_reason": "Dependency not found on PyPI and could not be audited: h11 (0.16.0)"}
BAD = {"name": "h11", "version": "0.16.0", "vulns": [{"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": []}]}
IGNORE = '[[ignored]]\nid = "CVE-1"\npackage = "h11"\nreason = "of a part that nobody uses"\n'


@pytest.mark.parametrize(
    ("reports", "toml", "status", "said"),
    [
        ([report(CLEAN)], "", 0, "audited: 1 packages"),
        ([report(BAD)], "", KNOWN, "KNOWN VULNERABILITY: h11 0.16.0: PYSEC-1"),
        ([report(SKIPPED), report(BAD)], "", KNOWN, "PYSEC-1"),
        ([report(BAD)], IGNORE, 0, "1 known vulnerabilities ignored"),
        ([report(BAD)], IGNORE.replace("h11", "h2"), KNOWN, "PYSEC-1"),
        ([report(CLEAN)], IGNORE, UNUSABLE, "CVE-1 matches nothing"),
        ([report(SKIPPED)], "", 0, "NOT AUDITED: no vulnerability service could be asked about h11"),
        ([report(SKIPPED), report(CLEAN)], "", 0, "audited: 1 packages"),
        (["", "no JSON"], "", 0, "NOT AUDITED: no vulnerability service could be asked about enclave"),
        ([], "", 0, "asked about enclave"),
    ],
)
def test_an_audit_fails_on_what_is_known_and_is_loud_about_what_it_could_not_ask(
    reports: list[str], toml: str, status: int, said: str
) -> None:
    made = audit.read({"enclave": reports})
    code, lines = audit.judge(made, audit.ignored(toml), required=False)
    assert (code, said in "\n".join(lines)) == (status, True), lines
    silent = "NOT AUDITED" in "\n".join(lines)
    assert (audit.BANNER in lines) is silent
    assert audit.judge(made, audit.ignored(toml), required=True)[0] == (NOT_AUDITED if silent else status)


def test_one_file_that_nobody_looked_up_is_not_hidden_by_another() -> None:
    for other in ("", report(SKIPPED)):
        made = audit.read({"dev": [report(CLEAN)], "enclave": [other]})
        assert audit.judge(made, {}, required=True)[0] == NOT_AUDITED


@pytest.mark.parametrize(
    "toml",
    ["[", "x = 1", "ignored = 1", '[[ignored]]\nid = "CVE-1"\npackage = "h11"', IGNORE.replace("of a", "")[:-30]],
)
def test_an_ignored_vulnerability_has_a_reason(toml: str) -> None:
    with pytest.raises(audit.Unusable):
        audit.ignored(toml)


@given(st.text())
def test_any_report_gives_an_audit(text: str) -> None:
    assert audit.read({"enclave": [text]}).findings == frozenset()


def test_our_own_list_can_be_used_and_is_empty() -> None:
    assert audit.ignored((ROOT / "requirements" / "ignored.toml").read_text()) == {}
