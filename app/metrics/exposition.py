"""`GET /metrics`: the numbers of every process of this parent, in Prometheus' text format or in OpenMetrics."""

from flask import Blueprint, Response, request

from app.metrics.meters import Meters


def blueprint(meters: Meters) -> Blueprint:
    """Return the route of this module."""
    routes = Blueprint("metrics", __name__)

    @routes.get("/metrics")
    def metrics() -> Response:
        text, media_type = meters.exposition(request.headers.get("Accept", ""))
        return Response(text, content_type=media_type)

    return routes
