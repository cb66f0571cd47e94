"""Two enclaves of one service behind two gunicorn processes: killed, hung, drained and sealed to, under load.

One stack serves the whole module; after each test it is made whole again. Each process sees for itself how an enclave
is, so that what one of them shows is waited for until all of them do.
"""

import base64
import contextlib
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import cbor2
import pytest
import requests

from devstack import __main__ as commands
from devstack.hmrc import Hmrc
from devstack.processes import children, kill, stopped
from devstack.stack import Stack
from tests.conftest import SLOW_PATH, SlowVies
from tests.fake_enclave import wait_until
from tytle_verifier import SealedClient

FAST = commands.lookup("PT", "507172230")
SLOW = {"url": f"https://ec.europa.eu{SLOW_PATH}", "method": "GET", "timeoutMs": 30000}
FIRST, SECOND = "vies/16", "vies/116"
CALLERS = 8


@pytest.fixture(scope="module")
def slow() -> SlowVies:
    return SlowVies()


@pytest.fixture(scope="module")
def stack(slow: SlowVies) -> Iterator[Stack]:
    handlers = {"ec.europa.eu": slow, "api.service.hmrc.gov.uk": Hmrc()}
    with Stack(handlers=handlers, enclaves=2, workers=2) as running:
        yield running


@pytest.fixture(autouse=True)
def _whole_again(stack: Stack, slow: SlowVies) -> Iterator[None]:
    yield
    slow.go_on.set()
    for number, cid in enumerate(("16", "116")):
        (stack.state / "draining" / f"vies.{cid}").unlink(missing_ok=True)
        if stack._running[number].poll() is not None:
            stack.start_worker(number)
    settled(lambda: all(each["healthy"] and not each["draining"] for each in enclaves(stack).values()))


def settled(condition: Callable[[], bool], *, times: int = 8) -> None:
    """Wait until `condition` holds so often in a row that every process has been asked."""
    wait_until(lambda: all(condition() for _ in range(times)), seconds=30)


def post(stack: Stack, call: dict[str, Any] = FAST) -> requests.Response:
    return requests.post(f"{stack.url}/attest/fetch", json=call, timeout=40)


def processes(stack: Stack) -> list[int]:
    """Return the process ids of gunicorn's workers."""
    return children(stack.parent_pid)


def serving(stack: Stack, count: int = 60) -> Counter[str]:
    """Return which enclaves answered `count` calls, every one of them well, and how many each."""
    answers = [post(stack) for _ in range(count)]
    assert [answer.text for answer in answers if not answer.json()["success"]] == []
    return Counter(answer.headers["X-Enclave"] for answer in answers)


def both_serve(stack: Stack) -> None:
    """Wait until both enclaves answer calls. A busy machine has one miss a ping now and then, which is no failure."""
    wait_until(lambda: serving(stack, 8).keys() == {FIRST, SECOND}, seconds=30)


def drain(stack: Stack, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "app.drain", "vies", *arguments]
    environment = {**os.environ, "STATE_DIR": str(stack.state)}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=60)


def enclaves(stack: Stack) -> dict[int, dict[str, Any]]:
    said = requests.get(f"{stack.url}/health", timeout=20).json()["enclaves"]
    return {each["cid"]: each for each in said}


def judged(stack: Stack) -> tuple[int, bool, bool]:
    """Return the status of /health, and what it says of the whole."""
    answer = requests.get(f"{stack.url}/health", timeout=20)
    said = answer.json()
    return answer.status_code, said["healthy"], said["degraded"]


@dataclass
class Load:
    """Callers that ask without a pause until the block ends; `answers` holds (began, status, enclave, success)."""

    stack: Stack
    answers: list[tuple[float, int, str | None, bool]] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "Load":
        self._threads = [threading.Thread(target=self._ask) for _ in range(CALLERS)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        with requests.Session() as session:
            while not self._over.is_set():
                began = time.monotonic()
                answer = session.post(f"{self.stack.url}/attest/fetch", json=FAST, timeout=40)
                said = (began, answer.status_code, answer.headers.get("X-Enclave"), answer.json()["success"])
                self.answers.append(said)


@contextlib.contextmanager
def held_at(stack: Stack, slow: SlowVies, enclave: int) -> Iterator[list[requests.Response]]:
    """Have one call held at the enclave with that CID until the block ends."""
    slow.go_on.clear()
    replies: list[requests.Response] = []
    caller = threading.Thread(target=lambda: replies.append(post(stack, SLOW)))
    other = "116" if enclave == 16 else "16"
    assert drain(stack, other, "--wait", "20").returncode == 0
    caller.start()
    assert slow.waiting.acquire(timeout=10)
    assert drain(stack, other, "--undo").returncode == 0
    try:
        yield replies
    finally:
        slow.go_on.set()
        caller.join()


def test_calls_are_spread_and_the_answer_says_which_boot_of_which_enclave_gave_it(stack: Stack) -> None:
    boots = {}
    for _ in range(20):
        answer = post(stack)
        statement = cbor2.loads(base64.b64decode(answer.json()["attestation"]["statement"]))
        assert answer.headers["X-Enclave-Boot"] == statement["boot"].hex()
        boots[answer.headers["X-Enclave"]] = statement["boot"].hex()
    assert boots.keys() == {FIRST, SECOND}
    assert {cid: each["boot"] for cid, each in enclaves(stack).items()} == {16: boots[FIRST], 116: boots[SECOND]}


def test_an_enclave_killed_under_load_costs_the_calls_under_way_there_and_comes_back(stack: Stack) -> None:
    with Load(stack) as load:
        time.sleep(0.5)
        stack.kill_worker(1)
        killed = time.monotonic()
        time.sleep(1.5)
        middle = time.monotonic()
        stack.start_worker(1)
        time.sleep(1.5)
        health = requests.get(f"{stack.url}/health", timeout=20)
    lost = [said for said in load.answers if not said[3]]
    assert len(lost) <= CALLERS
    assert all((status, enclave) == (502, None) for _, status, enclave, _ in lost)
    assert [said for said in lost if said[0] > killed] == []  # none was lost that had not begun before
    assert {enclave for began, _, enclave, _ in load.answers if killed < began < middle and enclave} == {FIRST}
    assert len(load.answers) > 5 * CALLERS
    wait_until(lambda: post(stack).headers["X-Enclave"] == SECOND, seconds=20)
    assert health.status_code == 200


def test_one_dead_enclave_of_two_is_told_and_leaves_the_service_healthy(stack: Stack) -> None:
    stack.kill_worker(0)
    settled(lambda: judged(stack) == (200, True, True))
    assert requests.get(f"{stack.url}/readyz", timeout=20).status_code == 200
    stack.kill_worker(1)
    settled(lambda: requests.get(f"{stack.url}/readyz", timeout=20).status_code == 503)
    settled(lambda: judged(stack) == (503, False, True))
    assert requests.get(f"{stack.url}/livez", timeout=20).status_code == 200
    assert post(stack).status_code == 502
    for number in (0, 1):
        stack.start_worker(number)
    both_serve(stack)
    ready = {"ready": True, "stopping": False, "missing": []}
    settled(lambda: requests.get(f"{stack.url}/readyz", timeout=20).json() == ready)


def test_an_enclave_that_hangs_is_left_out_and_comes_back(stack: Stack) -> None:
    with stopped([stack.worker_pid(1)]):
        impatient = {**FAST, "timeoutMs": 2000}
        wait_until(lambda: {post(stack, impatient).headers.get("X-Enclave") for _ in range(12)} == {FIRST}, seconds=60)
        settled(lambda: not enclaves(stack)[116]["healthy"])
    both_serve(stack)


def test_a_drained_enclave_gets_no_calls_from_any_process_and_none_is_lost(stack: Stack) -> None:
    with Load(stack) as load:
        time.sleep(0.3)
        done = drain(stack, "16", "--wait", "20")
        idle = time.monotonic()
        time.sleep(1.0)
    assert (done.returncode, done.stdout) == (0, "vies/16 gets no new calls and has none under way\n")
    assert all(success for *_, success in load.answers)
    after = {enclave for began, _, enclave, _ in load.answers if began > idle}
    assert after == {SECOND}
    settled(lambda: judged(stack) == (200, True, False))
    assert enclaves(stack)[16]["draining"] is True
    identities = [requests.get(f"{stack.url}/enclaves/vies/identity", timeout=20) for _ in range(6)]
    assert {identity.headers["X-Enclave"] for identity in identities} == {SECOND}
    assert drain(stack, "16", "--undo").returncode == 0
    both_serve(stack)


def test_draining_the_last_enclave_refuses_nothing_and_is_not_ready(stack: Stack) -> None:
    for cid in ("16", "116"):
        assert drain(stack, cid, "--wait", "20").returncode == 0
    assert sum(serving(stack, 6).values()) == 6
    answer = requests.get(f"{stack.url}/readyz", timeout=20)
    assert (answer.status_code, answer.json()["missing"]) == (503, ["vies"])  # each process has seen both marks


def test_a_drain_waits_for_the_call_that_is_under_way(stack: Stack, slow: SlowVies) -> None:
    with held_at(stack, slow, 116) as replies:
        early = drain(stack, "116", "--wait", "1.5")
        assert (early.returncode, early.stdout.count("1 calls under way")) == (1, 1)
    assert replies[0].json()["success"] is True
    assert drain(stack, "116", "--wait", "10").returncode == 0


def test_a_process_that_was_killed_holds_up_no_drain(stack: Stack, slow: SlowVies) -> None:
    slow.go_on.clear()

    def ask() -> None:
        with contextlib.suppress(requests.RequestException):  # whoever answers it is killed
            post(stack, SLOW)

    callers = [threading.Thread(target=ask) for _ in range(8)]
    for caller in callers:
        caller.start()
    for _ in callers:
        assert slow.waiting.acquire(timeout=10)
    killed = processes(stack)
    kill(killed)
    wait_until(lambda: len(set(processes(stack)) - set(killed)) == 2, seconds=20)
    settled(lambda: requests.get(f"{stack.url}/readyz", timeout=20).ok)
    assert drain(stack, "16", "--wait", "10").returncode == 0
    assert len(list((stack.state / "calls").iterdir())) == 2
    slow.go_on.set()
    for caller in callers:
        caller.join()


def test_what_is_sealed_reaches_the_enclave_with_the_key_through_any_process(stack: Stack) -> None:
    clients: dict[bytes, SealedClient] = {}
    while len(clients) < 2:  # until there are keys of both
        client = commands.sealed_client(stack)
        clients[client.seal(commands.challenged(FAST)).identity.boot] = client
    used = Counter()
    for turn in range(12):
        for boot, client in clients.items():
            sent = commands.challenged(FAST)
            sealed = client.seal(sent)
            answer = requests.post(f"{stack.url}/attest/sealed", data=sealed.data, headers=commands.JSON, timeout=40)
            assert answer.headers["X-Enclave-Boot"] == boot.hex(), turn
            commands.verify(stack, sent, sealed.open(answer.content))
            used[answer.headers["X-Enclave"]] += 1
    assert used.keys() == {FIRST, SECOND}


def test_what_is_sealed_to_a_drained_enclave_is_still_delivered_there(stack: Stack) -> None:
    client = commands.sealed_client(stack)
    boot = client.seal(commands.challenged(FAST)).identity.boot.hex()
    cid = next(cid for cid, each in enclaves(stack).items() if each["boot"] == boot)
    assert drain(stack, str(cid), "--wait", "10").returncode == 0
    for _ in range(4):
        sent = commands.challenged(FAST)
        sealed = client.seal(sent)
        answer = requests.post(f"{stack.url}/attest/sealed", data=sealed.data, headers=commands.JSON, timeout=40)
        assert answer.headers["X-Enclave"] == f"vies/{cid}"
        commands.verify(stack, sent, sealed.open(answer.content))


def test_a_key_of_nobody_is_refused_as_such(stack: Stack) -> None:
    body = {"service": "vies", "keyId": "ab" * 32, "sealed": base64.b64encode(bytes(2000)).decode()}
    answer = requests.post(f"{stack.url}/attest/sealed", json=body, timeout=40)
    assert (answer.status_code, answer.json()["code"]) == (200, "sealed.unknown-key")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["17"], "there is no vies/17 here, but vies/116, vies/16"),
        (["16"], "set STATE_DIR"),
    ],
)
def test_a_drain_that_would_do_nothing_is_refused(stack: Stack, arguments: list[str], said: str) -> None:
    environment = {**os.environ, "STATE_DIR": "" if "STATE_DIR" in said else str(stack.state)}
    command = [sys.executable, "-m", "app.drain", "vies", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=60)
    assert done.returncode == 2
    assert said in done.stderr
