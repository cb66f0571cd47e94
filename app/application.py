"""The Flask application, with two steps of every request replaced by what they come to here."""

from typing import Any

from flask import Flask, Request
from werkzeug.routing import MapAdapter


class Application(Flask):
    """Flask without coroutines, and without routing by host name."""

    def ensure_sync(self, func: Any) -> Any:
        """Return the function: none here is a coroutine, and Flask would look for that three times a request."""
        return func

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Return what finds the route: by method and path alone, whatever host the caller named."""
        if request is None:
            return None
        return MapAdapter(self.url_map, "", "/", "", "http", request.path, request.method)
