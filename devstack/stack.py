"""The whole system on one machine: upstream stand-ins, relays, a worker process and gunicorn, started and stopped.

Upstreams and relays run in threads of this process; worker and parent are processes of their own, so that they can be
killed and restarted as on a host. Everything is reached through unix sockets in a folder and loopback TCP.
"""

import contextlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import requests

from app.config import SERVICES
from devstack.handlers import HANDLERS
from devstack.parent import STATE
from devstack.ports import free_port
from devstack.relay import Endpoint, Relay
from devstack.tls_pki import Authority
from devstack.upstream import Handler, UpstreamServer
from devstack.worker import NSM_ROOT, ROOTS, relay_path, socket_path
from policy import manifest

ROOT = Path(__file__).parent.parent
READY_SECONDS = 30.0
STOP_SECONDS = 20.0
MAX_CONNECTIONS = 256


class Stack:
    """A running system for one service; use `with`. `url` is the parent's, `nsm_root` the PEM of the soft NSM's root,
    `manifest` the service's policy.

    `live` reaches the real upstreams through the relays and trusts the public certificate authorities; otherwise
    `handlers` (host name -> stand-in) answer, by default those of this room. `workers` are gunicorn's processes,
    `enclaves` the enclaves of the service, told apart by their number from 0; `key_seconds` is how long a sealing key
    is current, otherwise an hour. `services` is the folder of the policy. What the parent writes on its standard
    streams goes to the file `parent_output`, where one is given.
    """

    def __init__(  # noqa: PLR0913  each is one thing that a test may want otherwise
        self,
        service: str = "vies",
        *,
        live: bool = False,
        port: int = 0,
        nsm_seconds: float = 0.0,
        key_seconds: float | None = None,
        workers: int = 1,
        enclaves: int = 1,
        handlers: Mapping[str, Handler] | None = None,
        services: Path = SERVICES,
        parent_output: Path | None = None,
        quiet: bool = True,
    ) -> None:
        self._manifest_path = services / f"{service}.toml"
        self.manifest = manifest.load(self._manifest_path.read_bytes())
        self._live = live
        self._port = port
        self._nsm_seconds = nsm_seconds
        self._key_seconds = key_seconds
        self._workers = workers
        self._enclaves = enclaves
        hosts = self.manifest.hosts
        self._handlers = dict(handlers) if handlers is not None else {host: HANDLERS[host]() for host in hosts}
        self._quiet = quiet
        self._parent_output = parent_output
        self._cleanup = contextlib.ExitStack()
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        self._parent: subprocess.Popen[bytes] | None = None
        self.folder = Path()

    @property
    def url(self) -> str:
        """Where the parent answers."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def parent_pid(self) -> int:
        """The process id of gunicorn's master; the processes that serve are its children.

        Raises: RuntimeError before the stack runs.
        """
        if self._parent is None:
            raise RuntimeError("the stack does not run")
        return self._parent.pid

    @property
    def state(self) -> Path:
        """The parent's STATE_DIR."""
        return self.folder / STATE

    @property
    def nsm_root(self) -> str:
        """PEM of the root that signs this stack's documents: a test root, trusted by nobody else."""
        return (self.folder / NSM_ROOT).read_text(encoding="ascii")

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

    def worker_pid(self, number: int = 0) -> int:
        """The process id of a worker. Raises: RuntimeError before it runs."""
        if number not in self._running:
            raise RuntimeError("the worker does not run")
        return self._running[number].pid

    def kill_worker(self, number: int = 0) -> None:
        """End a worker as a power cut would."""
        if number in self._running:
            self._running[number].kill()
            self._running[number].wait()

    def stop_worker(self, number: int = 0) -> int:
        """End a worker with SIGTERM; return its exit status."""
        if number not in self._running:
            return 0
        self._running[number].send_signal(signal.SIGTERM)
        return self._running[number].wait(STOP_SECONDS)

    def start_worker(self, number: int = 0) -> None:
        """Start a worker, with new keys and a new boot id, and wait until it listens."""
        command = [sys.executable, "-m", "devstack.worker", str(self._manifest_path), str(self.folder)]
        command += ["--nsm-seconds", str(self._nsm_seconds), *(["--live"] if self._live else [])]
        command += [] if self._key_seconds is None else ["--key-seconds", str(self._key_seconds)]
        command += ["--number", str(number)]
        path = socket_path(self.folder, self.manifest.name, number)
        path.unlink(missing_ok=True)
        self._running[number] = self._spawn(command)
        self._wait_for("the worker", self._running[number], lambda: _accepts(path))

    def _start(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="tytle-"))
        self._cleanup.callback(shutil.rmtree, self.folder, ignore_errors=True)
        targets = self._live_targets() if self._live else self._start_upstream()
        for upstream in self.manifest.upstreams:
            relay = Relay(
                targets[upstream.host], listen=relay_path(self.folder, upstream), max_connections=MAX_CONNECTIONS
            )
            self._cleanup.enter_context(relay)
        for number in range(self._enclaves):
            self.start_worker(number)
            self._cleanup.callback(self.kill_worker, number)
        self._start_parent()

    def _live_targets(self) -> dict[str, Endpoint]:
        return {upstream.host: (upstream.host, 443 if upstream.tls else 80) for upstream in self.manifest.upstreams}

    def _start_upstream(self) -> dict[str, Endpoint]:
        """Serve the stand-ins: those without TLS in the manifest on a port of their own."""
        authority = Authority()
        (self.folder / ROOTS).write_text(authority.roots_pem, encoding="ascii")
        plain = {upstream.host for upstream in self.manifest.upstreams if not upstream.tls}
        targets: dict[str, Endpoint] = {}
        for issuer in (authority, None):
            handlers = {host: each for host, each in self._handlers.items() if (host in plain) == (issuer is None)}
            if handlers:
                server = self._cleanup.enter_context(UpstreamServer(handlers, authority=issuer))
                targets |= dict.fromkeys(handlers, server.address)
        return targets

    def _start_parent(self) -> None:
        self._port = self._port or free_port()
        application = f"devstack.parent:create({str(self.folder)!r}, {self.manifest.name!r}"
        application += f", services={str(self._manifest_path.parent)!r}, enclaves={self._enclaves})"
        command = [sys.executable, "-m", "gunicorn", "--config", str(ROOT / "app" / "gunicorn_conf.py")]
        command += ["--bind", f"127.0.0.1:{self._port}", "--workers", str(self._workers), application]
        self._parent = self._spawn(command, self._parent_output)
        self._cleanup.callback(_stop, self._parent)
        self._wait_for("the parent", self._parent, self._is_healthy)

    def _spawn(self, command: list[str], output: Path | None = None) -> subprocess.Popen[bytes]:
        if output is not None:
            with output.open("wb") as file:
                return subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=file)
        stream = subprocess.DEVNULL if self._quiet else None
        return subprocess.Popen(command, cwd=ROOT, stdout=stream, stderr=stream)

    def _is_healthy(self) -> bool:
        try:
            return requests.get(f"{self.url}/health", timeout=3).ok
        except (requests.ConnectionError, requests.Timeout):  # gunicorn listens before its processes are up
            return False

    def _wait_for(self, name: str, process: "subprocess.Popen[bytes]", ready: Callable[[], bool]) -> None:
        end = time.monotonic() + READY_SECONDS
        while time.monotonic() < end:
            if process.poll() is not None:
                raise RuntimeError(f"{name} ended with status {process.returncode} before it was ready")
            if ready():
                return
            time.sleep(0.05)
        raise RuntimeError(f"{name} was not ready within {READY_SECONDS} s")


def _accepts(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        try:
            sock.connect(str(path))
        except OSError:
            return False
        return True


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
