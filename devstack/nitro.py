"""An enclave image in an emulated Nitro host: the real kernel, /dev/nsm and vsock, a test root under its documents.

The host is no part of this project: `emulator` says where it lies. This machine plays the parent, CID 3.
`with_roots` makes the test image: the production image plus one ramdisk with one file, so that kernel, init, code and
policy are the very bytes of production, and PCR1 is production's. No image can be told to trust another root.
"""

import contextlib
import json
import os
import select
import shutil
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

import certifi

from devstack.relay import connect
from eif import cpio, layout, tree
from eif.build import join
from eif.init import HEARTBEAT, HEARTBEAT_PORT, PARENT_CID
from wire import frames, sockets

SHARED = Path(__file__).parent.parent.parent / "shared" / "nitro-qemu"
MODULE_ID = "i-0123456789abcdef0-enc0123456789abcdef"
ROOTS = "opt/tytle/packages/certifi/cacert.pem"  # what certifi.where() says inside the image
BOOT_SECONDS = 240.0  # three attempts of a minute each: the emulation hangs at times
CALL_SECONDS = 60.0


def emulator() -> Path | None:
    """Return the emulated host's folder: $NITRO_QEMU, or ../shared/nitro-qemu; None where it is absent."""
    folder = Path(os.environ.get("NITRO_QEMU") or SHARED)
    return folder.resolve() if (folder / "nitro_host.py").is_file() else None


def with_roots(image: bytes, roots_pem: str) -> bytes:
    """Return the test image: `image` that trusts `roots_pem` besides the public certificate authorities."""
    return with_file(image, ROOTS, Path(certifi.where()).read_bytes() + roots_pem.encode("ascii"))


def with_file(image: bytes, path: str, data: bytes) -> bytes:
    """Return `image` with a further ramdisk that puts one file in place; Linux unpacks ramdisks in order."""
    found = layout.read(image)
    ramdisk = cpio.archive(tree.files({path: (data, False)}))
    return join([*found.sections, layout.Section(kind=layout.Kind.RAMDISK, data=ramdisk)], arm64=found.arm64)


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

    def connect(self) -> socket.socket:
        """Return a connection to the worker's vsock port."""
        sock = connect(self._folder / "run" / "enclave.vsock", timeout=CALL_SECONDS)
        sock.sendall(b"CONNECT %d\n" % self._port)
        line = b""
        while not line.endswith(b"\n"):
            byte = sock.recv(1)
            if not byte:
                sock.close()
                raise ConnectionRefusedError(f"nobody listens on port {self._port}")
            line += byte
        return sock

    def ask(self, message: Mapping[str, object]) -> dict[str, Any]:
        """Send one frame on a new connection and return the reply."""
        with self.connect() as sock:
            deadline = time.monotonic() + CALL_SECONDS
            sockets.send(sock, frames.encode(json.dumps(message).encode()), deadline=deadline)
            payload = sockets.receive_frame(sock, frames.Decoder(), deadline=deadline)
        answer: dict[str, Any] = json.loads(payload or b"{}")
        return answer

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
        host = emulator()
        if host is None:
            raise RuntimeError("the emulated Nitro host is not here: set $NITRO_QEMU")
        self._folder.mkdir(parents=True, exist_ok=True)
        pki = [sys.executable, host / "make_pki.py", self._folder / "pki", "--module-id", MODULE_ID]
        subprocess.run(pki, check=True, capture_output=True)
        ports = {**self._ports, HEARTBEAT_PORT: self._cleanup.enter_context(self.heartbeat).address}
        host = _as_parent(host, self._folder / "host")
        command = [sys.executable, "-u", host / "nitro_host.py", "--eif", self._image, "--pki", self._folder / "pki"]
        command += ["--run-dir", self._folder / "run"]
        for port, (name, target) in ports.items():
            command += ["--host", f"{PARENT_CID}:{port}=tcp:{name}:{target}"]
        began = time.monotonic()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self._cleanup.callback(_stop, process)
        self._wait(process)
        self.boot_seconds = time.monotonic() - began

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


def _as_parent(host: Path, folder: Path) -> Path:
    """Return the emulated host with this machine's connections coming from CID 3, as a parent's do.

    The host's switch has them come from CID 2, and the worker turns away whoever is not CID 3.
    """
    folder.joinpath("bin").mkdir(parents=True)
    for name in ("kernel", "pc-bios", "bin/qemu-system-x86_64"):
        folder.joinpath(name).symlink_to(host / name)
    shutil.copy(host / "nitro_host.py", folder)
    switch = (host / "bin" / "vsockd.py").read_text(encoding="utf-8")
    if switch.count("Conn(s.g, 2, ") != 1:
        raise RuntimeError("this emulated host's switch is not the one this was written for")
    folder.joinpath("bin", "vsockd.py").write_text(switch.replace("Conn(s.g, 2, ", "Conn(s.g, 3, "), encoding="utf-8")
    return folder


def _stop(process: "subprocess.Popen[str]") -> None:
    """End the emulated host; SIGTERM lets it end its own children."""
    process.send_signal(signal.SIGTERM)
    process.communicate()
