"""The folder where gunicorn's processes keep their numbers, so that any of them can show the sum of all.

prometheus_client looks for PROMETHEUS_MULTIPROC_DIR once, when it is imported: `prepare` comes before that, in
gunicorn's master. A folder of our own making goes with the master; one that the operator names stays, emptied.
"""

import atexit
import os
import shutil
import tempfile
from collections.abc import MutableMapping
from pathlib import Path

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
MEMORY = Path("/dev/shm")  # noqa: S108  of our own name and mode 0700 below it; a disk that stalls would stall a request


def prepare(environ: MutableMapping[str, str]) -> None:
    """See to it that the variable names a folder. It stays the same one when gunicorn reads its settings again."""
    if environ.get(VARIABLE):
        return
    inside = MEMORY if os.access(MEMORY, os.W_OK) else None
    environ[VARIABLE] = tempfile.mkdtemp(prefix="tytle-metrics-", dir=inside)
    atexit.register(_remove, environ[VARIABLE], os.getpid())


def empty(environ: MutableMapping[str, str]) -> None:
    """Remove what a master before this one left behind: its counts would be added to ours."""
    folder = Path(environ[VARIABLE])
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path in folder.glob("*.db"):
        path.unlink(missing_ok=True)


def forget(pid: int) -> None:
    """Take the gauges of a process that has ended out of the sums. Its counts stay: a counter never goes back."""
    from prometheus_client import multiprocess  # noqa: PLC0415  see above: not before the variable is set

    multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]


def _remove(folder: str, owner: int) -> None:
    if os.getpid() == owner:  # the workers are forks of the master, and end as it does
        shutil.rmtree(folder, ignore_errors=True)
