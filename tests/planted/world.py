"""The system with every outlet kept: two workers, one enclave that plays scripts, one that is absent, gunicorn.

Outlets are files in one folder, by name (`World.records`): what each process wrote, pages, answers, spans, numbers,
the archive, temporary files, what nitro-cli was told, command lines. Relays run here and write nothing.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from app.config import SERVICES
from devstack.handlers import HANDLERS
from devstack.processes import family
from devstack.relay import Relay
from devstack.tls_pki import Authority
from devstack.upstream import Handler, UpstreamServer
from devstack.worker import ROOTS, relay_path, socket_path
from policy import manifest
from tests.fake_enclave import PING, PONG, FakeEnclave, Peer, wait_until
from tests.gate_kit import token_toml
from tests.otlp_collector import Collector, collector
from tests.parent import CHECKOUT, Answer, Gunicorn
from tests.planted import upstream
from tests.planted.application import SCRIPTED, VAULT, VIES
from tests.planted.upstream import Upstream

PAGES = ("/", "/metrics", "/status", "/health", "/livez", "/readyz", "/routes", "/openapi.json", "/log/head")
NITRO_CLI = """#!/bin/sh
{ echo "$0 $*"; env; cat; } >> "%s"
echo "[]"
"""
LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"


def fresh_hex() -> str:
    """Return a secret of 32 hexadecimal digits."""
    return secrets.token_hex(16)


def fresh(size: int = 32) -> str:
    """Return a secret that every grammar here takes."""
    return secrets.choice(LETTERS[:20]) + "".join(secrets.choice(LETTERS) for _ in range(size - 1))


@dataclass
class World:
    """A running system; use `with`. `settings` are secrets in the parent's settings, by name."""

    folder: Path
    settings: Mapping[str, str] = field(
        default_factory=lambda: {name: fresh() for name in ("token", "slow token", "collector header", "environment")}
    )

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as started:
            self._start(started)
            self._cleanup = started.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._cleanup.close()

    @property
    def pids(self) -> list[int]:
        """Every process of the parent and the workers."""
        return [*family(self.gunicorn.process.pid), *(worker.pid for worker in self._workers)]

    def _start(self, started: contextlib.ExitStack) -> None:
        for name in ("services", "tmp", "numbers", "bin", "answers", "pages"):
            (self.folder / name).mkdir()
        (self.folder / "services" / f"{VAULT}.toml").write_bytes(upstream.manifest(VAULT))
        self.certificate = fresh()
        self.vault, self.scripted = Upstream(), Scripted()
        self._upstreams(started)
        self._workers = [self._worker(started, VAULT), self._worker(started, VIES)]
        started.enter_context(FakeEnclave(socket_path(self.folder, SCRIPTED), self.scripted))
        self.collected: Collector = started.enter_context(collector())
        self.gunicorn = started.enter_context(self._gunicorn())
        wait_until(lambda: self._is_up, seconds=30)

    def _upstreams(self, started: contextlib.ExitStack) -> None:
        authority = Authority()
        (self.folder / ROOTS).write_text(authority.roots_pem, encoding="ascii")
        vies = manifest.load((SERVICES / "vies.toml").read_bytes())
        vault = manifest.load(upstream.manifest(VAULT))
        misnamer = upstream.Misnamer(authority, self.certificate)
        served: list[tuple[dict[str, Handler], Authority | upstream.Misnamer]] = [
            ({upstream.HOST: self.vault, **{host: HANDLERS[host]() for host in vies.hosts}}, authority),
            ({upstream.MISNAMED_HOST: self.vault}, misnamer),
        ]
        for handlers, issuer in served:
            server = started.enter_context(UpstreamServer(handlers, authority=issuer))
            for each in (*vault.upstreams, *vies.upstreams):
                if each.host in handlers:
                    started.enter_context(Relay(server.address, listen=self._relay_of(each)))

    def _relay_of(self, each: manifest.Upstream) -> Path:
        return relay_path(self.folder, each)

    def _worker(self, started: contextlib.ExitStack, name: str) -> subprocess.Popen[bytes]:
        folder = self.folder / "services" if name == VAULT else SERVICES
        command = [sys.executable, "-m", "devstack.worker", str(folder / f"{name}.toml"), str(self.folder)]
        with (self.folder / f"worker {name}.log").open("wb") as output:
            worker = subprocess.Popen(command, cwd=CHECKOUT, stdout=output, stderr=output, env=self._environ())
        started.callback(worker.wait)
        started.callback(worker.terminate)
        wait_until(lambda: socket_path(self.folder, name).exists(), seconds=30)
        return worker

    def _environ(self) -> dict[str, str]:
        return {
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "TMPDIR": str(self.folder / "tmp"),
            "PYTHONPATH": str(CHECKOUT),
        }

    def _gunicorn(self) -> Gunicorn:
        stub = self.folder / "bin" / "nitro-cli"
        stub.write_text(NITRO_CLI % (self.folder / "nitro-cli.log"))
        stub.chmod(0o755)
        main = token_toml("main", self.settings["token"], 'scopes = ["fetch", "metrics", "archive"]')
        slow = token_toml("slow", self.settings["slow token"], "rate = 0.001\nburst = 1")
        (self.folder / "tokens.toml").write_text(main + slow)
        environ = self._environ() | {
            "PROMETHEUS_MULTIPROC_DIR": str(self.folder / "numbers"),
            "TOKENS_FILE": str(self.folder / "tokens.toml"),
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.collected.url,
            "OTEL_EXPORTER_OTLP_HEADERS": f"authorization={self.settings['collector header']}",
            "OTEL_BSP_SCHEDULE_DELAY": "200",
            "SOME_PASSWORD": self.settings["environment"],
            "TRUSTED_PROXIES": "127.0.0.1",
            "SICAE_CONCURRENT": "1",
        }
        application = f"tests.planted.application:create('{self.folder}')"
        log = self.folder / "parent.log"
        return Gunicorn(self.folder / VIES, log, application=application, environ=environ, workers=2)

    @property
    def _is_up(self) -> bool:
        answer = self.get("/health", needs=False)
        return (
            answer is not None and answer.status in (200, 503) and b'"healthy":true' in answer.data.replace(b" ", b"")
        )

    def get(self, path: str, *, needs: bool = True) -> Answer | None:
        """Return the answer to a GET of the main caller's; None where there is none and `needs` is False."""
        connection = self.gunicorn.connect()
        try:
            connection.request("GET", path, headers={"Authorization": f"Bearer {self.settings['token']}"})
            return Answer(connection.getresponse())
        except OSError:
            if needs:
                raise
            return None
        finally:
            connection.close()

    def rest(self) -> None:
        """Wait until what is written a moment later is written: spans, the archive's group, a look of nitro-cli."""
        time.sleep(1.5)

    def look(self) -> None:
        """Keep what can be asked for or read now."""
        for page in PAGES:
            answer = self.get(page)
            if answer is not None:
                (self.folder / "pages" / page.replace("/", "_")).write_bytes(str(answer.headers).encode() + answer.data)
        (self.folder / "spans").write_bytes(b"\n".join(self.collected.bodies))
        with (self.folder / "command lines").open("wb") as file:
            for pid in self.pids:
                file.write(b"".join(Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "comm")))

    def records(self) -> dict[str, Path]:
        """Return every outlet by name, its kind before any slash."""
        kinds = {
            "parent's log": "parent.log", "worker's log": "worker *.log", "nitro-cli": "nitro-cli.log",
            "pages": "pages/*", "spans": "spans", "numbers": "numbers/*", "temporary files": "tmp/**/*",
            "state": "state/**/*", "archive": "archive.db*", "command lines": "command lines", "answers": "answers/*",
        }  # fmt: skip
        return {
            f"{kind}/{path.relative_to(self.folder)}": path
            for kind, pattern in kinds.items()
            for path in self.folder.glob(pattern)
            if path.is_file()
        }


class Scripted:
    """An enclave that answers a call as the path of its URL says, with `said`."""

    def __init__(self) -> None:
        self.said = ""
        self.hanging = threading.Semaphore(0)  # one for each call that is under way and will not be answered

    def __call__(self, peer: Peer) -> None:
        while (payload := peer.read()) is not None:
            if payload == PING:
                peer.reply(PONG)
                continue
            said = self.said.encode()
            if b"/hangs" in payload:
                self.hanging.release()
                continue
            if b"/no-json" in payload:
                peer.reply(b'{"success": ' + said)
            elif b"/no-object" in payload:
                peer.reply(b'["' + said + b'"]')
            elif b"/no-report" in payload:
                peer.reply(b'{"type":"report","' + said + b'":1}')
            elif b"/no-frame" in payload:
                peer.send(b"\xff\xff\xff\xff" + said)
            else:
                return
