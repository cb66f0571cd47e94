"""What `nitro-cli` says about the enclaves of this host: run with an end, read up to a limit, shape-checked.

It is a program of somebody else's: it may be missing, hang, print without end, or print something else.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import threading
from dataclasses import dataclass
from typing import Any

KEPT = ("PATH", "HOME", "RUST_LOG")  # of our environment, beside nitro-cli's own settings: the rest may hold passwords
MAX_OUTPUT_BYTES = 1024 * 1024  # ours: an enclave takes some 700 bytes, and a host has at most four


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """One enclave as `nitro-cli describe-enclaves` shows it; memory in MiB."""

    cid: int
    state: str
    memory: int
    debug: bool


def is_here() -> bool:
    """Whether there is a nitro-cli on PATH."""
    return shutil.which("nitro-cli") is not None


def version(*, seconds: float) -> str | None:
    """Return what `nitro-cli --version` prints, or None when it is not there, fails or takes too long."""
    return _output(["nitro-cli", "--version"], seconds)


def describe(*, seconds: float) -> list[Running] | None:
    """Return the enclaves that run, or None when nitro-cli does not tell within `seconds`."""
    printed = _output(["nitro-cli", "describe-enclaves"], seconds)
    return None if printed is None else parse_enclaves(printed)


def parse_enclaves(text: str) -> list[Running] | None:
    """Read what describe-enclaves printed; None when it is not a list of enclaves of the documented shape."""
    try:
        listed = json.loads(text)
        return [_running(entry) for entry in listed] if isinstance(listed, list) else None
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _running(entry: dict[str, Any]) -> Running:
    cid, memory = entry["EnclaveCID"], entry["MemoryMiB"]
    if type(cid) is not int or type(memory) is not int:
        raise TypeError("EnclaveCID and MemoryMiB are integers")
    debug = "DEBUG" in str(entry["Flags"]).upper()
    return Running(cid=cid, state=str(entry["State"]).upper(), memory=memory, debug=debug)


def _output(command: list[str], seconds: float) -> str | None:
    """Return what a command printed, or None when it is not there, failed, took too long or printed too much."""
    try:
        process = subprocess.Popen(  # noqa: S603  literal commands
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_environment(),
            start_new_session=True,  # so that whatever it has started ends with it
        )
    except OSError:
        return None
    end = threading.Timer(seconds, _end, (process,))
    end.daemon = True
    end.start()
    try:
        printed = _read(process)
        if len(printed) > MAX_OUTPUT_BYTES:
            _end(process)
        status = process.wait()
    finally:
        end.cancel()
    if status != 0 or len(printed) > MAX_OUTPUT_BYTES:
        return None
    return printed.decode("utf-8", "replace")


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name in KEPT or name.startswith("NITRO_CLI_")}


def _read(process: "subprocess.Popen[bytes]") -> bytes:
    """Return what it prints until it closes its output, at most a byte more than is accepted."""
    if process.stdout is None:
        return b""
    with process.stdout as output:
        return output.read(MAX_OUTPUT_BYTES + 1)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Kill it and all that it has started. One that has ended and was waited for is left alone."""
    if process.returncode is None:
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
