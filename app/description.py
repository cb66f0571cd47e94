"""`GET /openapi.json`: this API in OpenAPI 3.1, the bytes of openapi.json as they are.

The file is made by `make openapi` from devstack/openapi/; tests hold it against the application.
"""

from pathlib import Path

from flask import Blueprint, Response

FILE = Path(__file__).with_name("openapi.json")


def blueprint() -> Blueprint:
    """Return the route of this module."""
    routes = Blueprint("description", __name__)
    described = FILE.read_bytes()

    @routes.get("/openapi.json")
    def description() -> Response:
        return Response(described, content_type="application/json")

    return routes
