"""Two virtual machines: the parent's with CID 3, the enclave with the CID of its manifest, and vsock between them.

Here nobody plays CID 3: the switch has this machine's own connections come from CID 2, as the emulated host ships it.
"""

import contextlib
import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import requests

from devstack import nitro
from devstack.enclave import CALL_SECONDS, MODULE_ID
from devstack.parent_services import WAY_TO_HTTP, WAY_TO_WORKER
from devstack.relay import GuestPort, Relay

BOOT_SECONDS = 90.0
ATTEMPTS = 3  # the emulation hangs at times
LISTENS = '"event": "listening"'  # the worker's log, on the console
ENCLAVE = 1  # its place among the emulated host's processes: switch, enclave, parent


class TwoMachines:
    """Both machines, running; use `with`. `url` is the parent's HTTP, on loopback of this machine.

    `boot_seconds`: until the enclave listened and the parent said that it is healthy.
    Raises RuntimeError when they do not come up; the consoles are in the message.
    """

    def __init__(self, image: Path, initrd: Path, folder: Path) -> None:
        self._image, self._initrd, self._folder = image, initrd, folder
        self._cleanup = contextlib.ExitStack()
        self._host: Any = None
        self._way_in = Relay(self._parent(WAY_TO_HTTP), max_connections=256)
        self.boot_seconds = 0.0

    @property
    def url(self) -> str:
        """Where the parent answers."""
        if not isinstance(self._way_in.address, tuple):
            raise RuntimeError("the way in is a TCP port")
        host, port = self._way_in.address
        return f"http://{host}:{port}"

    @property
    def root_pem(self) -> Path:
        """The root that signs this host's documents."""
        return self._folder / "pki" / "root.pem"

    @property
    def worker_from_the_parent(self) -> GuestPort:
        """The worker, reached from inside the parent's machine: as CID 3."""
        return self._parent(WAY_TO_WORKER)

    def guest(self, port: int) -> GuestPort:
        """Return a port of the enclave, reached from this machine: as CID 2."""
        return GuestPort(path=self._folder / "run" / "enclave.vsock", port=port)

    def console(self, name: str) -> str:
        """What the machine `enclave` or `parent` has written since its last boot."""
        return (self._folder / "run" / f"{name}.console").read_text(errors="replace")

    def kill_enclave(self) -> None:
        """End the enclave's machine as a power cut would."""
        process = self._host.processes[ENCLAVE]
        process.kill()
        process.wait()

    def run_image(self, image: Path) -> None:
        """Have the enclave's machine run this image, as it may already do."""
        if image != self._image or self._host.processes[ENCLAVE].poll() is not None:
            self.kill_enclave()
            self._image = image
            self.boot_enclave()

    def boot_enclave(self) -> float:
        """Boot the enclave's machine again, after it was killed; return the seconds until it listened."""
        for left in reversed(range(ATTEMPTS)):
            began = time.monotonic()
            self._spawn_enclave()
            try:
                self._host.wait(self._host.is_up, BOOT_SECONDS, "the enclave")
            except TimeoutError as error:
                self.kill_enclave()
                if not left:
                    raise RuntimeError(f"the enclave did not boot: {self.console('enclave')[-2000:]}") from error
            else:
                break
        return time.monotonic() - began

    def is_healthy(self) -> bool:
        """Whether the parent says so."""
        try:
            return requests.get(f"{self.url}/health", timeout=CALL_SECONDS).ok
        except requests.ConnectionError:
            return False

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as undo:
            self._cleanup = undo
            self._start()
            self._cleanup = undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cleanup.close()

    def _parent(self, port: int) -> GuestPort:
        return GuestPort(path=self._folder / "run" / "parent.vsock", port=port)

    def _start(self) -> None:
        folder = nitro.emulator()
        if folder is None:
            raise RuntimeError("the emulated Nitro host is not here: set $NITRO_QEMU")
        self._folder.mkdir(parents=True, exist_ok=True)
        pki = (sys.executable, str(folder / "make_pki.py"), str(self._folder / "pki"), "--module-id", MODULE_ID)
        subprocess.run(pki, check=True, capture_output=True)
        began = time.monotonic()
        self._host = _library(folder / "nitro_host.py").NitroHost(
            self._image,
            pki=self._folder / "pki",
            run_dir=self._folder / "run",
            boot_seconds=BOOT_SECONDS,
            attempts=ATTEMPTS,
            parent_initrd=self._initrd,
            ready=LISTENS,
        )
        self._cleanup.callback(self._host.stop)
        try:
            self._host.__enter__()
        except (RuntimeError, TimeoutError) as error:
            raise RuntimeError(f"the enclave did not boot: {self.console('enclave')[-2000:]}") from error
        self._cleanup.enter_context(self._way_in)
        while not self.is_healthy():
            if time.monotonic() - began > ATTEMPTS * BOOT_SECONDS:
                raise RuntimeError(f"the parent is not healthy: {self.console('parent')[-2000:]}")
            time.sleep(0.2)
        self.boot_seconds = time.monotonic() - began

    def _spawn_enclave(self) -> None:
        before = self._host.processes[ENCLAVE]
        self._host.console.write_bytes(b"")
        command = list(before.args)
        command[command.index("-kernel") + 1] = self._image
        signing = {**os.environ, "QEMU_NSM_PKI": str(self._folder / "pki")}
        self._host.spawn(command, "enclave.qemu.log", signing)
        self._host.processes[ENCLAVE] = self._host.processes.pop()


def _library(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location("nitro_host", path)
    if spec is None or spec.loader is None:
        raise RuntimeError(f"{path} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
