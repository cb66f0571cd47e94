"""The supervisor, as a program of its own, with a nitro-cli that keeps its enclaves in a folder."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy import supervise
from tests.deploy_kit import ROOT

# As the real one: two starts at once fail, a name is there once. A file `broken` makes it fail, `refuses` the start.
NITRO_CLI = """#!/bin/sh
cd "$(dirname "$0")" || exit 1
[ ! -e broken ] || { echo "[ E44 ]" >&2; exit 1; }
echo "$*" >> log
case $1 in
run-enclave)
  [ ! -e refuses ] || exit 39
  mkdir starting || exit 50
  sleep 0.3
  rmdir starting
  [ ! -e "$3.running" ] || exit 51
  printf '{"EnclaveName":"%s","EnclaveCID":%s,"State":"RUNNING","Flags":"NONE"}' "$3" "$5" > "$3.running" ;;
terminate-enclave) rm "$3.running" ;;
describe-enclaves)
  printf '['
  separator=
  for file in *.running; do [ ! -e "$file" ] || { printf %s "$separator"; cat "$file"; separator=,; }; done
  printf ']\\n' ;;
esac
"""


@dataclass
class Host:
    folder: Path
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def supervise(self, name: str = "tytle-vies-16") -> subprocess.Popen[bytes]:
        command = [sys.executable, "-I", ROOT / "deploy" / "supervise.py", "--name", name, "--cid", "16"]
        command += ["--eif", "x.eif", "--memory", "512", "--cpus", "2", "--lock", self.folder / "lock"]
        command += ["--nitro-cli", self.folder / "nitro-cli", "--interval", "0.05"]
        self.started.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE))
        return self.started[-1]

    def running(self) -> list[str]:
        return sorted(path.stem for path in self.folder.glob("*.running"))

    def wait_for(self, names: list[str]) -> None:
        end = time.monotonic() + 60
        while self.running() != names:
            assert time.monotonic() < end, self.running()
            time.sleep(0.01)

    def log(self) -> list[str]:
        return (self.folder / "log").read_text().splitlines()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    program = tmp_path / "nitro-cli"
    program.write_text(NITRO_CLI)
    program.chmod(0o755)
    made = Host(folder=tmp_path)
    yield made
    for each in made.started:
        each.kill()
        each.communicate()


def test_an_enclave_is_started_with_what_the_unit_says_and_ended_when_the_unit_stops(host: Host) -> None:
    program = host.supervise()
    assert program.stdout is not None
    assert program.stdout.readline() == b"tytle-vies-16 runs\n"
    assert host.running() == ["tytle-vies-16"]
    assert (
        "run-enclave --enclave-name tytle-vies-16 --enclave-cid 16 --eif-path x.eif --memory 512 --cpu-count 2"
        in host.log()
    )
    program.send_signal(signal.SIGTERM)
    assert program.wait(60) == 0
    assert host.running() == []


def test_an_enclave_that_has_gone_ends_the_program_so_that_it_is_started_again(host: Host) -> None:
    program = host.supervise()
    host.wait_for(["tytle-vies-16"])
    (host.folder / "tytle-vies-16.running").unlink()
    assert program.wait(60) == 1
    assert b"its state is ABSENT" in program.communicate()[0]


def test_an_enclave_in_another_state_than_running_has_gone(host: Host) -> None:
    program = host.supervise()
    host.wait_for(["tytle-vies-16"])
    entry = {"EnclaveName": "tytle-vies-16", "State": "TERMINATING"}
    written = host.folder / "new"
    written.write_text(json.dumps(entry))
    written.rename(host.folder / "tytle-vies-16.running")
    assert program.wait(60) == 1
    assert host.running() == []


def test_starts_take_turns(host: Host) -> None:
    names = [f"tytle-vies-{cid}" for cid in (16, 20, 21)]
    for name in names:
        host.supervise(name)
    host.wait_for(names)


def test_what_an_earlier_one_left_is_ended_first(host: Host) -> None:
    (host.folder / "tytle-vies-16.running").write_text('{"EnclaveName":"tytle-vies-16","State":"RUNNING"}')
    program = host.supervise()
    assert program.stdout is not None
    assert program.stdout.readline() == b"tytle-vies-16 runs\n"
    assert [line.split()[0] for line in host.log()[:3]] == ["describe-enclaves", "terminate-enclave", "run-enclave"]


def test_a_start_that_fails_ends_the_program(host: Host) -> None:
    (host.folder / "refuses").touch()
    program = host.supervise()
    assert program.wait(60) == 1
    assert b"run-enclave failed with status 39" in program.communicate()[0]


def test_a_nitro_cli_that_is_not_there_ends_the_program(host: Host) -> None:
    (host.folder / "nitro-cli").unlink()
    assert host.supervise().wait(60) == 1


def test_one_answer_that_says_nothing_is_no_end_but_several_are(host: Host) -> None:
    program = host.supervise()
    host.wait_for(["tytle-vies-16"])
    (host.folder / "broken").touch()
    assert program.wait(60) == 1
    assert b"has not told its state 5 times" in program.communicate()[0]


def test_a_stop_while_another_one_starts_ends_without_waiting(host: Host) -> None:
    with supervise.turn(host.folder / "lock"):
        program = host.supervise()
        time.sleep(0.5)
        program.send_signal(signal.SIGTERM)
        program.wait(60)
    assert host.running() == []


@given(st.binary())
def test_any_output_of_nitro_cli_is_a_state_or_says_nothing(said: bytes) -> None:
    assert supervise.parse_state(said, "tytle-vies-16") in (None, "ABSENT")


@pytest.mark.parametrize(
    ("said", "state"),
    [
        (b"[]", "ABSENT"),
        (b'[{"EnclaveName": "a", "State": "running"}]', "RUNNING"),
        (b'[{"EnclaveName": "b", "State": "RUNNING"}]', "ABSENT"),
        (b'[{"EnclaveName": "a"}]', "NONE"),
        (b"{}", None),
        (b"[5]", None),
        (b"[" * 100_000, None),
    ],
)
def test_a_state_is_read_from_the_entry_of_that_name(said: bytes, state: str | None) -> None:
    assert supervise.parse_state(said, "a") == state
