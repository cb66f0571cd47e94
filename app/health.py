"""`GET /health` and `GET /routes`: what this parent serves, and whether its enclaves answer."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from flask import Blueprint, Response, jsonify

from app.pool import is_pong
from app.router import Enclave, Router
from wire.errors import WireError

PING_SECONDS = 2.0  # the predecessor's


def blueprint(router: Router) -> Blueprint:
    """Return the routes of this module."""
    routes = Blueprint("health", __name__)

    @routes.get("/health")
    def health() -> Response:
        with ThreadPoolExecutor(max_workers=len(router.enclaves)) as threads:
            enclaves = list(threads.map(_condition, router.enclaves))
        healthy = all(enclave["healthy"] for enclave in enclaves)
        response = jsonify(healthy=healthy, enclaves=enclaves, timestamp=round(time.time() * 1000))
        response.status_code = 200 if healthy else 503
        return response

    @routes.get("/routes")
    def list_routes() -> Response:
        return jsonify(
            routes=[
                {"cid": enclave.cid, "port": enclave.service.port, "hosts": enclave.hosts}
                for enclave in router.enclaves
            ]
        )

    return routes


def _condition(enclave: Enclave) -> dict[str, Any]:
    """Return one enclave's state, found by a ping. `state` is what can be told from here: RUNNING or UNREACHABLE."""
    try:
        responsive = is_pong(enclave.pool.ping(deadline=time.monotonic() + PING_SECONDS))
    except WireError:
        responsive = False
    return {
        "service": enclave.service.name,
        "cid": enclave.cid,
        "hosts": enclave.hosts,
        "state": "RUNNING" if responsive else "UNREACHABLE",
        "connectivity": "responsive" if responsive else "unresponsive",
        "healthy": responsive,
    }
