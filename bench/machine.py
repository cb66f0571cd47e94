"""What a figure was measured on, so that nobody compares it with one from elsewhere."""

import datetime as dt
import os
import platform
import time
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("flask", "gunicorn", "requests", "h11", "cbor2", "cryptography")
LOOK_SECONDS = 1.0


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
        f"{packages}. The CPU was {machine['idle']:.0%} idle before the run: near 100% is a quiet machine.\n"
    )


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def _idle() -> float:
    before = _cpu_times()
    time.sleep(LOOK_SECONDS)
    spent = [now - then for now, then in zip(_cpu_times(), before, strict=True)]
    return (spent[3] + spent[4]) / max(1, sum(spent))  # proc_stat(5): idle and iowait


def _cpu_times() -> list[int]:
    return [int(field) for field in Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]]
