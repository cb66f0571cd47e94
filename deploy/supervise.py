#!/usr/bin/python3.11 -I
"""Keeps one enclave running: starts it, says that it is ready, watches it, and ends when it has gone.

    supervise.py --name NAME --cid CID --eif FILE --memory MIB --cpus N [--lock FILE] [--nitro-cli PROGRAM]

systemd (or the kubelet) starts this again when it ends. Exit status 1: the enclave did not start, or has gone; 0: it
was asked to end, and ended the enclave. Starts take turns under a lock: each run-enclave listens on vsock port 9000 for
the enclave's heartbeat, and fails where another one listens already. A file of its own, standard library only.
"""

import argparse
import contextlib
import fcntl
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType

START_SECONDS = 300  # a large image on a cold disk
ASK_SECONDS = 15
WATCH_SECONDS = 2.0  # how soon an end is seen
PATIENCE = 5  # answers of nitro-cli that say nothing, one after another


class Gone(Exception):
    """The enclave is not there, or it cannot be told whether it is."""


class Asked(Exception):
    """A signal asked this program to end."""


def main(arguments: Sequence[str]) -> int:
    """Start the enclave and stay until it has gone. Returns the exit status."""
    options = _parser().parse_args(arguments)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _raise_asked)
    try:
        with turn(options.lock):
            terminate(options)  # what an earlier one may have left
            start(options)
        notify_ready()
        say(f"{options.name} runs")
        watch(options)
    except Asked:
        terminate(options)
        say(f"{options.name} ended, as asked")
        return 0
    except (Gone, OSError) as error:
        say(f"{options.name}: {error}")
        with contextlib.suppress(OSError):
            terminate(options)
    return 1


@contextlib.contextmanager
def turn(lock: Path) -> Iterator[None]:
    """Wait for our turn to start an enclave."""
    with lock.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def start(options: argparse.Namespace) -> None:
    """Start the enclave. Raises: Gone."""
    command = [options.nitro_cli, "run-enclave", "--enclave-name", options.name, "--enclave-cid", str(options.cid)]
    command += ["--eif-path", str(options.eif), "--memory", str(options.memory), "--cpu-count", str(options.cpus)]
    try:
        done = subprocess.run(command, timeout=START_SECONDS, check=False)  # noqa: S603
    except subprocess.TimeoutExpired as error:
        raise Gone(f"run-enclave took more than {START_SECONDS} s") from error
    if done.returncode != 0:
        raise Gone(f"run-enclave failed with status {done.returncode}")


def watch(options: argparse.Namespace) -> None:
    """Return never. Raises: Gone when the enclave does not run any more."""
    silent = 0
    while True:
        state = state_of(options)
        silent = silent + 1 if state is None else 0
        if silent >= PATIENCE:
            raise Gone(f"nitro-cli has not told its state {PATIENCE} times")
        if state not in (None, "RUNNING"):
            raise Gone(f"its state is {state}")
        time.sleep(options.interval)


def state_of(options: argparse.Namespace) -> str | None:
    """Return the enclave's state, ABSENT where there is no such enclave, None where nitro-cli does not tell."""
    try:
        done = subprocess.run(  # noqa: S603
            [options.nitro_cli, "describe-enclaves"], capture_output=True, timeout=ASK_SECONDS, check=True
        )
    except subprocess.SubprocessError:
        return None
    return parse_state(done.stdout, options.name)


def parse_state(said: bytes, name: str) -> str | None:
    """Read what describe-enclaves printed: as `state_of`."""
    try:
        listed = json.loads(said)
    except (ValueError, RecursionError):
        return None
    if not isinstance(listed, list) or not all(isinstance(entry, dict) for entry in listed):
        return None
    for entry in listed:
        if entry.get("EnclaveName") == name:
            return str(entry.get("State")).upper()
    return "ABSENT"


def terminate(options: argparse.Namespace) -> None:
    """End the enclave of this name, if there is one."""
    if state_of(options) == "ABSENT":
        return
    command = [options.nitro_cli, "terminate-enclave", "--enclave-name", options.name]
    with contextlib.suppress(subprocess.TimeoutExpired):
        subprocess.run(command, timeout=ASK_SECONDS, check=False)  # noqa: S603


def notify_ready() -> None:
    """Tell systemd that the enclave runs. Elsewhere there is nobody to tell, and perhaps no such program."""
    with contextlib.suppress(OSError):
        subprocess.run(["systemd-notify", "--ready"], check=False)  # noqa: S607


def say(text: str) -> None:
    """Write one line for the journal."""
    print(text, flush=True)  # noqa: T201  this is a program


def _raise_asked(_number: int, _frame: FrameType | None) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)  # once is enough: what follows ends the enclave, and takes its time
    raise Asked


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Keeps one enclave running.")
    parser.add_argument("--name", required=True)
    parser.add_argument("--eif", required=True, type=Path)
    for number in ("--cid", "--memory", "--cpus"):
        parser.add_argument(number, required=True, type=int)
    parser.add_argument("--lock", type=Path, default=Path("/run/tytle-enclave/start.lock"))
    parser.add_argument("--nitro-cli", default="nitro-cli")
    parser.add_argument("--interval", type=float, default=WATCH_SECONDS, metavar="SECONDS")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
