"""The steps of Flask's that the application replaces: what is seen is what Flask itself would show."""

import uuid

import pytest
from flask import Blueprint, Flask, request, session
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app.application import Application
from app.factory import _uuid4

PATHS = ("/", "/a", "/a/", "//a", "/a//b", "/a/b", "/a/x", "/a/x/", "/A", "/none", "/%61", "/a;b")


def made(kind: type[Flask]) -> FlaskClient:
    app = kind("made") if kind is Application else kind("made", static_folder=None)
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    app.before_request(lambda: None)
    app.after_request(lambda response: response)
    for path in ("/", "/a", "/a/b", "/a/<name>"):
        app.add_url_rule(path, path, lambda **given: f"{request.url_rule} {request.endpoint} {given}")
    app.add_url_rule("/a", "posted", lambda: "posted", methods=["POST"])
    return app.test_client()


def allowed(response: TestResponse) -> list[str]:
    return sorted(response.headers.get("Allow", "").split(", "))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS", "DELETE"])
def test_routes_are_found_as_flask_finds_them(method: str, path: str) -> None:
    asked = {"method": method, "environ_overrides": {"PATH_INFO": path}}
    ours, theirs = (made(kind).open("/", **asked) for kind in (Application, Flask))
    assert (ours.status, ours.data) == (theirs.status, theirs.data)
    assert allowed(ours) == allowed(theirs)


def test_hooks_are_called_in_flasks_order_and_the_last_one_even_after_an_error() -> None:
    def called(kind: type[Flask]) -> list[str]:
        app, calls = kind("hooks"), list[str]()
        for number in "12":
            app.before_request(lambda number=number: calls.append(f"before {number}"))
            app.after_request(lambda response, number=number: calls.append(f"after {number}") or response)
            app.teardown_request(lambda error, number=number: calls.append(f"end {number} {error!r}"))
        app.add_url_rule("/bad", "bad", lambda: 1 / 0)
        for path in ("/none", "/bad"):
            calls.append(app.test_client().get(path).status)
        return calls

    assert called(Application) == called(Flask)


@pytest.mark.parametrize("hook", ["before_request", "after_request", "teardown_request", "url_value_preprocessor"])
def test_a_blueprint_with_hooks_of_its_own_is_refused(hook: str) -> None:
    routes = Blueprint("routes", __name__)
    getattr(routes, hook)(lambda *_: None)
    with pytest.raises(ValueError, match="hooks belong to the application"):
        Application("hooks").register_blueprint(routes)


def test_nobody_can_write_to_the_session_that_all_requests_share() -> None:
    app = Application("sessions")
    with app.test_request_context("/"), pytest.raises(RuntimeError):
        session["a"] = 1


def test_a_request_is_named_by_a_random_uuid() -> None:
    names = [_uuid4() for _ in range(200)]
    assert len(set(names)) == 200
    for name in names:
        read = uuid.UUID(name)
        assert (str(read), read.version, read.variant) == (name, 4, uuid.RFC_4122)
