"""`/health` says whether the enclaves answer; `/routes` says what is served."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from app.config import Config
from app.monitor import PING_SECONDS
from tests.fake_enclave import PONG, FakeEnclave, Peer, Script, closes, keeps, sends, silent, wait_until
from tests.parent import VIES, json_of, parent, service, serving
from wire.addresses import UnixAddress, VsockAddress

OTHER = service("other", cid=17, host="other.test")
RUNNING = {
    "service": "vies",
    "cid": 16,
    "hosts": ["ec.europa.eu", "api.service.hmrc.gov.uk"],
    "state": "RUNNING",
    "connectivity": "responsive",
    "healthy": True,
}
UNREACHABLE = {**RUNNING, "state": "UNREACHABLE", "connectivity": "unresponsive", "healthy": False}
DETAILS = {
    *("stateAgeMs", "debug", "pingMs", "pingAgeMs", "boot", "nsm", "nsmAgeMs", "rightService"),
    *("ejected", "draining", "inFlight", "idleConnections"),
}


def health_of(client: FlaskClient) -> tuple[int, Any]:
    """Return status and body without the time and the details of each enclave."""
    response = client.get("/health")
    body = json_of(response)
    assert abs(body.pop("timestamp") - time.time() * 1000) < 5_000
    assert body.pop("degraded") is any(not enclave["healthy"] for enclave in body["enclaves"])
    for enclave in body["enclaves"]:
        assert set(enclave) == {*RUNNING, *DETAILS}
        for name in DETAILS:
            del enclave[name]
    return response.status_code, body


@contextmanager
def two_services(folder: Path, scripts: dict[str, Script]) -> Iterator[FlaskClient]:
    """Serve VIES and OTHER; a service without a script has no enclave."""
    with ExitStack() as stack:
        for name, script in scripts.items():
            stack.enter_context(FakeEnclave(folder / name, script))
        addresses = {name: (UnixAddress(path=str(folder / name)),) for name in ("vies", "other")}
        config = Config(manifests=(VIES, OTHER), addresses=addresses)
        yield stack.enter_context(serving(config)).test_client()


@pytest.mark.parametrize("script", [keeps(), closes()], ids=["keeps", "closes"])
def test_an_enclave_that_answers_a_ping_is_healthy(tmp_path: Path, script: Script) -> None:
    with FakeEnclave(tmp_path / "enclave", script) as enclave, parent(enclave.address) as client:
        for _ in range(3):
            assert health_of(client) == (200, {"healthy": True, "enclaves": [RUNNING]})


def test_an_enclave_that_nobody_has_started_is_unreachable(tmp_path: Path) -> None:
    with parent(UnixAddress(path=str(tmp_path / "none"))) as client:
        assert health_of(client) == (503, {"healthy": False, "enclaves": [UNREACHABLE]})


@pytest.mark.parametrize(
    "reply", [b"", b"\x00\x00\x00\x00", b"\xff\xff\xff\xff", b"\x00\x00\x00\x05abc", b"HTTP/1.1 200 OK\r\n\r\n"]
)
def test_an_enclave_that_answers_with_broken_frames_is_unreachable(tmp_path: Path, reply: bytes) -> None:
    with FakeEnclave(tmp_path / "enclave", sends(reply)) as enclave, parent(enclave.address) as client:
        assert health_of(client) == (503, {"healthy": False, "enclaves": [UNREACHABLE]})


@pytest.mark.parametrize(
    "answer", [b"nope", b"[]", b"null", b"{}", b'{"type":"ping"}', b'{"success":false,"status":502}', b"[" * 100_000]
)
def test_an_enclave_that_answers_with_something_else_than_a_pong_is_unreachable(tmp_path: Path, answer: bytes) -> None:
    def script(peer: Peer) -> None:
        while peer.read() is not None:
            peer.reply(answer)

    with FakeEnclave(tmp_path / "enclave", script) as enclave, parent(enclave.address) as client:
        assert health_of(client) == (503, {"healthy": False, "enclaves": [UNREACHABLE]})


def test_silent_enclaves_are_given_up_together_after_the_time_for_one_ping(tmp_path: Path) -> None:
    with two_services(tmp_path, {"vies": silent, "other": silent}) as client:
        began = time.monotonic()
        status, body = health_of(client)
        taken = time.monotonic() - began
    assert (status, [enclave["healthy"] for enclave in body["enclaves"]]) == (503, [False, False])
    assert PING_SECONDS <= taken < PING_SECONDS + 1


def test_one_unreachable_enclave_makes_the_whole_unhealthy_and_is_named(tmp_path: Path) -> None:
    with two_services(tmp_path, {"vies": keeps()}) as client:
        other = {**UNREACHABLE, "service": "other", "cid": 17, "hosts": ["other.test"]}
        assert health_of(client) == (503, {"healthy": False, "enclaves": [RUNNING, other]})


def test_health_turns_with_the_enclave(tmp_path: Path) -> None:
    address = UnixAddress(path=str(tmp_path / "enclave"))
    with parent(address) as client:
        for _ in range(2):
            with FakeEnclave(tmp_path / "enclave", keeps()):
                wait_until(lambda: health_of(client)[0] == 200)
            wait_until(lambda: health_of(client)[0] == 503)


def test_a_health_check_asks_the_enclave_for_nothing_but_a_pong(tmp_path: Path) -> None:
    with FakeEnclave(tmp_path / "enclave", keeps()) as enclave, parent(enclave.address) as client:
        client.get("/health")
        assert enclave.calls == []


def test_head_says_the_same_without_a_body(tmp_path: Path) -> None:
    with parent(UnixAddress(path=str(tmp_path / "none"))) as client:
        response = client.head("/health")
        assert (response.status_code, response.data) == (503, b"")


def test_routes_lists_cid_port_and_hosts_in_the_order_of_the_manifests(tmp_path: Path) -> None:
    config = Config(manifests=(VIES, OTHER), addresses={"vies": (VsockAddress(cid=99, port=5000),)})
    with serving(config) as app:
        response = app.test_client().get("/routes")
    assert (response.status_code, json_of(response)) == (
        200,
        {
            "routes": [
                {"cid": 99, "port": 5000, "hosts": ["ec.europa.eu", "api.service.hmrc.gov.uk"]},
                {"cid": 17, "port": 5000, "hosts": ["other.test"]},
            ]
        },
    )


@pytest.mark.parametrize("path", ["/health", "/routes"])
@pytest.mark.parametrize("ask", ["POST", "PUT", "DELETE"])
def test_health_and_routes_are_only_read(tmp_path: Path, path: str, ask: str) -> None:
    with parent(UnixAddress(path=str(tmp_path / "none"))) as client:
        response = client.open(path, method=ask)
        assert (response.status_code, json_of(response)["code"]) == (405, "method_not_allowed")
        assert sorted(response.headers["Allow"].split(", ")) == ["GET", "HEAD", "OPTIONS"]


def test_pongs_with_further_fields_are_pongs(tmp_path: Path) -> None:
    pong = json.dumps({**json.loads(PONG), "service": "vies", "boot": "00" * 16}).encode()

    def script(peer: Peer) -> None:
        while peer.read() is not None:
            peer.reply(pong)

    with FakeEnclave(tmp_path / "enclave", script) as enclave, parent(enclave.address) as client:
        assert health_of(client)[0] == 200
