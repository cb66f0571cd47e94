"""The files where gunicorn's processes keep their numbers, so that any of them can show the sum of all.

The folder is named by PROMETHEUS_MULTIPROC_DIR, for prometheus_client as for us; gunicorn_conf.py sees to it.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from prometheus_client import Metric, multiprocess, values

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


def shared(environ: Mapping[str, str]) -> str:
    """Return the folder that the library keeps this process's numbers in; empty where they stay in its memory."""
    return environ.get(VARIABLE, "") if values.ValueClass._multiprocess else ""


def empty(folder: Path) -> None:
    """Remove what a master before this one left behind: its counts would be added to ours."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path in folder.glob("*.db"):
        path.unlink(missing_ok=True)


class Shared(multiprocess.MultiProcessCollector):
    """The sums over all processes. A file without a byte is passed over: a process is making it in this instant."""

    def collect(self) -> Iterable[Metric]:
        """Return every metric."""
        paths = (path for path in Path(self._path).glob("*.db") if _holds_something(path))
        return self.merge([str(path) for path in paths])  # type: ignore[no-any-return,no-untyped-call]


def _holds_something(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:  # of a process that has ended
        return False


def forget(folder: Path, pid: int) -> None:
    """Take the gauges of a process that has ended out of the sums. Its counts stay: a counter never goes back."""
    multiprocess.mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]
