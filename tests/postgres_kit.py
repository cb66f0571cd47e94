"""A PostgreSQL server of a test's own: real, in a folder of its own, on a unix socket, gone afterwards.

initdb refuses to run as root; then it runs as the user `nobody`.
"""

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.processes import family, stopped

USER = "archive"
DEADLINE_SECONDS = 60


def binaries() -> Path | None:
    """Return the newest installed server's programs."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


class Server:
    """A running server. `url` is that of an empty database."""

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        self._folder = Path(tempfile.mkdtemp(prefix="archive-pg-"))  # a socket's path must be short
        self._user = "nobody" if os.geteuid() == 0 else None
        if self._user:
            shutil.chown(self._folder, self._user)
        self.url = f"postgresql+psycopg://{USER}@/postgres?host={self._folder}"
        self._process: subprocess.Popen[bytes] | None = None
        self._run("initdb", "--no-sync", "--auth=trust", f"--username={USER}", "--encoding=UTF8", "--locale=C")

    def start(self) -> None:
        self._spawn()
        self._wait()

    def _spawn(self) -> None:
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self._folder),
            "fsync": "off",
            "dynamic_shared_memory_type": "mmap",  # in its folder: a server that is killed leaves it in /dev/shm
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (self._folder / "log").open("ab") as output:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self._folder / "data", *options],
                stdout=output,
                stderr=output,
                user=self._user,
                cwd=self._folder,
            )

    def stop(self) -> None:
        """Be gone, as a server that crashed: connections are cut."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Say nothing within, with every connection left open: as a host that stands still."""
        with stopped([] if self._process is None else family(self._process.pid)):
            yield

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self._folder)

    def empty(self) -> None:
        """Drop all tables."""
        sql = "DROP SCHEMA public CASCADE; CREATE SCHEMA public"
        command = [self._programs / "psql", "-h", self._folder, "-U", USER, "-d", "postgres", "-q", "-c", sql]
        subprocess.run(command, check=True, capture_output=True)

    def _wait(self) -> None:
        deadline = time.monotonic() + DEADLINE_SECONDS
        command = [self._programs / "pg_isready", "-q", "-h", self._folder, "-U", USER, "-d", "postgres"]
        while subprocess.run(command, check=False).returncode:
            if time.monotonic() > deadline:
                raise TimeoutError((self._folder / "log").read_text())
            time.sleep(0.05)
            if self._process is not None and self._process.poll() is not None:
                self._spawn()  # processes of the one that was killed still had its memory

    def _run(self, program: str, *arguments: str) -> None:
        command = [self._programs / program, "-D", self._folder / "data", *arguments]
        subprocess.run(command, check=True, capture_output=True, user=self._user, cwd=self._folder)


@contextlib.contextmanager
def server() -> Iterator[Server]:
    """Start a server, or skip and say so; under CI it must be there."""
    programs = binaries()
    if programs is None:
        if os.environ.get("CI"):
            pytest.fail("PostgreSQL is not installed: .ci/install postgresql")
        pytest.skip("NOT TESTED WITH POSTGRESQL: install it with `.ci/install postgresql`")
    made = Server(programs)
    try:
        made.start()
        yield made
    finally:
        made.remove()
