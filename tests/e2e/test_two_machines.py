"""The main job through two machines: the parent's image with CID 3, the enclave's with CID 16, real vsock between."""

import base64
import hashlib
import json
import os
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cbor2
import pytest
import requests

import tytle_verifier
from devstack import nitro
from devstack.__main__ import LOOKUPS, lookup
from devstack.parent_services import LARGE_PATH
from devstack.relay import GuestPort, connect
from devstack.two_machines import TwoMachines
from policy import manifest
from tests.e2e.asking import SOAP, ask, root_of, verify
from tests.e2e.conftest import MANIFEST, Images
from tests.e2e.figures import FIGURES
from tests.e2e.test_boot import CALL, measured
from wire import frames, sockets
from wire.errors import PeerLost
from wire.frames import MAX_FRAME_BYTES

INVALID = lookup("PT", "999999990")
REFUSED = LOOKUPS["A request that the policy refuses"]
IN_FLIGHT_MS = 5000
CALLERS = 4
CLEAR = {(200, "answer"), (502, "enclave_unreachable"), (504, "deadline")}
MAX_LOST = 64  # connections that one process of the parent may hold to one enclave (app/config.py)
MIB = 1024 * 1024
LARGE_BYTES = 8 * MIB  # the most that a policy can allow (policy/manifest.py)
LARGE_ESCAPED = (MAX_FRAME_BYTES - LARGE_BYTES - 16 * 1024) // 5  # each takes six bytes in JSON; 16 KiB for the rest
LARGE_RULE = f"""
[[upstreams.rules]]
method = "GET"
path = "{LARGE_PATH}"
query = ["escaped=", "plain="]
max_response_bytes = {LARGE_BYTES}
"""


@pytest.fixture
def ready(machines: TwoMachines, images: Images) -> TwoMachines:
    """Both machines, the enclave's with the test image."""
    machines.run_image(images.test)
    return machines


def exchange(way: GuestPort, payload: bytes) -> dict[str, Any]:
    """Send one frame on a new connection; {} where the worker turned it away."""
    deadline = time.monotonic() + 60
    with connect(way, timeout=60) as sock:
        sockets.send(sock, len(payload).to_bytes(4, "big") + payload, deadline=deadline)
        reply = sockets.receive_frame(sock, frames.Decoder(), deadline=deadline)
    answer: dict[str, Any] = json.loads(reply or b"{}")
    return answer


def test_the_parent_is_healthy_through_vsock(ready: TwoMachines) -> None:
    answer = requests.get(f"{ready.url}/health", timeout=60)
    (enclave,) = answer.json()["enclaves"]
    assert (answer.status_code, enclave["cid"], enclave["state"]) == (200, 16, "RUNNING")


@pytest.mark.parametrize(("call", "valid"), [(CALL, True), (INVALID, False)], ids=["valid", "invalid"])
def test_a_rest_lookup_verifies(ready: TwoMachines, images: Images, call: dict[str, Any], valid: bool) -> None:
    sent, answer = ask(ready, call)
    verified = verify(ready, measured(images.test), sent, answer.content)
    assert (verified.response.status, json.loads(verified.body)["valid"]) == (200, valid)


def test_a_soap_lookup_verifies(ready: TwoMachines, images: Images) -> None:
    sent, answer = ask(ready, SOAP)
    verified = verify(ready, measured(images.test), sent, answer.content)
    assert b"<ns2:valid>true</ns2:valid><ns2:name>TYTLE LDA</ns2:name>" in verified.body


def test_what_the_policy_refuses_is_refused_by_the_enclave(ready: TwoMachines) -> None:
    _, answer = ask(ready, REFUSED)
    reply = answer.json()
    assert (answer.status_code, reply["success"], reply["status"]) == (200, False, 403)
    assert "attestation" not in reply


def test_the_identity_comes_through_the_parent(ready: TwoMachines) -> None:
    challenge = os.urandom(32)
    parameters = {"challenge": base64.b64encode(challenge).decode()}
    reply = requests.get(f"{ready.url}/enclaves/vies/identity", params=parameters, timeout=60).json()
    document = base64.b64decode(reply["nsmDocument"])
    read = tytle_verifier.verify_document(document, time=tytle_verifier.live(), root=root_of(ready)).document
    card = base64.b64decode(reply["identity"])
    assert (read.nonce, cbor2.loads(read.user_data or b"")["identity"]) == (challenge, hashlib.sha256(card).digest())


def test_the_worker_serves_cid_3_and_turns_away_another(ready: TwoMachines) -> None:
    ping = b'{"type":"ping"}'
    assert exchange(ready.worker_from_the_parent, ping)["type"] == "pong"
    try:
        assert exchange(ready.guest(5000), ping) == {}  # CID 2
    except PeerLost:
        return  # closed before the frame was sent


def test_a_frame_of_16_mib_passes_and_a_longer_one_is_refused(ready: TwoMachines) -> None:
    began = time.monotonic()
    fullest = b'{"type":"ping","padding":"' + b"x" * (MAX_FRAME_BYTES - 28) + b'"}'
    assert len(fullest) == MAX_FRAME_BYTES
    assert exchange(ready.worker_from_the_parent, fullest)["type"] == "pong"
    FIGURES.append(f"16 MiB to the enclave {time.monotonic() - began:.1f} s")
    # A header alone: the worker answers before the rest could come.
    deadline = time.monotonic() + 60
    with connect(ready.worker_from_the_parent, timeout=60) as sock:
        sockets.send(sock, (MAX_FRAME_BYTES + 1).to_bytes(4, "big"), deadline=deadline)
        reply = json.loads(sockets.receive_frame(sock, frames.Decoder(), deadline=deadline) or b"{}")
    assert (reply["status"], reply["error"]) == (400, f"Message too large: {MAX_FRAME_BYTES + 1} bytes (max 16777216)")


def test_a_request_above_the_policys_size_is_read_whole_and_refused(ready: TwoMachines) -> None:
    _, answer = ask(ready, {**CALL, "body": "x" * (9 * MIB)})
    reply = answer.json()
    assert (answer.status_code, reply["success"], reply["status"]) == (200, False, 403)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One request: when it began and ended (monotonic), HTTP status, and the parent's code or the enclave's status."""

    began: float
    ended: float
    status: int
    code: str


def one(machines: TwoMachines) -> Outcome:
    began = time.monotonic()
    _, answer = ask(machines, CALL, timeoutMs=IN_FLIGHT_MS)
    reply = answer.json()
    code = reply.get("code", "answer" if "attestation" in reply else "refusal")
    return Outcome(began=began, ended=time.monotonic(), status=answer.status_code, code=code)


def tally(outcomes: list[Outcome]) -> dict[str, int]:
    return dict(Counter(f"{each.status} {each.code}" for each in outcomes))


def ask_until_answered(machines: TwoMachines, call: dict[str, Any], **more: object) -> tuple[bytes, requests.Response]:
    """Ask again after a 502: each idle connection that a process of the parent kept to a dead enclave costs one."""
    for lost in range(2 * MAX_LOST):
        sent, answer = ask(machines, call, **more)
        reply = answer.json()
        if "attestation" in reply:
            FIGURES.append(f"kept connections lost with the enclave, a 502 each: {lost}")
            return sent, answer
        assert (answer.status_code, reply["code"]) == (502, "enclave_unreachable")
    pytest.fail("the parent does not heal")


def test_an_enclave_that_dies_in_the_middle_costs_clear_errors_and_the_parent_heals(
    ready: TwoMachines, images: Images
) -> None:
    sent, answer = ask_until_answered(ready, CALL)
    first = verify(ready, measured(images.test), sent, answer.content).statement.boot
    outcomes: list[Outcome] = []
    stop = threading.Event()

    def caller() -> None:
        while not stop.is_set():
            outcomes.append(one(ready))

    threads = [threading.Thread(target=caller) for _ in range(CALLERS)]
    for thread in threads:
        thread.start()
    time.sleep(3)
    killed = time.monotonic()
    ready.kill_enclave()
    boot_seconds = ready.boot_enclave()
    back = time.monotonic()
    time.sleep(3)
    stop.set()
    for thread in threads:
        thread.join()

    in_flight = [each for each in outcomes if each.began < killed < each.ended]
    late = [each for each in outcomes if each.began > back]
    FIGURES.append(f"enclave killed under {CALLERS} callers: in flight {tally(in_flight)}; in all {tally(outcomes)}")
    FIGURES.append(f"enclave back after {boot_seconds:.1f} s; asked after that: {tally(late)}")
    assert {each.status for each in in_flight} & {502, 504}
    assert {(each.status, each.code) for each in outcomes} <= CLEAR
    sent, answer = ask_until_answered(ready, CALL)
    again = verify(ready, measured(images.test), sent, answer.content).statement.boot
    assert again != first
    assert ready.is_healthy()


def test_a_reply_of_nearly_16_mib_verifies(machines: TwoMachines, images: Images, tmp_path: Path) -> None:
    """The shipped policy allows 1 MiB at most: one more rule, in a further ramdisk, allows what any policy could."""
    policy = MANIFEST.read_bytes() + LARGE_RULE.encode()
    large = tmp_path / "large.eif"
    large.write_bytes(nitro.with_file(images.test_unsigned.read_bytes(), "opt/tytle/services/vies.toml", policy))
    machines.run_image(large)
    began = time.monotonic()
    query = f"escaped={LARGE_ESCAPED}&plain={LARGE_BYTES - LARGE_ESCAPED}"
    call = {"url": f"https://api.service.hmrc.gov.uk{LARGE_PATH}?{query}", "method": "GET", "headers": {}}
    sent, answer = ask_until_answered(machines, call, timeoutMs=120_000)
    FIGURES.append(f"{len(answer.content)} bytes from the enclave {time.monotonic() - began:.1f} s")
    assert MAX_FRAME_BYTES - 32 * 1024 < len(answer.content) <= MAX_FRAME_BYTES
    verified = verify(machines, measured(large), sent, answer.content, manifest.load(policy))
    assert verified.body == b"\x01" * LARGE_ESCAPED + b"a" * (LARGE_BYTES - LARGE_ESCAPED)


def test_the_production_image_does_not_trust_the_stand_ins(machines: TwoMachines, images: Images) -> None:
    machines.run_image(images.production)
    sent, answer = ask_until_answered(machines, CALL)
    verified = verify(machines, measured(images.production), sent, answer.content)
    assert isinstance(verified.outcome, tytle_verifier.Failure)
    assert verified.outcome.kind == "tls"
