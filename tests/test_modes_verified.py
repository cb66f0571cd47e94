"""What the worker attests in each mode, judged by the verifier: two implementations of one format."""

import base64
import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from devstack.soft_nsm import SoftNsm
from devstack.upstream import Request as Sent
from devstack.upstream import Response
from policy import manifest
from tests.enclave_kit import HOST, MANIFEST, Gate, echo, enclave, in_threads, together
from tests.sealing import sealer
from tytle_verifier import (
    AttestedFailure,
    BindingError,
    Live,
    Policy,
    Release,
    Request,
    StatementError,
    TestPkiRoot,
    Time,
    VerifiedReply,
    live,
    load_request,
    verify_reply,
)
from wire.fields import MODES


def judged(
    reply: dict[str, Any], nsm: SoftNsm, asked: Request | None, *, when: Time | None = None, **demands: Any
) -> VerifiedReply:
    pcrs = {index: bytes.fromhex(reply["attestation"]["pcrs"][f"pcr{index}"]) for index in (0, 1, 2)}
    release = Release(commit="c" * 40, pcrs=pcrs, manifest=manifest.load(MANIFEST).digest)
    policy = Policy(service="test", releases=(release,), **demands)
    root = x509.load_pem_x509_certificate(nsm.pki.root_pem.encode()).public_bytes(Encoding.DER)
    data = json.dumps(reply).encode()
    return verify_reply(data, policy=policy, time=when or live(), root=TestPkiRoot(root), request=asked)


def call(number: int, mode: str) -> dict[str, Any]:
    challenge = base64.b64encode(f"the challenge of {number}".encode()).decode()
    return {"id": "r1", "url": f"https://{HOST}/p{number}", "method": "GET", "challenge": challenge, "mode": mode}


def as_asked(asked: dict[str, Any]) -> Request:
    return load_request(json.dumps(asked).encode())


def test_each_answer_of_a_batch_verifies_and_none_in_anothers_place() -> None:
    gate = Gate()
    with enclave(nsm=gate) as running:  # type: ignore[arg-type]  # what is used of it is there
        replies = together(running, gate, lambda number: running.ask(call(number, "batch")))
    assert len({reply["attestation"]["nsmDocument"] for reply in replies}) == 1
    for number, reply in enumerate(replies):
        verified = judged(reply, gate.nsm, as_asked(call(number, "batch")), modes={"batch"})
        assert (verified.body, verified.document.nonce) == (f"/p{number}".encode(), None)
        other = replies[(number + 1) % len(replies)]["attestation"]["inclusion"]
        moved = {**reply, "attestation": {**reply["attestation"], "inclusion": other}}
        with pytest.raises(BindingError):
            judged(moved, gate.nsm, None)


def test_each_answer_of_a_session_verifies_under_its_one_document() -> None:
    nsm = SoftNsm()
    with enclave(nsm=nsm) as running:
        replies = in_threads(6, lambda number: running.ask(call(number, "session")))
    assert len({reply["attestation"]["nsmDocument"] for reply in replies}) == 1
    for number, reply in enumerate(replies):
        verified = judged(reply, nsm, as_asked(call(number, "session")), modes={"session"})
        assert (verified.body, verified.document.nonce) == (f"/p{number}".encode(), None)
        other = replies[(number + 1) % len(replies)]["attestation"]["session"]
        with pytest.raises(BindingError):
            judged({**reply, "attestation": {**reply["attestation"], "session": other}}, nsm, None)


def test_no_worker_vouches_for_the_answers_of_another() -> None:
    nsm = SoftNsm()
    replies = []
    for _ in range(2):
        with enclave(nsm=nsm) as running:
            replies.append(running.ask(call(1, "session")))
    first, second = (reply["attestation"] for reply in replies)
    for taken in ({"nsmDocument": first["nsmDocument"]}, {key: first[key] for key in ("nsmDocument", "session")}):
        with pytest.raises(BindingError):
            judged({**replies[1], "attestation": {**second, **taken}}, nsm, None)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("status", [599, 600, 999])
def test_whatever_status_an_upstream_answers_what_is_attested_verifies(status: int, mode: str) -> None:
    nsm = SoftNsm()
    with enclave(lambda _: Response(status=status), nsm=nsm) as running:
        reply = running.ask(call(1, mode))
    verified = judged(reply, nsm, as_asked(call(1, mode)))
    if status <= 599:
        assert (reply["success"], verified.response.status) == (True, status)
        return
    assert (reply["success"], reply["status"]) == (False, 502)
    with pytest.raises(AttestedFailure, match="malformed"):
        _ = verified.response


@pytest.mark.parametrize("mode", MODES)
def test_an_attested_failure_verifies_in_every_mode(mode: str) -> None:
    def silent(_: Sent) -> Response:
        time.sleep(0.5)
        return Response(status=200)

    nsm = SoftNsm()
    with enclave(silent, nsm=nsm) as running:
        reply = running.ask({**call(1, mode), "timeoutMs": 300})
    verified = judged(reply, nsm, as_asked(call(1, mode)))
    with pytest.raises(AttestedFailure, match="timeout"):
        _ = verified.response


@pytest.mark.parametrize("mode", MODES)
def test_a_sealed_call_is_answered_in_the_mode_that_it_asked_for(mode: str) -> None:
    nsm = SoftNsm()
    with enclave(nsm=nsm) as running:
        client = sealer(running.worker)
        client.seal(call(1, mode))
        reply = client.open(running.worker.answer(client.frame()))
    assert judged(reply, nsm, as_asked(call(1, mode)), modes={mode}).body == b"/p1"


def test_after_two_hours_a_session_is_vouched_for_anew_and_its_first_answer_is_too_old() -> None:
    began = time.time()
    ahead = [0.0]
    nsm = SoftNsm(clock=lambda: began + ahead[0])

    def clock_ms() -> int:
        return int((time.time() + ahead[0]) * 1000)

    with enclave(echo, nsm=nsm, clock_ms=clock_ms) as running:
        first = running.ask(call(1, "session"))
        ahead[0] = 7000.0
        second = running.ask(call(2, "session"))
    now = Live(now=datetime.fromtimestamp(began + ahead[0], UTC) + timedelta(seconds=1))
    assert judged(second, nsm, as_asked(call(2, "session")), when=now).body == b"/p2"
    assert second["attestation"]["nsmDocument"] != first["attestation"]["nsmDocument"]
    with pytest.raises(StatementError, match="too old"):
        judged(first, nsm, as_asked(call(1, "session")), when=now)
