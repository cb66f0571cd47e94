"""`nitro-cli` as a program of somebody else's: stubs on PATH that print, hang, fail and never stop."""

import json
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import nitro_cli
from app.nitro_cli import Running

# The fields that `nitro-cli describe-enclaves` prints, AWS Nitro Enclaves user guide.
ENCLAVE = {
    "EnclaveName": "vies",
    "EnclaveID": "i-0123456789abcdef0-enc0123456789abcdef",
    "ProcessID": 4321,
    "EnclaveCID": 16,
    "NumberOfCPUs": 2,
    "CPUIDs": [1, 3],
    "MemoryMiB": 512,
    "State": "RUNNING",
    "Flags": "NONE",
}
Install = Callable[[str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Return a function that puts a shell script on PATH as nitro-cli."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    def write(script: str) -> None:
        program = tmp_path / "nitro-cli"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)

    return write


def test_the_enclaves_that_run_are_read(install: Install) -> None:
    install(f"cat <<'END'\n{json.dumps([ENCLAVE, {**ENCLAVE, 'EnclaveCID': 20, 'Flags': 'DEBUG_MODE'}])}\nEND")
    assert nitro_cli.is_here()
    assert nitro_cli.describe(seconds=5) == [
        Running(cid=16, state="RUNNING", memory=512, debug=False),
        Running(cid=20, state="RUNNING", memory=512, debug=True),
    ]


def test_it_is_told_nothing_of_our_settings_but_its_own(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(f"env > {tmp_path}/env; echo '[]'")
    monkeypatch.setenv("ARCHIVE_URL", "postgresql+psycopg://u:hunter2@h/d")
    monkeypatch.setenv("NITRO_CLI_LOGS_PATH", "/run/tytle")
    monkeypatch.setenv("RUST_LOG", "warn")
    nitro_cli.describe(seconds=5)
    told = (tmp_path / "env").read_text()
    assert "NITRO_CLI_LOGS_PATH=/run/tytle\n" in told
    assert "RUST_LOG=warn\n" in told
    assert "hunter2" not in told


def test_a_host_without_enclaves_has_none(install: Install) -> None:
    install("echo '[]'")
    assert nitro_cli.describe(seconds=5) == []


def test_a_host_without_nitro_cli_does_not_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not nitro_cli.is_here()
    assert nitro_cli.describe(seconds=5) is None
    assert nitro_cli.version(seconds=5) is None


@pytest.mark.parametrize(
    "script",
    [
        "echo '{}'",
        "echo null",
        "echo '[1]'",
        "echo '[{\"EnclaveCID\":16}]'",
        "echo not json",
        ":",
        "echo '[]'; exit 1",
        "head -c 2000000 /dev/zero",
        "printf '\\377'",
    ],
)
def test_what_is_no_list_of_enclaves_tells_nothing(install: Install, script: str) -> None:
    install(script)
    assert nitro_cli.describe(seconds=5) is None


@pytest.mark.parametrize(
    "script", ["sleep 60", "sleep 60 &\nwait", "echo '[]'; exec sleep 60", "exec >&-; sleep 60", "yes"]
)
def test_one_that_does_not_end_is_ended_with_all_that_it_started(install: Install, script: str) -> None:
    install(script)
    began = time.monotonic()
    assert nitro_cli.describe(seconds=0.3) is None
    assert time.monotonic() - began < 5


@given(
    st.text(max_size=200) | st.lists(st.dictionaries(st.sampled_from(sorted(ENCLAVE)), st.integers())).map(json.dumps)
)
def test_any_text_is_a_list_of_enclaves_or_none(text: str) -> None:
    found = nitro_cli.parse_enclaves(text)
    assert found is None or all(isinstance(running, Running) for running in found)
