"""A booted image: real kernel, /dev/nsm and vsock in the emulated host, a test root under its documents."""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from devstack import nitro
from devstack.relay import GuestPort, connect
from eif.init import HEARTBEAT, HEARTBEAT_PORT, PARENT_CID
from wire import frames, sockets

MODULE_ID = "i-0123456789abcdef0-enc0123456789abcdef"
BOOT_SECONDS = 240.0  # three attempts of a minute each: the emulation hangs at times
CALL_SECONDS = 60.0


class Enclave:
    """A booted image; use `with`. `ports` says where on this machine each port of CID 3 leads: (host, port).

    Raises RuntimeError when it does not come up; the console is in the message.
    """

    def __init__(self, image: Path, folder: Path, *, ports: Mapping[int, tuple[str, int]], port: int = 5000) -> None:
        self._image, self._folder, self._ports, self._port = image, folder, dict(ports), port
        self._cleanup = contextlib.ExitStack()
        self.heartbeat = Heartbeat()
        self.boot_seconds = 0.0

    @property
    def console(self) -> str:
        """What kernel, init and worker have written so far."""
        return (self._folder / "run" / "enclave.console").read_text(errors="replace")

    @property
    def root_pem(self) -> Path:
        """The root that signs this host's documents."""
        return self._folder / "pki" / "root.pem"

    def connect(self, port: int | None = None) -> socket.socket:
        """Return a connection to the worker's vsock port, or to another one.

        Raises ConnectionRefusedError: nobody listens there.
        """
        chosen = self._port if port is None else port
        return connect(GuestPort(path=self._folder / "run" / "enclave.vsock", port=chosen), timeout=CALL_SECONDS)

    def ask(self, message: Mapping[str, object]) -> dict[str, Any]:
        """Send one message on a new connection and return the reply."""
        answer: dict[str, Any] = json.loads(self.exchange(json.dumps(message).encode()))
        return answer

    def exchange(self, payload: bytes) -> bytes:
        """Send one frame on a new connection; return the reply's payload, empty where the worker turned it away."""
        deadline = time.monotonic() + CALL_SECONDS
        with self.connect() as sock:
            sockets.send(sock, frames.encode(payload), deadline=deadline)
            return sockets.receive_frame(sock, frames.Decoder(), deadline=deadline) or b""

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

    def _start(self) -> None:
        host = nitro.emulator()
        if host is None:
            raise RuntimeError("the emulated Nitro host is not here: set $NITRO_QEMU")
        self._folder.mkdir(parents=True, exist_ok=True)
        host = nitro.as_parent(host, self._folder / "host")
        pki = (sys.executable, str(host / "make_pki.py"), str(self._folder / "pki"), "--module-id", MODULE_ID)
        subprocess.run(pki, check=True, capture_output=True)
        self._cleanup.enter_context(self.heartbeat)
        began = time.monotonic()
        process = subprocess.Popen(self._command(host), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self._cleanup.callback(_stop_switch, host / "bin" / "vsockd.py")
        self._cleanup.callback(_stop, process)
        self._wait(process)
        self.boot_seconds = time.monotonic() - began

    def _command(self, host: Path) -> list[str]:
        command = [sys.executable, "-u", str(host / "nitro_host.py"), "--eif", str(self._image)]
        command += ["--pki", str(self._folder / "pki"), "--run-dir", str(self._folder / "run")]
        for port, (name, target) in {**self._ports, HEARTBEAT_PORT: self.heartbeat.address}.items():
            command += ["--host", f"{PARENT_CID}:{port}=tcp:{name}:{target}"]
        return command

    def _wait(self, process: "subprocess.Popen[str]") -> None:
        if process.stdout is None or not select.select([process.stdout], [], [], BOOT_SECONDS)[0]:
            raise RuntimeError(f"not up after {BOOT_SECONDS} s: {self.console[-2000:]}")
        if not process.stdout.readline().startswith("up:"):
            raise RuntimeError(f"the enclave ended: {self.console[-2000:]}")


class Heartbeat:
    """nitro-cli's side of the boot protocol: sends the byte back. `seen` counts heartbeats."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, name="heartbeat", daemon=True)
        self.seen = 0

    @property
    def address(self) -> tuple[str, int]:
        """Loopback host and port."""
        host, port = self._listener.getsockname()
        return str(host), int(port)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):  # the listener was shut down
            while True:
                sock, _ = self._listener.accept()
                with sock:
                    beat = sock.recv(1)
                    self.seen += beat == HEARTBEAT
                    sock.sendall(beat)


def _stop(process: "subprocess.Popen[str]") -> None:
    """End the emulated host; SIGTERM lets it end its own children."""
    process.send_signal(signal.SIGTERM)
    process.communicate()


def _stop_switch(program: Path) -> None:
    """End the emulated host's switch: the host leaves it behind when an enclave ends by itself during boot.

    `program` lies in this enclave's own folder, so that nobody else's switch is meant.
    """
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):  # a process that has ended by now
            if entry.name.isdigit() and str(program).encode() in (entry / "cmdline").read_bytes().split(b"\0"):
                os.kill(int(entry.name), signal.SIGTERM)
