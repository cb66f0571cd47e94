"""`GET /livez`, `/readyz`, `/health` and `/routes`: what this parent serves, and whether its enclaves answer.

What is shown was found out in the background (`app/monitor.py`) and has its age beside it; a request waits for a ping
only where there is none of late, and for `nitro-cli` never.
"""

import time
from typing import Any

from flask import Blueprint, Response, jsonify

from app.enclave import Enclave
from app.fleet import Fleet
from app.monitor import Monitor
from app.nitro_cli import Running
from app.router import Router

RUNNING = "RUNNING"
MAX_DESCRIBED_SECONDS = 60.0  # what nitro-cli said longer ago says nothing any more


def blueprint(router: Router, monitor: Monitor) -> Blueprint:
    """Return the routes of this module."""
    routes = Blueprint("health", __name__)

    @routes.get("/livez")
    def livez() -> Response:
        return jsonify(alive=True)

    @routes.get("/readyz")
    def readyz() -> Response:
        monitor.look()
        missing = [fleet.service.name for fleet in router.fleets if not _is_ready(fleet, monitor)]
        ready = not missing and not monitor.stopping
        return _answer(ready, ready=ready, stopping=monitor.stopping, missing=missing)

    @routes.get("/health")
    def health() -> Response:
        monitor.look()
        enclaves = [condition(enclave, monitor) for enclave in router.enclaves]
        healthy = all(any(_is_healthy(each, monitor) for each in fleet.enclaves) for fleet in router.fleets)
        degraded = any(not enclave["healthy"] and not enclave["draining"] for enclave in enclaves)
        return _answer(
            healthy, healthy=healthy, degraded=degraded, enclaves=enclaves, timestamp=round(time.time() * 1000)
        )

    @routes.get("/routes")
    def list_routes() -> Response:
        return jsonify(
            routes=[
                {"cid": enclave.cid, "port": enclave.service.port, "hosts": enclave.service.hosts}
                for enclave in router.enclaves
            ]
        )

    return routes


def _answer(well: bool, **fields: Any) -> Response:
    response = jsonify(**fields)
    response.status_code = 200 if well else 503
    return response


def _is_ready(fleet: Fleet, monitor: Monitor) -> bool:
    return any(_is_healthy(enclave, monitor) and not enclave.draining for enclave in fleet.enclaves)


def _is_healthy(enclave: Enclave, monitor: Monitor) -> bool:
    """Whether it answers, can attest, and is not known to be on its way up or down."""
    described = _described(enclave, monitor)
    fit = enclave.seen is not None and enclave.seen.fit
    return fit and (described is None or described.state == RUNNING)


def condition(enclave: Enclave, monitor: Monitor) -> dict[str, Any]:
    """Return what is known of one enclave: the predecessor's fields, then ours."""
    seen, described, now = enclave.seen, _described(enclave, monitor), time.monotonic()
    pong = None if seen is None else seen.pong
    return {
        "service": enclave.service.name,
        "cid": enclave.cid,
        "hosts": enclave.service.hosts,
        "state": _state(enclave, monitor),
        "connectivity": "unresponsive" if pong is None else "responsive",
        "healthy": _is_healthy(enclave, monitor),
        "stateAgeMs": None if monitor.described is None else _ms(now - monitor.described.at),
        "debug": None if described is None else described.debug,
        "pingMs": None if seen is None else seen.took_ms,
        "pingAgeMs": None if seen is None else _ms(now - seen.at),
        "boot": None if pong is None else pong.boot,
        "nsm": "unknown" if seen is None else seen.nsm,
        "nsmAgeMs": None if seen is None else seen.nsm_age_ms,
        "rightService": seen is None or seen.right_service,
        "ejected": enclave.ejected,
        "draining": enclave.draining,
        "inFlight": enclave.in_flight,
        "idleConnections": enclave.pool.idle,
    }


def _state(enclave: Enclave, monitor: Monitor) -> str:
    """What nitro-cli says; where it says nothing of this enclave, or nothing at all, what can be told from a ping."""
    described = _described(enclave, monitor)
    if described is not None:
        return described.state
    if enclave.seen is not None and enclave.seen.pong is not None:
        return RUNNING
    return "NOT_FOUND" if _listed(monitor) is not None else "UNREACHABLE"


def _described(enclave: Enclave, monitor: Monitor) -> Running | None:
    return next((running for running in _listed(monitor) or () if running.cid == enclave.cid), None)


def _listed(monitor: Monitor) -> tuple[Running, ...] | None:
    described = monitor.described
    if described is None or time.monotonic() - described.at > MAX_DESCRIBED_SECONDS:
        return None
    return described.enclaves


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
