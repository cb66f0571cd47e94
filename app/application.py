"""The Flask application, with the steps of every request that come to nothing here replaced by what they come to.

Flask does the rest: routes, contexts, errors. Rule of the replacements: what a route, a hook or an error handler of
ours sees is what it would see under Flask itself.
"""

from typing import Any

from flask import Flask, Request, Response, g, request
from flask.ctx import RequestContext
from flask.sessions import NullSession
from werkzeug.routing import MapAdapter, Rule

_NO_SESSION = NullSession()  # one for all: it refuses to be written to


def here() -> Any:
    """Return `flask.g` itself, for the request at hand: every look through the proxy costs more than what it finds."""
    return g._get_current_object()


def asked() -> Request:
    """Return `flask.request` itself, for the same reason."""
    return request._get_current_object()  # type: ignore[attr-defined, no-any-return]


class _Context(RequestContext):
    """A request's context: without a session, and with the route of a path without variables found in a dictionary."""

    app: "Application"

    def __init__(self, app: "Application", environ: Any) -> None:
        super().__init__(app, environ, session=_NO_SESSION)

    def match_request(self) -> None:
        """Find the route: what werkzeug would find, which looks through its tree for any other path."""
        request = self.request
        rule = self.app.plain_rules.get((request.method, request.path))
        if rule is None:
            super().match_request()
        else:
            request.url_rule, request.view_args = rule, {}


class Application(Flask):
    """Flask without coroutines, sessions, hooks of blueprints, and routing by host name."""

    def ensure_sync(self, func: Any) -> Any:
        """Return the function: none here is a coroutine, and Flask would look for that three times a request."""
        return func

    def __init__(self, name: str) -> None:
        self.plain_rules: dict[tuple[str, str], Rule] = {}  # by method and path
        super().__init__(name, static_folder=None)

    def add_url_rule(self, rule: str, *args: Any, **options: Any) -> None:
        """As Flask's."""
        super().add_url_rule(rule, *args, **options)
        self.plain_rules = {
            (method, each.rule): each
            for each in self.url_map.iter_rules()
            if not each.arguments
            for method in each.methods or ()
        }

    def request_context(self, environ: Any) -> RequestContext:
        """Return the context of a request."""
        return _Context(self, environ)

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Return what finds the route: by method and path alone, whatever host the caller named."""
        if request is None:
            return None
        return MapAdapter(self.url_map, "", "/", "", "http", request.path, request.method)

    def register_blueprint(self, blueprint: Any, **options: Any) -> None:
        """As Flask's. Raises ValueError: the blueprint has hooks of its own, which would never be called."""
        super().register_blueprint(blueprint, **options)
        hooks = (self.before_request_funcs, self.after_request_funcs, self.teardown_request_funcs)
        if self.url_value_preprocessors or any(name is not None for hook in hooks for name in hook):
            raise ValueError(f"blueprint {blueprint.name}: hooks belong to the application")

    def preprocess_request(self) -> None:
        """Call what is to be called before each request. Nothing of ours answers there; it raises or returns."""
        for step in self.before_request_funcs[None]:
            step()

    def process_response(self, response: Any) -> Response:
        """Call what is to be called after each request, the last first."""
        for step in reversed(self.after_request_funcs[None]):
            response = step(response)
        return response  # type: ignore[no-any-return]

    def do_teardown_request(self, exc: BaseException | None = None) -> None:
        """Call what is to be called at the end of each request, however it ended, the last first."""
        for step in reversed(self.teardown_request_funcs[None]):
            step(exc)
