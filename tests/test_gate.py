"""Who is let in and within which limits, seen through the application."""

import io
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app.admission import Admission
from app.callers.proof import parse_proxies
from app.config import MAX_REQUEST_BYTES, Config
from app.errors import ApiError
from app.gate import Gate
from app.limits.bodies import BodyBudget, MeteredStream
from app.limits.values import Limits
from tests.fake_enclave import FakeEnclave, Peer, keeps, silent, wait_until
from tests.gate_kit import SICAE, SICAE_URL, TOKEN, admitting, bearer, token_toml
from tests.parent import LEAST, VIES, json_of, parent, serving
from tests.test_callers_proof import NGINX, RFC_9440
from wire.addresses import UnixAddress

MIB = 1024 * 1024


def ask(client: FlaskClient, token: str | None = TOKEN, **more: Any) -> TestResponse:
    return client.post("/attest/fetch", json=LEAST, headers=bearer(token) if token else {}, **more)


def refused(response: TestResponse) -> tuple[int, str]:
    body = json_of(response)
    assert list(body) == ["success", "error", "code", "requestId"]
    assert TOKEN not in response.get_data(as_text=True)
    return response.status_code, body["code"]


def gate_of(client: FlaskClient) -> Gate:
    gate: Gate = client.application.extensions["gate"]
    return gate


class Untouched(io.BytesIO):
    def read(self, size: int | None = -1) -> bytes:  # noqa: ARG002
        raise RuntimeError("read")


# --- who


def test_a_token_lets_its_caller_in_and_stays_with_the_parent(tmp_path: Path) -> None:
    log = io.StringIO()
    with (
        FakeEnclave(tmp_path / "enclave", keeps()) as enclave,
        parent(enclave.address, admission=admitting(token_toml("agent-a")), log=log) as client,
    ):
        upstream = {**LEAST, "headers": {"Authorization": "Bearer for-the-upstream"}}
        assert client.post("/attest/fetch", json=upstream, headers=bearer()).status_code == 200
        assert enclave.calls[0]["headers"] == {"Authorization": "Bearer for-the-upstream"}
        assert TOKEN not in json.dumps(enclave.calls)
    line = json.loads(log.getvalue())
    assert (line["event"], line["caller"]) == ("fetch", "agent-a")
    assert TOKEN not in log.getvalue()


def test_a_token_inside_the_json_is_the_upstream_s_and_lets_nobody_in(tmp_path: Path) -> None:
    with parent(UnixAddress(path=str(tmp_path / "none")), admission=admitting(token_toml("a"))) as client:
        response = client.post("/attest/fetch", json={**LEAST, "headers": bearer()})
    assert refused(response) == (401, "unauthenticated")


@pytest.mark.parametrize(
    ("headers", "challenge"),
    [
        ({}, "Bearer"),
        (bearer("other"), 'Bearer error="invalid_token"'),
        (bearer(TOKEN + "x"), 'Bearer error="invalid_token"'),
        ({"Authorization": f"Basic {TOKEN}"}, 'Bearer error="invalid_token"'),
        ({"Authorization": f"Bearer {TOKEN}, Bearer {TOKEN}"}, 'Bearer error="invalid_token"'),
        ({"Cookie": f"Authorization={TOKEN}", "X-Authorization": f"Bearer {TOKEN}"}, "Bearer"),
        ({"Client-Cert": RFC_9440}, "Bearer"),
    ],
)
def test_nobody_else_gets_further_than_the_gate(tmp_path: Path, headers: dict[str, str], challenge: str) -> None:
    log = io.StringIO()
    with (
        FakeEnclave(tmp_path / "enclave", keeps()) as enclave,
        parent(enclave.address, admission=admitting(token_toml("a")), log=log) as client,
    ):
        response = client.post("/attest/fetch", json=LEAST, headers=headers)
        assert refused(response) == (401, "unauthenticated")
        assert response.headers["WWW-Authenticate"] == challenge
        assert "Retry-After" not in response.headers
        assert (enclave.accepted, gate_of(client).numbers().unauthenticated) == (0, 1)
    assert TOKEN not in log.getvalue()
    assert "caller" not in json.loads(log.getvalue())


def test_the_body_of_an_unknown_caller_is_not_even_read(tmp_path: Path) -> None:
    with parent(UnixAddress(path=str(tmp_path / "none")), admission=admitting(token_toml("a"))) as client:
        response = client.post("/attest/fetch", input_stream=Untouched(), environ_overrides={"CONTENT_LENGTH": "5"})
    assert response.status_code == 401


@pytest.mark.parametrize(
    ("method", "path", "nobody", "fetch", "metrics"),
    [
        ("GET", "/health", 200, 200, 200),
        ("GET", "/routes", 401, 200, 200),
        ("GET", "/status", 401, 403, 200),
        ("GET", "/", 200, 200, 200),
        ("GET", "/enclaves/vies/identity", 401, 200, 403),
        ("POST", "/attest/fetch", 401, 200, 403),
        ("POST", "/attest/query", 401, 400, 403),
        ("POST", "/attest/sealed", 401, 400, 403),
        ("GET", "/metrics", 401, 403, 200),
        ("GET", "/livez", 200, 200, 200),
        ("GET", "/static/x.css", 401, 200, 403),  # no folder is open, whatever it is called
        ("GET", "/openapi.json", 200, 200, 200),
        ("GET", "/attestations/x", 401, 200, 200),
        ("GET", "/log/head", 401, 200, 200),
        ("GET", "/none", 401, 404, 403),
        ("GET", "/health/../routes", 401, 404, 403),
        ("GET", "//health", 200, 200, 200),  # werkzeug reads it as /health, and so does the gate
        ("PUT", "/attest/fetch", 401, 405, 403),
        ("PUT", "/health", 401, 405, 403),
    ],
)
def test_each_path_asks_for_what_it_needs(
    tmp_path: Path, method: str, path: str, nobody: int, fetch: int, metrics: int
) -> None:
    admission = admitting(token_toml("f", "f"), token_toml("m", "m", 'scopes = ["metrics"]'))
    with (
        FakeEnclave(tmp_path / "enclave", keeps()) as enclave,
        parent(enclave.address, admission=admission) as client,
    ):
        for other in (
            "/static/<path:name>",
            "/log/head",
            "/attestations/<attestation_id>",
        ):
            client.application.add_url_rule(other, other, lambda **_: "")
        statuses = [
            client.open(
                path,
                method=method,
                json=LEAST if method == "POST" else None,
                headers=headers,
                environ_overrides={"PATH_INFO": path},  # the client would take //health for a host
            ).status_code
            for headers in ({}, bearer("f"), bearer("m"))
        ]
    assert statuses == [nobody, fetch, metrics]


def test_a_caller_s_time_ends(tmp_path: Path) -> None:
    admission = admitting(
        token_toml("old", "old", "expires = 2020-01-01"), token_toml("new", "new", "expires = 2999-01-01")
    )
    with (
        FakeEnclave(tmp_path / "enclave", keeps()) as enclave,
        parent(enclave.address, admission=admission) as client,
    ):
        assert refused(ask(client, "old")) == (401, "unauthenticated")
        assert ask(client, "new").status_code == 200


@pytest.mark.parametrize("path", ["/attest/fetch", "/attest/query", "/attest/sealed", "/enclaves/vies/identity"])
def test_a_service_that_a_caller_may_not_use_is_not_asked(tmp_path: Path, path: str) -> None:
    log = io.StringIO()
    bodies = {
        "/attest/fetch": LEAST,
        "/attest/query": {"service": "vies", "operation": "hmrc.lookup", "params": {}},
        "/attest/sealed": {"service": "vies", "keyId": "A" * 43 + "=", "sealed": "AAAA"},
    }
    with (
        FakeEnclave(tmp_path / "enclave", keeps()) as enclave,
        parent(enclave.address, admission=admitting(token_toml("a", TOKEN, 'services = ["sicae"]')), log=log) as client,
    ):
        method = "POST" if path in bodies else "GET"
        response = client.open(path, method=method, json=bodies.get(path), headers=bearer())
        if json_of(response)["code"] != "bad_request":  # whatever a sealed body has to look like
            assert refused(response) == (403, "service.not-allowed")
            assert json.loads(log.getvalue())["caller"] == "a"
        assert enclave.calls == []


def test_without_callers_everybody_may_ask_and_no_line_names_one(tmp_path: Path) -> None:
    log = io.StringIO()
    with FakeEnclave(tmp_path / "enclave", keeps()) as enclave, parent(enclave.address, log=log) as client:
        assert ask(client).status_code == ask(client, None).status_code == 200
    assert "caller" not in log.getvalue()


@pytest.mark.parametrize("header", [RFC_9440, NGINX])
def test_a_proxy_s_word_for_a_certificate_counts_when_it_is_trusted_and_only_then(tmp_path: Path, header: str) -> None:
    from app.callers.proof import forwarded  # noqa: PLC0415

    client_toml = f'[[clients]]\nname = "agent-c"\nsha256 = "{forwarded(header).digest.hex()}"\n'
    callers = admitting(client_toml).callers
    admission = Admission(callers=callers, proxies=parse_proxies("10.0.0.5,unix"))
    with (
        FakeEnclave(tmp_path / "enclave", keeps()) as enclave,
        parent(enclave.address, admission=admission) as client,
    ):
        statuses = [
            client.post(
                "/attest/fetch", json=LEAST, headers={"Client-Cert": header}, environ_overrides={"REMOTE_ADDR": peer}
            ).status_code
            for peer in ("10.0.0.5", "", "10.0.0.6", "127.0.0.1")
        ]
        broken = client.post(
            "/attest/fetch", json=LEAST, headers={"Client-Cert": ":AA:"}, environ_overrides={"REMOTE_ADDR": ""}
        )
        unproved = client.post("/attest/fetch", json=LEAST, environ_overrides={"REMOTE_ADDR": "10.0.0.5"})
    assert statuses == [200, 200, 401, 401]
    assert refused(broken) == refused(unproved) == (401, "unauthenticated")


# --- how much


def test_a_caller_that_asks_too_fast_hears_when_to_come_back_and_another_does_not_notice(tmp_path: Path) -> None:
    admission = admitting(token_toml("fast", "fast", "rate = 0.2\nburst = 2"), token_toml("other", "other"))
    with (
        FakeEnclave(tmp_path / "enclave", keeps()) as enclave,
        parent(enclave.address, admission=admission) as client,
    ):
        statuses = [ask(client, "fast").status_code for _ in range(2)]
        response = ask(client, "fast")
        assert (statuses, refused(response)) == ([200, 200], (429, "rate.exceeded"))
        assert response.headers["Retry-After"] == "5"
        assert ask(client, "other").status_code == 200
        assert gate_of(client).numbers().refused_callers == 1


def test_a_look_costs_a_quarter_of_a_question(tmp_path: Path) -> None:
    with (
        FakeEnclave(tmp_path / "enclave", keeps()) as enclave,
        parent(enclave.address, admission=admitting(token_toml("a", TOKEN, "rate = 0.01\nburst = 2"))) as client,
    ):
        looks = [client.get("/enclaves/vies/identity", headers=bearer()).status_code for _ in range(4)]
        assert (looks, ask(client).status_code, ask(client).status_code) == ([200] * 4, 200, 429)


def test_a_caller_with_too_much_under_way_is_refused_until_something_ends(tmp_path: Path) -> None:
    release: list[Peer] = []

    def holds(peer: Peer) -> None:
        if peer.read() is not None:
            release.append(peer)
            wait_until(lambda: not release, seconds=10)
            peer.reply(b'{"success":true,"status":200}')

    admission = admitting(token_toml("a", TOKEN, "concurrent = 1"), token_toml("b", "b"))
    with (
        FakeEnclave(tmp_path / "enclave", holds) as enclave,
        parent(enclave.address, admission=admission) as client,
        ThreadPoolExecutor(1) as pool,
    ):
        first = pool.submit(ask, client.application.test_client())
        wait_until(lambda: len(release) == 1)
        response = ask(client)
        assert refused(response) == (429, "concurrency.exceeded")
        assert response.headers["Retry-After"] == "1"
        release.clear()
        assert first.result(5).status_code == 200
        wait_until(lambda: gate_of(client).bulkheads.occupancy()[0].running == 0)
        second = pool.submit(ask, client.application.test_client())
        wait_until(lambda: len(release) == 1)
        release.clear()
        assert second.result(5).status_code == 200


@pytest.mark.parametrize(
    ("body", "status"), [(b"", 400), (b"{}", 400), (json.dumps({**LEAST, "url": "https://example.com/"}).encode(), 404)]
)
def test_what_ends_early_gives_its_place_back_too(tmp_path: Path, body: bytes, status: int) -> None:
    admission = admitting(token_toml("a", TOKEN, "concurrent = 1"))
    with parent(UnixAddress(path=str(tmp_path / "none")), admission=admission) as client:
        for _ in range(3):
            response = client.post("/attest/fetch", data=body, content_type="application/json", headers=bearer())
            assert response.status_code == status
        assert gate_of(client).numbers().body_bytes == 0


def test_a_service_has_limits_of_its_own_on_the_host(tmp_path: Path) -> None:
    admission = Admission(limits={"vies": Limits(rate=0.5, burst=2)})
    with (
        FakeEnclave(tmp_path / "enclave", keeps()) as enclave,
        parent(enclave.address, admission=admission) as client,
    ):
        statuses = [ask(client).status_code for _ in range(2)]
        response = ask(client)
    assert (statuses, refused(response), response.headers["Retry-After"]) == ([200, 200], (503, "busy"), "2")


def test_a_service_without_a_place_costs_its_limits_nothing(tmp_path: Path) -> None:
    admission = Admission(limits={"vies": Limits(rate=0.001, burst=3, concurrent=2)})
    with (
        FakeEnclave(tmp_path / "enclave", silent) as enclave,
        parent(enclave.address, admission=admission, connections=1) as client,
        ThreadPoolExecutor(1) as pool,
    ):
        slow = {**LEAST, "timeoutMs": 800}
        first = pool.submit(client.application.test_client().post, "/attest/fetch", json=slow)
        wait_until(lambda: len(enclave.calls) == 1)
        hasty = {**LEAST, "timeoutMs": 1}
        for _ in range(5):
            response = client.post("/attest/fetch", json=hasty)
            assert (refused(response), "Retry-After" in response.headers) == ((503, "busy"), True)
        assert first.result(5).status_code == 504
        for _ in range(2):  # the burst of three had one taken
            assert client.post("/attest/fetch", json=hasty).status_code == 504
        assert (
            "service has too many questions in this time" in json_of(client.post("/attest/fetch", json=hasty))["error"]
        )


def test_a_slow_service_takes_none_of_another_s_places(tmp_path: Path) -> None:
    config = Config(
        manifests=(VIES, SICAE),
        addresses={name: (UnixAddress(path=str(tmp_path / name)),) for name in ("vies", "sicae")},
        connections=8,
    )
    with (
        FakeEnclave(tmp_path / "vies", silent) as slow,
        FakeEnclave(tmp_path / "sicae", keeps()),
        serving(config) as app,
        ThreadPoolExecutor(40) as pool,
    ):
        stuck = [pool.submit(post, app, {**LEAST, "timeoutMs": 1500}) for _ in range(40)]
        wait_until(lambda: len(slow.calls) == 8)
        answered = [post(app, {"url": SICAE_URL, "method": "GET"}).status_code for _ in range(20)]
        statuses = [future.result(10).status_code for future in stuck]
    assert answered == [200] * 20
    assert statuses.count(503) >= 24  # 8 had a place, 8 waited for one, the rest heard at once
    assert set(statuses) <= {503, 504}


def post(app: Flask, body: dict[str, object]) -> TestResponse:
    return app.test_client().post("/attest/fetch", json=body)


# --- bodies


def test_bodies_that_are_under_way_have_one_budget_and_the_rest_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with parent(UnixAddress(path=str(tmp_path / "none")), admission=Admission(body_bytes=2 * MIB)) as client:
        gate_of(client)._bodies.reserve(MIB)
        response = client.post(
            "/attest/fetch", input_stream=Untouched(), environ_overrides={"CONTENT_LENGTH": str(MIB + 1)}
        )
        assert (refused(response), response.headers["Retry-After"]) == ((503, "busy"), "1")
        fits = client.post("/attest/fetch", data=b" " * MIB, content_type="application/json")
        assert refused(fits) == (400, "bad_request")
        numbers = gate_of(client).numbers()
        assert (numbers.body_bytes, numbers.refused_bodies) == (MIB, 1)


def test_large_bodies_leave_room_for_small_ones() -> None:
    budget = BodyBudget(80 * MIB)
    for _ in range(35):
        budget.reserve(2 * MIB)
    chunks = MeteredStream(io.BytesIO(b" " * (3 * MIB)), budget)
    assert len(chunks.read(MIB)) == MIB
    for size in (2 * MIB, MIB + 1):
        with pytest.raises(ApiError):
            budget.reserve(size)
    with pytest.raises(ApiError):
        chunks.read(MIB)  # small, but part of what is not small any more
    for _ in range(9):
        budget.reserve(MIB)
    with pytest.raises(ApiError):
        budget.reserve(1)
    assert (budget.held, budget.refused) == (80 * MIB, 4)


def test_a_body_of_unknown_length_counts_as_it_comes(tmp_path: Path) -> None:
    with parent(UnixAddress(path=str(tmp_path / "none")), admission=Admission(body_bytes=MIB)) as client:
        chunked = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}

        def send(size: int) -> TestResponse:
            return client.post(
                "/attest/fetch",
                input_stream=io.BytesIO(b" " * size),
                content_type="application/json",
                environ_overrides=chunked,
            )

        assert refused(send(MIB)) == (400, "bad_request")
        assert gate_of(client).numbers().body_bytes == 0
        assert refused(send(MIB + 1)) == (503, "busy")
        assert gate_of(client).numbers().body_bytes == 0


def test_a_body_that_is_too_large_to_be_read_needs_no_room(tmp_path: Path) -> None:
    with parent(UnixAddress(path=str(tmp_path / "none")), admission=Admission(body_bytes=MIB)) as client:
        body = b" " * (2 * MAX_REQUEST_BYTES + 1)
        response = client.post("/attest/fetch", data=body, content_type="application/json")
    assert refused(response) == (413, "too_large")
