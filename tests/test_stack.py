"""The whole system as processes (gunicorn, worker, relays, TLS upstream): what one sees, and what a crash costs."""

import base64
import contextlib
import json
import os
import threading
from pathlib import Path
from typing import Any

import cbor2
import pytest
import requests

import tytle_verifier
from devstack import __main__ as commands
from devstack.stack import Stack
from tests.conftest import SLOW_PATH, SlowVies
from tests.enclave_kit import in_threads
from tests.fake_enclave import wait_until
from tytle_verifier import Failure, StatementError
from tytle_verifier.adapter import (
    AttestedAdapter,
    KeyRetired,
    Refused,
    Unavailable,
    attest_only,
    attestation_of,
)

FAST = commands.lookup("PT", "507172230")
SLOW = {"url": f"https://ec.europa.eu{SLOW_PATH}", "method": "GET", "timeoutMs": 30000}


def post(stack: Stack, call: dict[str, Any]) -> requests.Response:
    return requests.post(f"{stack.url}/attest/fetch", json=call, timeout=40)


def held(slow_vies: SlowVies, count: int) -> None:
    for _ in range(count):
        assert slow_vies.waiting.acquire(timeout=10)


@pytest.fixture(autouse=True)
def _closed_gate(slow_vies: SlowVies):  # type: ignore[no-untyped-def]
    slow_vies.go_on.clear()
    yield
    slow_vies.go_on.set()


def test_make_run_shows_a_valid_an_invalid_and_a_refused_lookup(
    running_stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    assert commands.run(running_stack) == 0
    shown = capsys.readouterr().out
    assert shown.count("  PCR0 ") == 2
    assert shown.count("TEST PKI ONLY") == 4  # twice in ten steps, and the last words on the sealed one and the fact
    assert all(shown.count(f"    {step} ok  ") == 2 for step in range(10))
    assert '"valid": true' in shown
    assert '"valid": false' in shown
    assert "no rule for ec.europa.eu/eurostat/api" in shown
    assert "attested   no: nothing was fetched" in shown
    assert "profile: tytle/attested-fetch/v1" in shown


def test_the_time_of_the_soft_nsm_is_given_on_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[dict[str, Any]] = []

    def stack(**options: Any) -> contextlib.AbstractContextManager[None]:
        given.append(options)
        return contextlib.nullcontext()

    monkeypatch.setattr(commands, "Stack", stack)
    monkeypatch.setattr(commands, "serve", lambda _: 0)
    assert commands.main(["serve", "--nsm-seconds", "0.05"]) == commands.main(["serve"]) == 0
    assert [options["nsm_seconds"] for options in given] == [0.05, 0.0]
    for wrong in ("-1", "nan", "61", "soon"):
        with pytest.raises(SystemExit):
            commands.main(["serve", "--nsm-seconds", wrong])


def sent_and_received(stack: Stack, call: dict[str, Any]) -> tuple[bytes, bytes]:
    sent = json.dumps({**call, "challenge": base64.b64encode(os.urandom(32)).decode()}).encode()
    headers = {"Content-Type": "application/json"}
    return sent, requests.post(f"{stack.url}/attest/fetch", data=sent, headers=headers, timeout=40).content


def test_the_independent_verifier_accepts_an_answer_and_only_with_its_own_question(running_stack: Stack) -> None:
    sent, received = sent_and_received(running_stack, FAST)
    verified = commands.verify(running_stack, sent, received)
    assert verified.response.status == 200
    assert b'"507172230"' in verified.body
    other, _ = sent_and_received(running_stack, FAST)
    with pytest.raises(StatementError, match="challenge"):
        commands.verify(running_stack, other, received)


def test_the_independent_verifier_accepts_an_attested_failure_as_such(running_stack: Stack) -> None:
    sent, received = sent_and_received(running_stack, {**SLOW, "timeoutMs": 1000})
    verified = commands.verify(running_stack, sent, received)
    assert isinstance(verified.outcome, Failure)
    assert (verified.outcome.kind, verified.body) == ("timeout", b"")


def adapter_of(stack: Stack, **changes: Any) -> AttestedAdapter:
    return AttestedAdapter(parent=stack.url, policy=commands.policy_of(stack), root=commands.root_of(stack), **changes)


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize("mode", ["document", "batch", "session"])
def test_a_program_that_uses_requests_fetches_through_the_enclave_without_knowing(
    running_stack: Stack, mode: str, sealed: bool
) -> None:
    adapter = adapter_of(running_stack, mode=mode, sealed=sealed)
    with attest_only(requests.Session(), {"https://ec.europa.eu/": adapter}) as session:
        asked = {"countryCode": "PT", "vatNumber": "507172230"}
        answer = session.post(FAST["url"], json=asked, timeout=20)
        assert (answer.status_code, answer.json()["valid"]) == (200, True)
        assert attestation_of(answer).verified.statement.service == "vies"
        assert json.loads(attestation_of(answer).reply)["attestation"]["mode"] == mode
        with pytest.raises(Refused, match="no rule for"):
            session.get("https://ec.europa.eu/eurostat/api", timeout=20)


def test_a_restart_costs_a_sealed_request_which_is_never_sent_twice(running_stack: Stack) -> None:
    url = FAST["url"].replace("check-vat-number", "check-status")
    with attest_only(requests.Session(), {"https://ec.europa.eu/": adapter_of(running_stack)}) as session:
        assert session.get(url, timeout=20).ok
        running_stack.kill_worker()
        with pytest.raises(Unavailable, match="502"):
            session.get(url, timeout=20)
        running_stack.start_worker()
        with pytest.raises(KeyRetired, match=r"409 sealed\.unknown-key"):
            session.get(url, timeout=20)
        assert session.get(url, timeout=20).ok


def test_the_parent_shows_who_its_enclave_is(running_stack: Stack) -> None:
    challenge = os.urandom(32)
    url = f"{running_stack.url}/enclaves/vies/identity"
    asked = {"challenge": base64.urlsafe_b64encode(challenge).decode()}
    reply = requests.get(url, params=asked, timeout=10).json()
    verified = tytle_verifier.verify_document(
        base64.b64decode(reply["nsmDocument"]),
        time=tytle_verifier.live(),
        root=commands.root_of(running_stack),
        policy=commands.policy_of(running_stack),
    )
    assert verified.document.nonce == challenge
    assert cbor2.loads(base64.b64decode(reply["identity"]))["manifest"] == running_stack.manifest.digest
    assert requests.get(url, params={"challenge": "short"}, timeout=10).status_code == 400
    assert requests.get(url.replace("vies", "nobody"), timeout=10).status_code == 404


def test_sixteen_slow_requests_do_not_hold_up_a_fast_one(running_stack: Stack, slow_vies: SlowVies) -> None:
    slow = threading.Thread(target=lambda: in_threads(16, lambda _: post(running_stack, SLOW)))
    slow.start()
    held(slow_vies, 16)
    assert post(running_stack, FAST).json()["success"] is True  # answered while all sixteen are held
    assert slow.is_alive()
    slow_vies.go_on.set()
    slow.join()


def test_a_killed_worker_costs_the_requests_in_flight_and_nothing_else(
    running_stack: Stack, slow_vies: SlowVies
) -> None:
    replies: list[requests.Response] = []
    flying = [threading.Thread(target=lambda: replies.append(post(running_stack, SLOW))) for _ in range(4)]
    for thread in flying:
        thread.start()
    held(slow_vies, 4)
    running_stack.kill_worker()
    for thread in flying:
        thread.join()
    assert [reply.status_code for reply in replies] == [502] * 4
    assert {reply.json()["code"] for reply in replies} == {"enclave_unreachable"}
    down = post(running_stack, FAST)
    assert (down.status_code, down.json()["success"]) == (502, False)
    wait_until(lambda: requests.get(f"{running_stack.url}/health", timeout=10).status_code == 503)
    running_stack.start_worker()
    answers = [post(running_stack, FAST) for _ in range(8)]
    assert [answer.json()["success"] for answer in answers] == [True] * 8
    wait_until(lambda: requests.get(f"{running_stack.url}/health", timeout=10).json()["healthy"] is True)


def test_a_stopped_worker_finishes_what_it_has_begun(running_stack: Stack, slow_vies: SlowVies) -> None:
    replies: list[requests.Response] = []
    flying = threading.Thread(target=lambda: replies.append(post(running_stack, SLOW)))
    flying.start()
    held(slow_vies, 1)
    opener = threading.Timer(0.3, slow_vies.go_on.set)
    opener.start()
    assert running_stack.stop_worker() == 0
    flying.join()
    assert replies[0].json()["success"] is True
    running_stack.start_worker()


def test_every_thread_of_a_worker_keeps_to_one_cpu(running_stack: Stack) -> None:
    assert post(running_stack, FAST).json()["success"] is True
    threads = [int(task.name) for task in Path(f"/proc/{running_stack.worker_pid()}/task").iterdir()]
    allowed = {frozenset(os.sched_getaffinity(thread)) for thread in threads}
    assert len(threads) > 2  # the NSM's is among them
    assert [len(cpus) for cpus in allowed] == [1]


def test_a_new_worker_has_a_new_boot_and_counts_from_zero(running_stack: Stack) -> None:
    def said() -> dict[str, Any]:
        statement: dict[str, Any] = cbor2.loads(
            base64.b64decode(post(running_stack, FAST).json()["attestation"]["statement"])
        )
        return statement

    before = said()
    running_stack.kill_worker()
    running_stack.start_worker()
    after = said()
    assert after["boot"] != before["boot"]
    assert after["seq"] == 0
