"""The whole system on one machine: ways to the stand-ins, an enclave worker for each place in use, and gunicorn."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import requests
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from app.config import SERVICES
from devstack.endurance import parent
from devstack.endurance.upstreams import Way, Ways
from devstack.parent import STATE
from devstack.ports import free_port
from devstack.processes import children
from devstack.tls_pki import Authority
from devstack.upstream import Handler
from devstack.worker import NSM_ROOT, ROOTS, socket_path
from tytle_verifier import TestPkiRoot

ROOT = Path(__file__).parent.parent.parent
READY_SECONDS = 60.0
STOP_SECONDS = 30.0
PROCESSES = 2  # gunicorn's, as shipped
KEY_SECONDS = 120.0  # a sealing key is current so long, and then accepted so long: every client sees several
FIRST = (("vies", 0), ("vies", 1), ("sicae", 0), ("stripe-payment", 0), ("monerium-payment", 0))
DRAINED = (("vies", 2),)  # as the recipe of a rolling update has it: this place is meant to be free
CID_STEP = 100  # between places of one service that are told apart by number (app.enclave)
Place = tuple[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What is in a system: the enclaves that are started, the places that are drained, options of every worker, the
    module with gunicorn's application, the stand-ins by host (None: the invented ones).
    """

    first: tuple[Place, ...] = FIRST
    drained: tuple[Place, ...] = DRAINED
    options: tuple[str, ...] = ("--key-seconds", str(KEY_SECONDS))
    application: str = "devstack.endurance.parent"
    handlers: Mapping[str, Handler] | None = None


SHIPPED = Layout()


class System:
    """A running system; use `with`. What the processes write goes to `output`, a folder."""

    def __init__(self, output: Path, layout: Layout = SHIPPED) -> None:
        self._cleanup = contextlib.ExitStack()
        self._output = output
        self._layout = layout
        self._enclaves: dict[Place, subprocess.Popen[bytes]] = {}
        self._gunicorn: subprocess.Popen[bytes] | None = None
        self.authority = Authority()
        self.manifests = {each.name: each for each in parent.manifests(dict(layout.first))}
        self.folder = Path()
        self._port = 0

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._cleanup.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cleanup.close()

    @property
    def port(self) -> int:
        """Where the parent answers, on loopback."""
        return self._port

    @property
    def url(self) -> str:
        """Where the parent answers."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def root(self) -> TestPkiRoot:
        """The root of all documents of this system."""
        pem = (self.folder / NSM_ROOT).read_bytes()
        return TestPkiRoot(x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER))

    @property
    def master(self) -> int:
        """The process id of gunicorn's master. Raises: RuntimeError where there is none."""
        if self._gunicorn is None:
            raise RuntimeError("the parent does not run")
        return self._gunicorn.pid

    @property
    def servers(self) -> list[int]:
        """The process ids of gunicorn's workers."""
        return children(self.master)

    @property
    def processes(self) -> dict[int, str]:
        """Every process that is to live long, by its id."""
        enclaves = {each.pid: f"{name}/{number}" for (name, number), each in self._enclaves.items()}
        return {self.master: "gunicorn master", **dict.fromkeys(self.servers, "gunicorn worker"), **enclaves}

    def way(self, host: str) -> Way:
        """Return the way to a host."""
        return self._ways.by_host[host]

    def hosts(self) -> dict[str, str]:
        """Return the service of each host."""
        return {each.host: name for name, service in self.manifests.items() for each in service.upstreams}

    def start(self, place: Place) -> None:
        """Start an enclave, with new keys and a new boot id, and wait until it listens."""
        self._begin(place)
        self._wait(place)

    def _begin(self, place: Place) -> None:
        name, number = place
        command = [sys.executable, "-m", "devstack.worker", str(SERVICES / f"{name}.toml"), str(self.folder)]
        command += ["--number", str(number), *self._layout.options]
        socket_path(self.folder, name, number).unlink(missing_ok=True)
        self._enclaves[place] = self._spawn(f"{name}-{number}", command)

    def _wait(self, place: Place) -> None:
        name, number = place
        _wait_for(f"{name}/{number}", lambda: _accepts(socket_path(self.folder, name, number)))

    def signal(self, place: Place, number: signal.Signals) -> None:
        """Send a signal to an enclave."""
        self._enclaves[place].send_signal(number)

    def enclave_pid(self, place: Place) -> int:
        """The process id of an enclave. Raises: KeyError where it does not run."""
        return self._enclaves[place].pid

    def kill(self, place: Place) -> None:
        """End an enclave as a power cut would."""
        self._enclaves[place].kill()
        self._enclaves.pop(place).wait()

    def stop(self, place: Place) -> int:
        """End an enclave as `terminate-enclave` would; return its exit status."""
        enclave = self._enclaves.pop(place)
        enclave.terminate()
        return enclave.wait(STOP_SECONDS)

    def drain(self, service: str, number: int, *arguments: str) -> int:
        """Run `python -m app.drain`; return its exit status."""
        cid = self.manifests[service].cid + CID_STEP * number
        command = [sys.executable, "-m", "app.drain", service, str(cid), *arguments]
        environ = {**os.environ, "STATE_DIR": str(self.folder / STATE)}
        done = subprocess.run(command, env=environ, cwd=ROOT, check=False, capture_output=True)
        return done.returncode

    def _start(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="tytle-"))
        self._cleanup.callback(shutil.rmtree, self.folder, ignore_errors=True)
        (self.folder / ROOTS).write_text(self.authority.roots_pem, encoding="ascii")
        upstreams = [each for service in self.manifests.values() for each in service.upstreams]
        self._ways = self._cleanup.enter_context(
            Ways(upstreams, authority=self.authority, folder=self.folder, handlers=self._layout.handlers)
        )
        self._cleanup.callback(self._end_enclaves)
        for place in self._layout.first:
            self._begin(place)
            if not (self.folder / NSM_ROOT).exists():  # the first makes the root that all others share
                self._wait(place)
        for place in self._layout.first:
            self._wait(place)
        self._cleanup.callback(self.stop_parent)
        self.start_parent()
        for name, number in self._layout.drained:
            self.drain(name, number)
        _wait_for("every service", lambda: answers(self.url, "/readyz"))

    def _end_enclaves(self) -> None:
        for place in list(self._enclaves):
            self.kill(place)

    def start_parent(self) -> None:
        """Start gunicorn and wait until it answers. Raises: RuntimeError where it does not."""
        self.begin_parent()
        _wait_for("the parent", lambda: answers(self.url, "/livez"))

    def stop_parent(self) -> None:
        """End gunicorn, if it runs."""
        if self._gunicorn is not None:
            _end(self._gunicorn)
            self._gunicorn = None

    def begin_parent(self, **environ: str) -> "subprocess.Popen[bytes]":
        """Start gunicorn with these variables more, and return its process."""
        self._port = self._port or free_port()
        command = [sys.executable, "-m", "gunicorn", "--config", str(ROOT / "app" / "gunicorn_conf.py")]
        command.append(f"{self._layout.application}:create({str(self.folder)!r})")
        said = {
            "BIND": f"127.0.0.1:{self._port}",
            "WEB_WORKERS": str(PROCESSES),
            "TOKENS_FILE": str(parent.write_callers(self.folder)),
            **environ,
        }
        self._gunicorn = self._spawn("gunicorn", command, said)
        return self._gunicorn

    def _spawn(self, name: str, command: list[str], environ: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        with (self._output / f"{name}.log").open("ab") as file:
            return subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=file, env={**os.environ, **(environ or {})})


def answers(url: str, path: str) -> bool:
    """Whether the parent answers 200 for a path that wants no token."""
    try:
        return requests.get(url + path, timeout=5).ok
    except requests.RequestException:
        return False


def _wait_for(name: str, ready: Callable[[], bool]) -> None:
    end = time.monotonic() + READY_SECONDS
    while not ready():
        if time.monotonic() > end:
            raise RuntimeError(f"{name} was not ready within {READY_SECONDS} s")
        time.sleep(0.05)


def _accepts(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        return sock.connect_ex(str(path)) == 0


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
