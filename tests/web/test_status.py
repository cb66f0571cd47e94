"""The status page in a browser: what it shows of living and dead enclaves, and that it trusts no string."""

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from chromium import Browser
from flask import Flask, Response, request
from werkzeug.serving import make_server

from app.status.routes import PAGE, policy

HTML = PAGE.read_text(encoding="utf-8")
HOSTILE = "</script><img src=x onerror=document.title='run'>\u202e\"'&lt;"
BOOT = "ab" * 16
PCRS = {f"pcr{index}": f"{index}a" * 48 for index in (0, 1, 2)}
ENCLAVE = {
    "service": "vies", "cid": 16, "hosts": ["ec.europa.eu"], "state": "RUNNING", "connectivity": "responsive", "healthy": True,
    "stateAgeMs": None, "debug": None, "pingMs": 1, "pingAgeMs": 700, "boot": BOOT, "nsm": "fresh", "nsmAgeMs": 1500,
    "rightService": True, "ejected": False, "draining": False, "inFlight": 0, "idleConnections": 1,
    "claimed": {"pcrs": PCRS, "boot": BOOT, "ageMs": 5},
}  # fmt: skip
RELEASE = {"commit": "c0ffee" * 6 + "c0ff", "pcrs": PCRS, "revoked": False}


def said(*enclaves: dict[str, Any], **more: Any) -> dict[str, Any]:
    service = {
        "name": "vies",
        "hosts": ["ec.europa.eu"],
        "releases": [RELEASE],
        "releasesProblem": None,
        "enclaves": [*enclaves],
    }
    service |= more.pop("service", {})
    recent = {"process": 7, "questions": []}
    return {
        "timestamp": 1_767_225_600_000,
        "source": None,
        "services": [service],
        "outcomes": [],
        "recent": recent,
        **more,
    }


class Parent:
    """The page as the parent serves it, beside a /status that says what a test wants. `heard` are its Authorizations."""

    def __init__(self) -> None:
        self.status: dict[str, Any] = said(ENCLAVE)
        self.token: str | None = None
        self.heard: list[str | None] = []
        app = Flask(__name__)
        app.add_url_rule("/", "page", lambda: Response(HTML, headers={"Content-Security-Policy": policy(HTML)}))
        app.add_url_rule("/status", "status", self._say)
        app.add_url_rule("/favicon.ico", "icon", lambda: Response(status=204))
        self.server = make_server("127.0.0.1", 0, app, threaded=True)
        self.url = f"http://127.0.0.1:{self.server.port}/"

    def _say(self) -> Response:
        self.heard.append(request.headers.get("Authorization"))
        if self.token is not None and self.heard[-1] != f"Bearer {self.token}":
            return Response('{"success":false,"error":"no"}', status=401, content_type="application/json")
        return Response(json.dumps(self.status), content_type="application/json")


@pytest.fixture
def parent() -> Iterator[Parent]:
    parent = Parent()
    thread = threading.Thread(target=parent.server.serve_forever)
    thread.start()
    try:
        yield parent
    finally:
        parent.server.shutdown()
        thread.join()
        parent.server.server_close()


def opened(browser: Browser, url: str, *, for_text: str = "as of") -> str:
    """Open a page and return its text once it shows something."""
    browser.driver.get("about:blank")
    browser.console()
    browser.requests()
    browser.driver.get(url)
    return shown(browser, for_text)


def shown(browser: Browser, for_text: str) -> str:
    """Wait until the page shows a text, and return all that it shows."""
    wait = """
    const [wanted, done] = arguments, end = Date.now() + 15000;
    (function look() {
      const text = document.body.innerText;
      if (text.includes(wanted) || Date.now() > end) return done(text);
      setTimeout(look, 20);
    })();
    """
    text: str = browser.wait(wait, for_text)
    assert for_text in text
    return text
