"""The peers: what people run or write without enclaves, as WSGI applications for the same gunicorn.

They are set up as well as we know how, so that a ratio says something about us and not about a careless peer.
"""

from pathlib import Path

import requests
from flask import Flask, Response, jsonify, request
from requests.adapters import HTTPAdapter

from bench.processes import WEB_THREADS

TIMEOUT_SECONDS = 30


def bare_view(reply: str) -> Flask:
    """Return a view that reads the JSON of its request and answers with the bytes of the file `reply`."""
    app = Flask(__name__, static_folder=None)
    payload = Path(reply).read_bytes()

    @app.post("/attest/fetch")
    def answer() -> Response:
        request.get_json()
        return Response(payload, mimetype="application/json")

    return app


def requests_view(url: str, roots: str) -> Flask:
    """Return a view that asks `url` what its caller wants to know, and answers with status, headers and body."""
    app = Flask(__name__, static_folder=None)
    session = new_session(roots, connections=WEB_THREADS)

    @app.post("/attest/fetch")
    def fetch() -> Response:
        call = request.get_json()
        answer = session.post(url, data=call["body"], headers=call["headers"], timeout=TIMEOUT_SECONDS)
        return jsonify(success=True, status=answer.status_code, headers=dict(answer.headers), rawBody=answer.text)

    return app


def new_session(roots: str, *, connections: int) -> requests.Session:
    """Return a session that trusts the file `roots` and keeps `connections` of them (the default keeps 10)."""
    session = requests.Session()
    session.verify = roots
    session.mount("https://", HTTPAdapter(pool_maxsize=connections))
    return session
