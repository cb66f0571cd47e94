"""The parent for gunicorn in the fault matrix: enclaves behind links on TCP, a disk of its own, a clock to be set.

`gunicorn "tests.faults.parent:create('FOLDER')"`. FOLDER/links.json says where each enclave's link listens, FOLDER/disk
holds state and archive, and FOLDER/parent.clock how many seconds the host's clock is ahead.
"""

import json
import os
import time
from pathlib import Path

from flask import Flask

from devstack.endurance import parent
from wire.addresses import LoopbackAddress

LINKS, DISK, CLOCK = "links.json", "disk", "parent.clock"
CLOCK_BYTES = 32
REQUIRED = "FAULTS_ARCHIVE_REQUIRED"


def create(folder: str) -> Flask:
    """Return the application."""
    here = Path(folder)
    _let_the_clock_be_off(here / CLOCK)
    links: dict[str, list[int]] = json.loads((here / LINKS).read_text(encoding="ascii"))
    addresses = {
        name: tuple(LoopbackAddress(host="127.0.0.1", port=port) for port in ports) for name, ports in links.items()
    }
    return parent.application(here / DISK, addresses, required=REQUIRED in os.environ)


def _let_the_clock_be_off(path: Path) -> None:
    right = time.time_ns
    file = os.open(path, os.O_RDONLY | os.O_CREAT)  # open for ever: a clock needs no descriptor each time

    def off() -> int:
        return right() + round(float(os.pread(file, CLOCK_BYTES, 0) or b"0") * 1e9)

    time.time_ns = off
    time.time = lambda: off() / 1e9
