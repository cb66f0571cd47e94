"""The one call that is measured: a VAT number looked up at VIES over REST, as `make run` does it."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench.caller import http_request
from devstack.__main__ import lookup
from wire import frames, hops
from wire.hops import Hop

CALL: dict[str, Any] = lookup("PT", "507172230")
HOST: str = urlsplit(CALL["url"]).netloc
PATH: str = urlsplit(CALL["url"]).path


def write_call(folder: Path) -> Path:
    """Write the call as JSON; return the file."""
    path = folder / "call.json"
    path.write_text(json.dumps(CALL), encoding="utf-8")
    return path


def write_request(folder: Path, mode: str = "document") -> Path:
    """Write the HTTP request that carries the call to the parent and to the peers; return the file."""
    path = folder / f"request-{mode}.http"
    path.write_bytes(http_request("/attest/fetch", json.dumps({**CALL, "mode": mode}).encode()))
    return path


def write_frame(folder: Path, mode: str) -> Path:
    """Write the frame that carries the call to a worker, as our parent sends it; return the file."""
    path = folder / f"request-{mode}.frame"
    path.write_bytes(frames.encode(hops.attach(json.dumps({**CALL, "mode": mode}).encode(), Hop(report=True))))
    return path
