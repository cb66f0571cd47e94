"""Builds the Flask application. Nothing happens at import time."""

from __future__ import annotations

import os
from random import getrandbits
from typing import TYPE_CHECKING
from uuid import UUID

from flask import Flask, Response

from app import description, errors, fetch, health, identity, query, sealed
from app.application import Application, here
from app.config import MAX_REQUEST_BYTES, Config, from_environment
from app.gate import Gate
from app.log import Log
from app.metrics import exposition, files, parts
from app.metrics.meters import Meters
from app.monitor import Monitor
from app.prefork import FAMILY
from app.relay import Courier
from app.router import Router
from app.state import StateFolder
from app.status import routes as status
from app.status.recent import Recent
from app.tracing import choice
from app.watch import Watch

if TYPE_CHECKING:
    from app.archive.archive import Archive

_UUID_4 = UUID(int=0, version=4).int  # the bits that say so
_UUID_RANDOM = UUID(int=2**128 - 1, version=4).int ^ _UUID_4  # the others


def create_app(config: Config | None = None, *, log: Log | None = None) -> Flask:
    """Return the parent as a WSGI application; without `config`, with the environment's settings.

    Raises:
        ConfigError, ManifestError, ValueError: the settings cannot be used.
    """
    settings = config or from_environment(os.environ, callers=FAMILY.callers)
    chosen_log = log or Log()
    router = Router(settings)
    state = StateFolder(settings.state) if settings.state is not None else None
    monitor = Monitor(router.fleets, state=state, log=chosen_log)
    archive = _archive(settings, chosen_log)
    app = Application(__name__)
    app.config["MAX_CONTENT_LENGTH"] = 2 * MAX_REQUEST_BYTES  # read at all; what is accepted: body.read
    app.json.sort_keys = False  # type: ignore[attr-defined]  # Flask types the provider by its abstract base
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False  # //attest/fetch is an unknown path, not a redirect that drops the body
    app.before_request(_name_request)
    recent = Recent()
    meters = _watch(app, settings, chosen_log, recent)
    capacities = {each.name: settings.connections * len(settings.places(each)) for each in settings.manifests}
    max_body = app.config["MAX_CONTENT_LENGTH"]
    gate = Gate(settings.admission, FAMILY.process(), capacities=capacities, max_body_bytes=max_body)
    gate.install(app)
    parts.show_enclaves(meters.numbers, router.enclaves)
    parts.show_gate(meters.numbers, gate)
    app.after_request(_label_response)
    app.extensions["archive"] = archive
    app.extensions["router"] = router  # for whoever embeds the application and wants to close its connections
    app.extensions["monitor"] = monitor  # started in each process by gunicorn_conf.py, or by the first look at it
    errors.install(app, chosen_log)
    courier = Courier(gate=gate, log=chosen_log, timeout_ms=settings.timeout_ms, archive=archive)
    for each in (fetch, query, sealed, identity):
        app.register_blueprint(each.blueprint(router, courier))
    app.register_blueprint(health.blueprint(router, monitor))
    app.register_blueprint(exposition.blueprint(meters))
    app.register_blueprint(description.blueprint())
    app.register_blueprint(status.blueprint(settings, router, monitor, meters, recent))
    if archive is not None:
        parts.show_archive(meters.numbers, archive)
        app.register_blueprint(archive.routes())
    return app


def _watch(app: Flask, settings: Config, log: Log, recent: Recent) -> Meters:
    """Watch every request of `app`: for the metrics that this returns, and for traces where they are wanted."""
    names = [service.name for service in settings.manifests]
    meters = Meters(names, build=settings.build, log=log, folder=files.shared(os.environ))
    tracer = choice.tracer(settings, log)
    Watch(meters, tracer, recent).install(app)
    app.extensions["numbers"] = meters.numbers  # started in each process by gunicorn_conf.py
    app.extensions["tracer"] = tracer
    return meters


def _archive(settings: Config, log: Log) -> Archive | None:
    if settings.archive is None:
        return None
    from app.archive.opening import open_archive  # noqa: PLC0415  SQLAlchemy is loaded where it is used

    return open_archive(settings.archive, log)


def _name_request() -> None:
    here().request_id = _uuid4()


def _uuid4() -> str:
    """Return a random UUID (RFC 9562) as text. A name and no secret, so it needs no system call."""
    digits = f"{getrandbits(128) & _UUID_RANDOM | _UUID_4:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _label_response(response: Response) -> Response:
    response.headers.add("X-Request-Id", here().request_id)
    response.headers.add("Cache-Control", "no-store")
    response.headers.add("X-Content-Type-Options", "nosniff")
    return response
