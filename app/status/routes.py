"""`GET /`, a page for people, and `GET /status`, what it shows.

The page is one file without anything of this parent in it, so that it needs no caller; /status does, with the
scope of /metrics.
"""

import base64
import hashlib
import os
import re
import time
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, jsonify

from app.config import Config
from app.enclave import Enclave
from app.fleet import Fleet
from app.health import condition
from app.metrics.meters import Meters
from app.monitor import Monitor
from app.router import Router
from app.status.claims import Claim, Claims
from app.status.recent import Recent
from app.status.releases import NONE, Release, Releases

PAGE = Path(__file__).with_name("page.html")


def policy(page: str) -> str:
    """Return the Content-Security-Policy under which a page runs its own script and style, and asks us alone."""
    hashes = {
        tag: " ".join(map(_hash, re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL))) for tag in ("script", "style")
    }
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {hashes['script']}",
            f"style-src {hashes['style']}",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )


def blueprint(settings: Config, router: Router, monitor: Monitor, meters: Meters, recent: Recent) -> Blueprint:
    """Return the routes of this module."""
    routes = Blueprint("status", __name__)
    claims = Claims(router.enclaves)
    page = PAGE.read_text(encoding="utf-8")
    headers = {"Content-Security-Policy": policy(page), "Referrer-Policy": "no-referrer"}

    @routes.get("/")
    def show() -> Response:
        return Response(page, headers=headers, content_type="text/html; charset=utf-8")

    @routes.get("/status")
    def status() -> Response:
        monitor.look()
        return jsonify(
            timestamp=round(time.time() * 1000),
            source=settings.source,
            services=[
                _service(fleet, monitor, claims, settings.releases.get(fleet.service.name, NONE))
                for fleet in router.fleets
            ],
            outcomes=[
                {"service": service, "route": route, "outcome": outcome, "count": count}
                for (service, route, outcome), count in meters.questions()
            ],
            recent=_recent(recent),
        )

    return routes


def _service(fleet: Fleet, monitor: Monitor, claims: Claims, releases: Releases) -> dict[str, Any]:
    return {
        "name": fleet.service.name,
        "hosts": fleet.service.hosts,
        "releases": [_release(each) for each in releases.listed],
        "releasesProblem": releases.problem,
        "enclaves": [_enclave(enclave, monitor, claims) for enclave in fleet.enclaves],
    }


def _release(release: Release) -> dict[str, Any]:
    return {"commit": release.commit, "pcrs": release.pcrs, "revoked": release.revoked}


def _enclave(enclave: Enclave, monitor: Monitor, claims: Claims) -> dict[str, Any]:
    return {**condition(enclave, monitor), "claimed": _claim(claims.of(enclave))}


def _claim(claim: Claim | None) -> dict[str, Any] | None:
    if claim is None:
        return None
    return {"pcrs": claim.pcrs, "boot": claim.boot, "ageMs": round((time.monotonic() - claim.at) * 1000)}


def _recent(recent: Recent) -> dict[str, Any]:
    questions = [
        {
            "time": round(question.at * 1000),
            "service": question.service,
            "route": question.route,
            "outcome": question.outcome,
            "ms": round(question.seconds * 1000),
        }
        for question in recent.newest_first()
    ]
    return {"process": os.getpid(), "questions": questions}


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
