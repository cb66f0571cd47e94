"""The stack with a tap on every way through the parent's machine, and dumps of its memory.

client -> TAP "http" -> gunicorn -> TAP "frames" -> worker -> TAP "proxy" -> relay -> upstream
"""

from __future__ import annotations

import contextlib
import secrets
from pathlib import Path
from types import TracebackType
from typing import Self

from devstack.processes import family
from devstack.stack import Stack
from devstack.upstream import Handler
from devstack.worker import relay_path, socket_path
from tests.recording import memory
from tests.recording.tap import Tap
from tests.recording.vault import HOST, manifest


class RecordingHost:
    """Runs the vault's service and records into `folder`; use `with`. `url` is where clients reach the parent.

    The service's name is made anew for each host. The parent must know it, so it is found in every record that works.
    """

    def __init__(self, folder: Path, handler: Handler) -> None:
        self._folder = folder
        self._seen: set[bytes] = set()
        self.service = f"vault-a{secrets.token_hex(8)}"
        (folder / "services").mkdir()
        (folder / "services" / f"{self.service}.toml").write_bytes(manifest(self.service))
        self.stack = Stack(
            self.service,
            handlers={HOST: handler},
            services=folder / "services",
            parent_output=folder / "log",
        )
        self._cleanup = contextlib.ExitStack()
        self.url = ""

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as started:
            started.enter_context(self.stack)
            stack = self.stack
            self._tap(started, "frames", socket_path(stack.folder, self.service))
            for upstream in stack.manifest.upstreams:
                self._tap(started, "proxy", relay_path(stack.folder, upstream))
            port = int(stack.url.rpartition(":")[2])
            http = started.enter_context(Tap(("127.0.0.1", port), self._folder / "http"))
            self.url = f"http://127.0.0.1:{http.port}"
            self._cleanup = started.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cleanup.close()

    @property
    def pids(self) -> list[int]:
        """Every process of the parent."""
        return family(self.stack.parent_pid)

    def dump(self, name: str) -> int:
        """Record what is in the parent's memory now, as `memory/NAME`; return how many bytes that is.

        What an earlier dump of this host has is not recorded again.
        """
        with (self._folder / f"memory {name}").open("wb") as file:
            return memory.dump(self.pids, file, seen=self._seen)

    def records(self) -> dict[str, Path]:
        """Return every record by name, its kind before any slash: http, frames, proxy, log, memory."""
        named = {"log": self._folder / "log"}
        named |= {path.name.replace(" ", "/", 1): path for path in self._folder.glob("memory *")}
        for wire in ("http", "frames", "proxy"):
            named |= {f"{wire}/{path.name}": path for path in (self._folder / wire).iterdir()}
        return named

    def _tap(self, started: contextlib.ExitStack, name: str, path: Path) -> None:
        """Take the place of whoever listens at `path`, who is moved aside."""
        aside = path.with_suffix(".aside")
        path.rename(aside)
        started.enter_context(Tap(aside, self._folder / name, listen=path))
