"""The one call that is measured: a VAT number looked up at VIES over REST, as `make run` does it."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from devstack.__main__ import lookup

CALL: dict[str, Any] = lookup("PT", "507172230")
HOST: str = urlsplit(CALL["url"]).netloc
PATH: str = urlsplit(CALL["url"]).path


def write_call(folder: Path) -> Path:
    """Write the call as JSON; return the file."""
    path = folder / "call.json"
    path.write_text(json.dumps(CALL), encoding="utf-8")
    return path


def write_request(folder: Path) -> Path:
    """Write the HTTP request that carries the call to the parent and to the peers; return the file."""
    body = json.dumps(CALL).encode()
    head = "POST /attest/fetch HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    path = folder / "request.http"
    path.write_bytes(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    return path
