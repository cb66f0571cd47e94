"""The parent under test: as a Flask test client, and as a gunicorn process with the shipped settings."""

from __future__ import annotations

import http.client
import io
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app import create_app
from app.admission import Admission
from app.archive.settings import ArchiveSettings
from app.config import SERVICES, Config
from app.log import Log
from policy import manifest
from policy.manifest import Manifest
from wire.addresses import Address, UnixAddress

CHECKOUT = Path(__file__).parent.parent
VIES = manifest.load((SERVICES / "vies.toml").read_bytes())
URL = "https://ec.europa.eu/x"
LEAST = {"url": URL, "method": "GET"}


def service_toml(name: str, *, cid: int, host: str) -> str:
    return f"""
        name = "{name}"
        cid = {cid}
        port = 5000
        ecr_tag = "{name}"
        pcr0_parameter = "/tytle/{{env}}/enclave/{name}/pcr0"
        [[upstreams]]
        host = "{host}"
        proxy_port = 8450
        tls = true
        [[upstreams.rules]]
        method = "GET"
        path = "/"
        max_response_bytes = 1024
        """


def service(name: str, *, cid: int, host: str) -> Manifest:
    """Return a second service for tests that need two."""
    return manifest.load(service_toml(name, cid=cid, host=host).encode())


@contextmanager
def parent(
    address: Address,
    *,
    log: io.StringIO | None = None,
    connections: int = 4,
    timeout_ms: int = 5_000,
    admission: Admission | None = None,
) -> Iterator[FlaskClient]:
    """Serve the VIES service, whose enclave listens at `address`."""
    config = Config(
        manifests=(VIES,),
        addresses={VIES.name: (address,)},
        connections=connections,
        timeout_ms=timeout_ms,
        admission=admission or Admission(),
    )
    with serving(config, log=log) as app:
        yield app.test_client()


@contextmanager
def serving(config: Config, *, log: io.StringIO | None = None) -> Iterator[Flask]:
    app = create_app(config, log=Log(stream=log if log is not None else io.StringIO()))
    try:
        yield app
    finally:
        app.extensions["monitor"].close()
        app.extensions["router"].close()
        app.extensions["tracer"].close()
        if app.extensions["archive"] is not None:
            app.extensions["archive"].close()


def create(path: str, archive: str = "") -> Flask:
    """Return the application for `Gunicorn`: the VIES service with its enclave on a unix socket."""
    tracing = "OTEL_EXPORTER_OTLP_ENDPOINT" in os.environ
    settings = ArchiveSettings(url=archive) if archive else None
    addresses = {VIES.name: (UnixAddress(path=path),)}
    return create_app(Config(manifests=(VIES,), addresses=addresses, archive=settings, tracing=tracing))


def json_of(response: TestResponse) -> Any:
    """Return the JSON of an answer, whatever its Content-Type says."""
    return json.loads(response.data)


class Gunicorn:
    """A gunicorn process with app/gunicorn_conf.py, on a free loopback port. `archive` is a database's URL.

    `application` is another than `create(enclave, archive)`; `environ` are further settings.
    """

    def __init__(
        self,
        enclave: Path,
        log: Path,
        *,
        archive: str = "",
        workers: int = 1,
        application: str = "",
        environ: dict[str, str] | None = None,
    ) -> None:
        self.log = log
        with socket.create_server(("127.0.0.1", 0)) as listener, log.open("wb") as output:
            self.port: int = listener.getsockname()[1]
            descriptor = listener.fileno()
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "gunicorn",
                    "--config",
                    "app/gunicorn_conf.py",
                    application or f"tests.parent:create('{enclave}', '{archive}')",
                ],
                cwd=CHECKOUT,
                env={**os.environ, "BIND": f"fd://{descriptor}", "WEB_WORKERS": str(workers), **(environ or {})},
                pass_fds=[descriptor],
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def connect(self, *, timeout: float = 20.0) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def post(self, body: bytes, *, path: str = "/attest/fetch", content_type: str = "application/json") -> Answer:
        connection = self.connect()
        try:
            connection.request("POST", path, body, {"Content-Type": content_type})
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def exchange(self, data: bytes) -> bytes:
        """Send these bytes as they are and return all that comes back until the connection ends."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as sock:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: sock.recv(65536), b""))

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def __enter__(self) -> Gunicorn:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Answer:
    """What an HTTP server said."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self.data = response.read()

    @property
    def json(self) -> Any:
        return json.loads(self.data)
