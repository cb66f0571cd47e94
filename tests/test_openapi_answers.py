"""Answers that no generated question brings about, each held against the description."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app.admission import Admission
from app.archive.settings import ArchiveSettings
from app.config import MAX_REQUEST_BYTES, Config
from app.limits.values import Limits
from tests.archive_kit import id_of, reply
from tests.fake_enclave import FakeEnclave, Script, closes, keeps, sends, silent, wait_until
from tests.gate_kit import TOKEN, admitting, bearer, token_toml
from tests.openapi_kit import DESCRIBED, operation, operations
from tests.parent import LEAST, VIES, parent, serving
from wire.addresses import UnixAddress

FETCH = "/attest/fetch"


def checked(path: str, response: TestResponse, status: int, code: str) -> None:
    """Check that this is the answer, and that the description has it."""
    assert (response.status_code, response.get_json()["code"]) == (status, code)
    assert str(status) in operation(path).definition.raw["responses"]
    operation(path).validate_response(response)
    for name in required_headers(path, status):
        assert name in response.headers


def required_headers(path: str, status: int) -> list[str]:
    (item,) = DESCRIBED["paths"][path].values()
    response = item["responses"][str(status)]
    if "$ref" in response:
        response = DESCRIBED["components"]["responses"][response["$ref"].rpartition("/")[2]]
    headers = DESCRIBED["components"]["headers"]
    return [
        name for name, ref in response["headers"].items() if headers[ref["$ref"].rpartition("/")[2]].get("required")
    ]


class Silent(io.BytesIO):
    def read(self, size: int | None = -1) -> bytes:  # noqa: ARG002
        raise BlockingIOError


@pytest.mark.parametrize(
    ("script", "asked", "status", "code"),
    [
        (None, LEAST, 502, "enclave_unreachable"),
        (sends(b"\xff\xff\xff\xff"), LEAST, 502, "enclave_unreachable"),
        (closes(lambda _: b"nope"), LEAST, 502, "bad_reply"),
        (silent, {**LEAST, "timeoutMs": 300}, 504, "deadline"),
        (keeps(), {**LEAST, "url": "https://example.com/"}, 404, "no_enclave"),
        (keeps(), {**LEAST, "headers": {"Host": "x"}}, 400, "header.forbidden"),
    ],
)
def test_what_can_go_wrong_on_the_way_to_an_enclave(
    tmp_path: Path, script: Script | None, asked: dict[str, Any], status: int, code: str
) -> None:
    with FakeEnclave(tmp_path / "enclave", script or keeps()) as enclave:
        address = enclave.address if script else UnixAddress(path=str(tmp_path / "none"))
        with parent(address) as client:
            checked(FETCH, client.post(FETCH, json=asked), status, code)


@pytest.mark.parametrize("path", [path for path, method, _ in operations() if method == "post"])
def test_what_can_be_wrong_with_a_body(tmp_path: Path, path: str) -> None:
    with parent(UnixAddress(path=str(tmp_path / "none"))) as client:
        large = client.post(path, data=b" " * (MAX_REQUEST_BYTES + 1), content_type="application/json")
        checked(path, large, 413, "too_large")
        checked(path, client.post(path, data="{}", content_type="text/plain"), 415, "unsupported_media_type")
        checked(path, client.post(path, data="", content_type="application/json"), 400, "bad_request")
        late = client.post(
            path, input_stream=Silent(), content_type="application/json", environ_overrides={"CONTENT_LENGTH": "5"}
        )
        checked(path, late, 408, "request_timeout")


def asked(client: FlaskClient, path: str, method: str, token: str | None) -> TestResponse:
    filled = path.replace("{name}", "vies").replace("{attestationId}", "enc-x")
    return client.open(filled, method=method.upper(), headers=bearer(token) if token else {})


@pytest.mark.parametrize(
    ("path", "method"), [(path, method) for path, method, each in operations() if each.get("security") != []]
)
def test_every_path_but_the_open_ones_wants_a_caller(tmp_path: Path, path: str, method: str) -> None:
    config = Config(
        manifests=(VIES,),
        admission=admitting(
            token_toml("reads", TOKEN, 'scopes = ["archive"]'),
            token_toml("slow", "slow", 'scopes = ["fetch", "metrics"]', "rate = 0.001"),
        ),
        archive=ArchiveSettings(url=f"sqlite:///{tmp_path / 'archive.db'}"),
        addresses={"vies": (UnixAddress(path=str(tmp_path / "none")),)},
    )
    with serving(config) as app:
        client = app.test_client()
        checked(path, asked(client, path, method, None), 401, "unauthenticated")
        checked(path, asked(client, path, method, "other"), 401, "unauthenticated")
        refused = asked(client, path, method, TOKEN)
        if refused.status_code == 403:
            checked(path, refused, 403, "scope.not-allowed")
        limited = [asked(client, path, method, "slow") for _ in range(5)]
        checked(path, limited[-1], 429, "rate.exceeded")


def test_a_service_s_own_limits_are_told_as_described(tmp_path: Path) -> None:
    admission = Admission(limits={"vies": Limits(rate=0.01, burst=1)})
    with FakeEnclave(tmp_path / "enclave", keeps()) as enclave, parent(enclave.address, admission=admission) as client:
        client.post(FETCH, json=LEAST)
        checked(FETCH, client.post(FETCH, json=LEAST), 503, "busy")


def test_a_defect_is_told_as_described(tmp_path: Path) -> None:
    with parent(UnixAddress(path=str(tmp_path / "none"))) as client:
        client.application.view_functions["health.list_routes"] = lambda: 1 // 0
        checked("/routes", client.get("/routes"), 500, "internal_error")


def test_what_the_archive_answers_is_described(tmp_path: Path) -> None:
    config = Config(
        manifests=(VIES,),
        addresses={"vies": (UnixAddress(path=str(tmp_path / "enclave")),)},
        archive=ArchiveSettings(url=f"sqlite:///{tmp_path / 'archive.db'}"),
    )
    stored = reply()
    with FakeEnclave(tmp_path / "enclave", keeps(lambda _: stored)), serving(config) as app:
        client = app.test_client()
        client.post(FETCH, json=LEAST)
        path = f"/attestations/{id_of(stored)}"
        wait_until(lambda: client.get(path).status_code == 200)
        app.extensions["archive"].store.expire(before_ms=2**62)
        checked("/attestations/{attestationId}", client.get(path), 410, "gone")
        checked("/log/proof", client.get("/log/proof?leaf=" + "00" * 32), 404, "not_found")
        checked("/log/consistency", client.get("/log/consistency?from=0&to=9"), 400, "out_of_range")
        (tmp_path / "archive.db").unlink()
        app.extensions["archive"].store.close()
        (tmp_path / "archive.db").mkdir()
        for path, asked_for in (("/log/head", "/log/head"), ("/log/consistency", "/log/consistency?from=0&to=0")):
            checked(path, client.get(asked_for), 503, "archive_unavailable")


@pytest.mark.parametrize("path", [path for path, method, _ in operations() if method == "get" and "{" not in path])
def test_head_says_what_get_says_and_other_methods_hear_what_there_is(tmp_path: Path, path: str) -> None:
    config = Config(
        manifests=(VIES,),
        addresses={"vies": (UnixAddress(path=str(tmp_path / "none")),)},
        archive=ArchiveSettings(url=f"sqlite:///{tmp_path / 'archive.db'}"),
    )
    with serving(config) as app:
        client = app.test_client()
        got, head, options = client.get(path), client.head(path), client.options(path)
        assert (head.status_code, head.content_type, head.data) == (got.status_code, got.content_type, b"")
        assert (options.status_code, sorted(options.headers["Allow"].split(", "))) == (200, ["GET", "HEAD", "OPTIONS"])
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            refused = client.open(path, method=method)
            assert (refused.status_code, refused.get_json()["code"]) == (405, "method_not_allowed")
            assert sorted(refused.headers["Allow"].split(", ")) == ["GET", "HEAD", "OPTIONS"]
