"""The whole system as processes (gunicorn, worker, relays, TLS upstream): what one sees, and what a crash costs."""

import base64
import hashlib
import threading
from typing import Any

import cbor2
import pytest
import requests

from devstack import __main__ as commands
from devstack.stack import Stack
from nsm import document
from tests.conftest import SLOW_PATH, SlowVies
from tests.enclave_kit import in_threads

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
    assert '"valid": true' in shown
    assert '"valid": false' in shown
    assert "no rule for ec.europa.eu/eurostat/api" in shown
    assert "attested   no: nothing was fetched" in shown
    assert "profile: tytle/attested-fetch/v1" in shown


def test_a_reply_is_bound_to_its_document_end_to_end(running_stack: Stack) -> None:
    challenge = base64.b64encode(b"0123456789abcdef").decode()
    reply = post(running_stack, {**FAST, "challenge": challenge}).json()
    statement = base64.b64decode(reply["attestation"]["statement"])
    fields = document.read(base64.b64decode(reply["attestation"]["nsmDocument"]))
    assert fields.user_data is not None
    assert cbor2.loads(fields.user_data)["root"] == hashlib.sha256(b"\0" + statement).digest()
    assert cbor2.loads(statement)["challenge"] == b"0123456789abcdef"
    body = cbor2.loads(statement)["exchanges"][0]["response"]["body"]
    assert body["sha256"] == hashlib.sha256(reply["rawBody"].encode()).digest()


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
    assert requests.get(f"{running_stack.url}/health", timeout=10).status_code == 503
    running_stack.start_worker()
    answers = [post(running_stack, FAST) for _ in range(8)]
    assert [answer.json()["success"] for answer in answers] == [True] * 8
    assert requests.get(f"{running_stack.url}/health", timeout=10).json()["healthy"] is True


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


def test_a_caller_that_gives_little_time_gets_an_attested_time_out(running_stack: Stack) -> None:
    answer = post(running_stack, {**SLOW, "timeoutMs": 1000})
    reply = answer.json()
    assert (answer.status_code, reply["success"], reply["status"]) == (200, False, 504)
    statement = cbor2.loads(base64.b64decode(reply["attestation"]["statement"]))
    assert statement["exchanges"][0]["failure"]["kind"] == "timeout"
