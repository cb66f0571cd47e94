"""What a figure was measured on, so that nobody compares it with one from elsewhere."""

import datetime as dt
import os
import platform
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("flask", "gunicorn", "requests", "cbor2", "cryptography")
LOOK_SECONDS = 1.0
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class CpuTime:
    """CPU seconds of all cores since the machine started: used by anybody, and in total."""

    busy: float
    total: float


def cpu_time() -> CpuTime:
    """Return the CPU time so far. Time stolen by other guests of the host counts as busy."""
    first_line = Path("/proc/stat").read_text(encoding="ascii").partition("\n")[0]
    ticks = [int(field) for field in first_line.split()[1:9]]  # proc_stat(5): user, nice, ... steal
    idle = ticks[3] + ticks[4]
    return CpuTime((sum(ticks) - idle) / TICKS_PER_SECOND, sum(ticks) / TICKS_PER_SECOND)


def facts() -> dict[str, Any]:
    """Return what is known of this machine. `idle` is the share of CPU time that nobody used just before the run."""
    return {
        "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.release()}",
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "idle": round(_idle(), 2),
    }


def as_text(machine: dict[str, Any]) -> str:
    """Return the facts in two lines."""
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    return (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}, {machine['python']}; {machine['date']}\n"
        f"{packages}. The CPU was {machine['idle']:.0%} idle before the run: near 100% is quiet.\n"
    )


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def _idle() -> float:
    before = cpu_time()
    time.sleep(LOOK_SECONDS)
    after = cpu_time()
    return max(0.0, 1 - (after.busy - before.busy) / (after.total - before.total))
