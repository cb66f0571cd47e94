"""The processes of one measurement: a folder for their sockets and output, started in it, ended with it."""

import contextlib
import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self

from app import gunicorn_conf
from bench.machine import TICKS_PER_SECOND

ROOT = Path(__file__).parent.parent
WEB_WORKERS = 2  # gunicorn processes of the parent and of every peer: one per core of the smallest machine we use
WEB_THREADS = gunicorn_conf.threads
STOCK_THREADS = 64  # of a stock gunicorn's processes: more than the clients that one of them is given
CONFIGURED = ("--config", str(ROOT / "app" / "gunicorn_conf.py"))
STOCK = ("--worker-class", "gthread", "--threads", str(STOCK_THREADS), "--no-control-socket")
READY_SECONDS = 30.0
STOP_SECONDS = 5.0
POLL_SECONDS = 0.05
# What would make a peer behave as nobody asked it to: other roots, a proxy, another number of processes.
UNWANTED_VARIABLES = ("BUNDLE", "PROX", "WEB_WORKERS", "WEB_CONCURRENCY", "BIND", "GUNICORN_CMD_ARGS", "TOKENS", "TLS_")


class BenchError(Exception):
    """The benchmark itself failed: a process ended, or nobody answered."""


def as_program(main: Callable[[list[str]], int], what: str) -> NoReturn:
    """End this program with what `main` returns for its arguments; SIGTERM cleans up as Ctrl-C does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit("interrupted; everything has been stopped")
    except BenchError as error:
        sys.exit(f"{what} failed: {error}")


@dataclass(frozen=True, slots=True)
class Child:
    """A started process with those that it started itself; they share its process group."""

    name: str
    process: "subprocess.Popen[bytes]"
    output: Path

    def cpu_seconds(self) -> float:
        """Return the CPU time (user and system) that the group has used so far, to a clock tick of mostly 10 ms."""
        fields = [_stat(pid) for pid in self.members()]
        return sum(int(each[11]) + int(each[12]) for each in fields if each) / TICKS_PER_SECOND  # proc(5): utime, stime

    def members(self) -> list[int]:
        """Return the process ids of the group, in order: first the one that was started."""
        pids = sorted(int(path.parent.name) for path in Path("/proc").glob("[0-9]*/stat"))
        return [pid for pid in pids if (fields := _stat(pid)) and int(fields[2]) == self.process.pid]  # proc(5): pgrp

    def check(self) -> None:
        """Return if it is running.

        Raises:
            BenchError: it is not; the message ends with the last lines that it wrote.
        """
        if self.process.poll() is not None:
            tail = self.output.read_text(encoding="utf-8", errors="replace")[-2000:]
            raise BenchError(f"{self.name} ended with status {self.process.returncode}:\n{tail}")


class Processes:
    """Starts processes in a new folder; leaving the context ends every one of them and removes the folder."""

    def __init__(self) -> None:
        self._children: list[Child] = []
        self.folder = Path()

    def __enter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix="tytle-bench-"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with _uninterrupted():
            for child in reversed(self._children):
                _end(child.process)
            shutil.rmtree(self.folder, ignore_errors=True)

    def start(
        self, name: str, command: list[str], *, keep: tuple[int, ...] = (), environ: Mapping[str, str] | None = None
    ) -> Child:
        """Start a command; its output goes to a file in the folder. `keep` are descriptors that it inherits."""
        output = self.folder / f"{len(self._children)}.log"
        with output.open("wb") as stream:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**_environment(), **(environ or {})},
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                pass_fds=keep,
                start_new_session=True,  # Ctrl-C is for us; we end them
            )
        child = Child(name, process, output)
        self._children.append(child)
        return child

    def module(self, name: str, *arguments: object) -> Child:
        """Start one of our modules: `python -m ARGUMENTS`."""
        return self.start(name, [sys.executable, "-m", *map(str, arguments)])

    def gunicorn(
        self, application: str, *, how: Sequence[str] = CONFIGURED, environ: Mapping[str, str] | None = None
    ) -> tuple[Child, int]:
        """Serve a WSGI application; return the process and its port.

        With the parent's gunicorn configuration, or `STOCK`: gthread as gunicorn ships it, which is what people write.
        """
        with socket.create_server(("127.0.0.1", 0), backlog=256) as listener:
            command = [sys.executable, "-m", "gunicorn", *how]
            command += ["--workers", str(WEB_WORKERS), "--bind", f"fd://{listener.fileno()}", application]
            port: int = listener.getsockname()[1]
            child = self.start("gunicorn", command, keep=(listener.fileno(),), environ=environ)
        wait_for(child, lambda: _answers(port))
        return child, port

    def run(self, command: list[str]) -> bytes:
        """Run a command to its end and return its output.

        Raises:
            BenchError: it failed.
        """
        child = self.start(command[2], command)
        child.process.wait()
        self._children.remove(child)
        if child.process.returncode != 0:
            child.check()
        return child.output.read_bytes()


def wait_for(child: Child, ready: Callable[[], bool]) -> None:
    """Wait until `ready` says so.

    Raises:
        BenchError: the child ended first, or it took too long.
    """
    end = time.monotonic() + READY_SECONDS
    while not ready():
        child.check()
        if time.monotonic() > end:
            raise BenchError(f"{child.name} was not ready within {READY_SECONDS} s")
        time.sleep(POLL_SECONDS)


def _answers(port: int) -> bool:
    """Whether an HTTP server answers anything at all; 404 will do."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=READY_SECONDS)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status > 0
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not any(u in name.upper() for u in UNWANTED_VARIABLES)}
    return kept | {"PYTHONPATH": str(ROOT)}


def _stat(pid: int) -> list[str]:
    """Return the fields of proc(5) from `state` on; none when the process has ended meanwhile."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    with contextlib.suppress(ProcessLookupError):  # the usual case: the whole group has ended
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
