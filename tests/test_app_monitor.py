"""What is found out about the enclaves in the background, and how `/health` and `/readyz` show it."""

import io
import json
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from app import monitor as subject
from app.config import Config
from app.monitor import Monitor
from app.state import StateFolder
from tests.fake_enclave import PING, FakeEnclave, Peer, Script, keeps, silent, wait_until
from tests.parent import LEAST, VIES, Answer, Gunicorn, json_of, serving
from wire.addresses import UnixAddress

ENCLAVE = {"EnclaveCID": 16, "MemoryMiB": 512, "State": "RUNNING", "Flags": "NONE", "EnclaveName": "vies"}


def pong(**fields: Any) -> bytes:
    return json.dumps({"type": "pong", "timestamp": 1, "service": "vies", "boot": "ab" * 16, **fields}).encode()


class Speaking:
    """A script whose pong may be changed, and which counts questions for the identity."""

    def __init__(self, **fields: Any) -> None:
        self.fields = fields
        self.asked = 0

    def __call__(self, peer: Peer) -> None:
        while (payload := peer.read()) is not None:
            if payload == PING:
                peer.reply(pong(**self.fields))
            else:
                self.asked += b'"identity"' in payload
                peer.reply(b'{"success":true}')


@contextmanager
def parent_of(
    folder: Path, *scripts: Script | None, state: Path | None = None, log: io.StringIO | None = None
) -> Iterator[tuple[FlaskClient, Monitor]]:
    """Serve VIES with an enclave for each script; None is one that nobody has started."""
    paths = [folder / f"enclave{number}" for number in range(len(scripts))]
    with ExitStack() as stack:
        for path, script in zip(paths, scripts, strict=True):
            if script is not None:
                stack.enter_context(FakeEnclave(path, script))
        addresses = {"vies": tuple(UnixAddress(path=str(path)) for path in paths)}
        app = stack.enter_context(serving(Config(manifests=(VIES,), addresses=addresses, state=state), log=log))
        yield app.test_client(), app.extensions["monitor"]


@pytest.fixture
def nitro_cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return a function that puts a shell script on PATH as nitro-cli."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")

    def write(script: str) -> None:
        program = tmp_path / "bin" / "nitro-cli"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)

    return write


def enclaves(client: FlaskClient) -> list[dict[str, Any]]:
    said: list[dict[str, Any]] = json_of(client.get("/health"))["enclaves"]
    return said


def threads() -> int:
    return sum(thread.name == "monitor" for thread in threading.enumerate())


def test_nothing_is_watched_before_somebody_wants_to_know_and_nothing_after_the_end(tmp_path: Path) -> None:
    before = threads()
    with parent_of(tmp_path, keeps(), keeps()) as (client, _):
        client.post("/attest/fetch", json=LEAST)
        assert threads() == before
        client.get("/health")
        assert threads() == before + 2
        client.get("/readyz")
        assert threads() == before + 2
    assert threads() == before


def test_many_health_questions_make_one_ping(tmp_path: Path) -> None:
    with FakeEnclave(tmp_path / "one", keeps()) as enclave:
        config = Config(manifests=(VIES,), addresses={"vies": (enclave.address,)})
        with serving(config) as app:
            client = app.test_client()
            began = time.monotonic()
            for _ in range(50):
                assert client.get("/health").status_code == 200
            taken = time.monotonic() - began
        assert enclave.received.count(PING) <= 2 + taken / subject.FIT_SECONDS


def test_a_health_question_shows_what_was_seen_of_each_enclave(tmp_path: Path) -> None:
    first = Speaking(nsmAgeMs=1500, nsmFailures=0)
    with parent_of(tmp_path, first, None) as (client, _):
        one, other = enclaves(client)
    assert (one["cid"], one["boot"], one["nsm"], one["healthy"]) == (16, "ab" * 16, "fresh", True)
    assert 1500 <= one["nsmAgeMs"] < 8000
    assert 0 <= one["pingMs"] < 2000
    assert 0 <= one["pingAgeMs"] < 5000
    assert (one["ejected"], one["draining"], one["inFlight"], one["idleConnections"]) == (False, False, 0, 0)
    assert (one["stateAgeMs"], one["debug"]) == (None, None)
    assert (other["cid"], other["boot"], other["nsm"], other["nsmAgeMs"]) == (116, None, "unknown", None)
    assert (other["healthy"], other["ejected"], other["state"]) == (False, True, "UNREACHABLE")


def test_an_nsm_that_fails_makes_an_enclave_unhealthy_and_it_is_asked_again(tmp_path: Path) -> None:
    script = Speaking(nsmAgeMs=10, nsmFailures=3)
    log = io.StringIO()
    with parent_of(tmp_path, script, log=log) as (client, _):
        response = client.get("/health")
        (said,) = json_of(response)["enclaves"]
        assert (response.status_code, said["nsm"], said["healthy"], said["connectivity"]) == (
            *(503, "failing"),
            *(False, "responsive"),
        )
        wait_until(lambda: script.asked == 1)
        script.fields = {"nsmAgeMs": 10, "nsmFailures": 0}
        wait_until(lambda: client.get("/health").status_code == 200)
    events = [json.loads(line) for line in log.getvalue().splitlines()]
    assert [
        (line["event"], line["enclave"], line["nsm"]) for line in events if line["event"].startswith("enclave")
    ] == [
        ("enclave unfit", "vies/16", "failing"),
        ("enclave fit", "vies/16", "fresh"),
    ]


@pytest.mark.parametrize(
    ("fields", "questions"),
    [
        ({"nsmAgeMs": 59_000, "nsmFailures": 0}, 0),
        ({"nsmAgeMs": 60_001, "nsmFailures": 0}, 1),
        ({"nsmAgeMs": None, "nsmFailures": 0}, 1),
        ({"nsmAgeMs": 100, "nsmFailures": 1}, 1),
        ({}, 0),
    ],
)
def test_an_nsm_that_was_idle_or_failed_is_asked_for_a_document_once_in_a_while(
    tmp_path: Path, fields: dict[str, Any], questions: int
) -> None:
    script = Speaking(**fields)
    with parent_of(tmp_path, script) as (client, _):
        client.get("/health")
        time.sleep(0.5)  # several pings, since the answer to a question has it pinged again
        assert script.asked == questions


def test_an_nsm_that_has_been_silent_for_too_long_is_stale(tmp_path: Path) -> None:
    with parent_of(tmp_path, Speaking(nsmAgeMs=180_001, nsmFailures=0)) as (client, _):
        (said,) = enclaves(client)
        assert (said["nsm"], said["healthy"]) == ("stale", False)


def test_an_enclave_of_another_service_is_unhealthy(tmp_path: Path) -> None:
    with parent_of(tmp_path, Speaking(service="sicae")) as (client, _):
        (said,) = enclaves(client)
        assert (said["healthy"], said["connectivity"], said["rightService"]) == (False, "responsive", False)


# --- live and ready


def test_a_process_without_an_enclave_lives_and_is_not_ready(tmp_path: Path) -> None:
    with parent_of(tmp_path, None) as (client, _):
        assert (client.get("/livez").status_code, json_of(client.get("/livez"))) == (200, {"alive": True})
        ready = client.get("/readyz")
    assert (ready.status_code, json_of(ready)) == (503, {"ready": False, "stopping": False, "missing": ["vies"]})


def test_a_process_that_stops_is_not_ready(tmp_path: Path) -> None:
    with parent_of(tmp_path, keeps()) as (client, monitor):
        assert client.get("/readyz").status_code == 200
        monitor.start(stopping=lambda: True)
        ready = client.get("/readyz")
        assert (ready.status_code, json_of(ready)) == (503, {"ready": False, "stopping": True, "missing": []})
        assert client.get("/livez").status_code == 200


def test_under_gunicorn_a_process_that_was_told_to_end_says_so_on_a_connection_that_is_still_open(
    tmp_path: Path,
) -> None:
    with FakeEnclave(tmp_path / "enclave", keeps()), Gunicorn(tmp_path / "enclave", tmp_path / "log") as gunicorn:
        connection = gunicorn.connect()
        connection.request("GET", "/readyz")
        assert Answer(connection.getresponse()).status == 200
        gunicorn.terminate()
        time.sleep(0.5)  # gunicorn keeps such connections for two seconds
        connection.request("GET", "/readyz")
        answer = Answer(connection.getresponse())
        connection.close()
    assert (answer.status, answer.json["stopping"]) == (503, True)


def test_gunicorn_watches_before_the_first_request(tmp_path: Path) -> None:
    with (
        FakeEnclave(tmp_path / "enclave", keeps()) as enclave,
        Gunicorn(tmp_path / "enclave", tmp_path / "log"),
    ):
        wait_until(lambda: PING in enclave.received, seconds=20)


# --- drained


def test_a_mark_is_seen_at_the_start_and_when_it_comes_and_goes(tmp_path: Path) -> None:
    state = StateFolder(tmp_path / "state")
    state.drain("vies", 16)
    with parent_of(tmp_path, keeps(), keeps(), state=state.path) as (client, monitor):
        monitor.start()
        assert [enclave["draining"] for enclave in enclaves(client)] == [True, False]
        assert {client.post("/attest/fetch", json=LEAST).headers["X-Enclave"] for _ in range(4)} == {"vies/116"}
        state.undo("vies", 16)
        state.drain("vies", 116)
        wait_until(lambda: [enclave["draining"] for enclave in enclaves(client)] == [False, True])
        assert {client.post("/attest/fetch", json=LEAST).headers["X-Enclave"] for _ in range(4)} == {"vies/16"}
        assert [[held.draining for held in process] for process in state.held()] == [[False, True]]
    assert list(state.held()) == []


def test_a_mark_that_was_there_at_the_start_is_taken_away(tmp_path: Path) -> None:
    state = StateFolder(tmp_path / "state")
    state.drain("vies", 16)
    with parent_of(tmp_path, keeps(), state=state.path) as (client, monitor):
        monitor.start()
        state.undo("vies", 16)
        wait_until(lambda: not enclaves(client)[0]["draining"])


# --- nitro-cli


def test_the_host_s_own_list_is_shown_with_its_age(tmp_path: Path, nitro_cli: Callable[[str], None]) -> None:
    nitro_cli(f"echo '{json.dumps([{**ENCLAVE, 'Flags': 'DEBUG_MODE'}])}'")
    with parent_of(tmp_path, keeps(), None) as (client, monitor):
        client.get("/health")
        wait_until(lambda: monitor.described is not None)
        one, other = enclaves(client)
    assert (one["state"], one["debug"], one["healthy"]) == ("RUNNING", True, True)
    assert 0 <= one["stateAgeMs"] < 5000
    assert (other["state"], other["debug"], other["healthy"]) == ("NOT_FOUND", None, False)


def test_an_enclave_that_terminates_is_unhealthy_though_it_answers(
    tmp_path: Path, nitro_cli: Callable[[str], None]
) -> None:
    nitro_cli(f"echo '{json.dumps([{**ENCLAVE, 'State': 'TERMINATING'}])}'")
    with parent_of(tmp_path, keeps()) as (client, monitor):
        client.get("/health")
        wait_until(lambda: monitor.described is not None)
        response = client.get("/health")
    assert (response.status_code, json_of(response)["enclaves"][0]["state"]) == (503, "TERMINATING")


def test_an_enclave_that_the_list_does_not_have_is_judged_by_its_ping(
    tmp_path: Path, nitro_cli: Callable[[str], None]
) -> None:
    nitro_cli("echo '[]'")  # nitro-cli shows a user that user's enclaves
    with parent_of(tmp_path, keeps()) as (client, monitor):
        client.get("/health")
        wait_until(lambda: monitor.described is not None)
        assert [(each["state"], each["healthy"]) for each in enclaves(client)] == [("RUNNING", True)]


@pytest.mark.parametrize("script", ["echo '{}'", "echo garbage", "exit 1", "kill -9 $$"])
def test_what_is_no_list_is_as_if_there_were_none(
    tmp_path: Path, nitro_cli: Callable[[str], None], script: str
) -> None:
    nitro_cli(script)
    with parent_of(tmp_path, keeps(), None) as (client, monitor):
        client.get("/health")
        wait_until(lambda: monitor.described is not None)
        assert [each["state"] for each in enclaves(client)] == ["RUNNING", "UNREACHABLE"]


def test_a_nitro_cli_that_hangs_holds_up_no_request(
    tmp_path: Path, nitro_cli: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "COMMAND_SECONDS", 1.0)
    nitro_cli("sleep 60")
    with parent_of(tmp_path, keeps()) as (client, monitor):
        began = time.monotonic()
        assert client.get("/health").status_code == 200
        assert client.get("/readyz").status_code == 200
        assert monitor.described is None  # it still hangs
        assert time.monotonic() - began < 1.0
        wait_until(lambda: monitor.described is not None)
        assert monitor.described.enclaves is None


def test_one_silent_enclave_holds_up_no_news_of_the_others(tmp_path: Path) -> None:
    with parent_of(tmp_path, keeps(), silent) as (_, monitor):
        monitor.start()
        wait_until(lambda: monitor._fleets[0].enclaves[0].seen is not None, seconds=1)
        assert monitor._fleets[0].enclaves[1].seen is None


def test_a_failed_call_begins_the_watch_where_there_is_another_enclave(tmp_path: Path) -> None:
    with parent_of(tmp_path, None, keeps()) as (client, monitor):
        for _ in range(2):
            assert client.post("/attest/fetch", json=LEAST).status_code == 200
        with FakeEnclave(tmp_path / "enclave0", keeps()):
            wait_until(lambda: not monitor._fleets[0].enclaves[0].ejected)
            answers = [client.post("/attest/fetch", json=LEAST).headers["X-Enclave"] for _ in range(6)]
    assert set(answers) == {"vies/16", "vies/116"}


def test_a_broken_watch_goes_on_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = io.StringIO()
    with parent_of(tmp_path, keeps(), log=log) as (client, monitor):
        fleet = monitor._fleets[0]
        saw = fleet.saw
        broken = iter([True])

        def once(*arguments: Any) -> None:
            if next(broken, False):
                raise ValueError("planted")
            saw(*arguments)

        monkeypatch.setattr(fleet, "saw", once)
        monitor.start()
        wait_until(lambda: client.get("/health").status_code == 200, seconds=10)
    assert '"error": "ValueError"' in log.getvalue()
    assert "planted" not in log.getvalue()
