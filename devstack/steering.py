"""What goes wrong inside one enclave worker of a laptop, while it runs: its NSM, its clock, its NSM's clock.

Rule: one small file beside the worker's socket says so, written in one piece, and looked at for every request. The
worker keeps it open, so that looking needs no descriptor. An empty file says that nothing is wrong.
"""

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from devstack.nsm_faults import Answers, Fails, Fault, Garbage, Hangs, Truncated, WrongEcho
from devstack.soft_nsm import SoftNsm
from nsm.errors import ErrorCode

LATE_SECONDS, FOREVER_SECONDS = 0.7, 600.0
POLL_SECONDS = 0.02
FILE_BYTES = 256
NSM_FAULTS: Mapping[str, Fault] = {
    "error": Answers(ErrorCode.InternalError),
    "time-out": Fails(),
    "garbage": Garbage(bytes(range(64))),
    "truncated": Truncated(100),
    "wrong nonce": WrongEcho("nonce"),
    "wrong data": WrongEcho("user_data"),
    "late": Hangs(LATE_SECONDS),
    "hang": Hangs(FOREVER_SECONDS),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Steered:
    """`nsm` names one of NSM_FAULTS; `ahead` and `nsm_ahead` are seconds that a clock is before the right time."""

    nsm: str | None = None
    ahead: float = 0.0
    nsm_ahead: float = 0.0

    def write(self, path: Path) -> None:
        """Make this hold from now on."""
        text = json.dumps({"nsm": self.nsm, "ahead": self.ahead, "nsm_ahead": self.nsm_ahead})
        with path.open("r+b", buffering=0) as file:
            file.write(text.ljust(FILE_BYTES).encode("ascii"))

    @classmethod
    def read(cls, file: int) -> "Steered":
        """Return what holds now, as an open file has it."""
        return cls(**json.loads(os.pread(file, FILE_BYTES, 0) or b"{}"))


class Steering:
    """The NSM and the clock of a worker, as the file at `path` has them."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDONLY | os.O_CREAT)

    def clock_ms(self) -> int:
        """Return what the enclave takes for Unix milliseconds."""
        return round((time.time() + Steered.read(self._file).ahead) * 1000)

    def nsm_clock(self) -> float:
        """Return what the NSM takes for Unix seconds."""
        return time.time() + Steered.read(self._file).nsm_ahead

    def sleep(self, seconds: float) -> None:
        """Let the NSM's time pass, or less, where what is wrong ends before."""
        end, wrong = time.monotonic() + seconds, Steered.read(self._file).nsm
        while time.monotonic() < end and Steered.read(self._file).nsm == wrong:
            time.sleep(POLL_SECONDS)

    def exchange(self, nsm: SoftNsm, request: bytes) -> bytes:
        """Put a request to the NSM. Raises: what `SoftNsm.exchange` raises."""
        wrong = Steered.read(self._file).nsm
        nsm.fault = None if wrong is None else NSM_FAULTS[wrong]
        return nsm.exchange(request)
