"""SealedClient: when it asks for an identity, how long it keeps one, and that it seals to nobody else."""

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
import verifier_kit as kit
from hypothesis import given, settings
from hypothesis import strategies as st
from verifier_cases import ROOT, policy, refused
from verifier_sealed import HOUR_MS, Refusal, SealedEnclave, answered

from tytle_verifier import (
    AWS_ROOT,
    Archive,
    At,
    IdentityBusy,
    Live,
    NotOpened,
    PolicyError,
    SealedClient,
    UnknownKey,
    VerificationError,
    verify_reply,
)
from tytle_verifier.sealed import Identities

ASKED = {"url": kit.URL, "method": "GET", "headers": {"Authorization": "Bearer x"}, "challenge": kit.b64(b"c" * 32)}
CALL = json.dumps(ASKED).encode()


@dataclass
class World:
    """An enclave, and a client that asks it; every challenge is written down."""

    enclave: SealedEnclave = field(default_factory=SealedEnclave)
    challenges: list[bytes] = field(default_factory=list)
    skew_ms: int = 0  # how far the client's clock is ahead of the enclave's
    ask: Callable[[bytes], bytes] | None = None

    def now(self) -> Live:
        ahead = self.enclave.now_ms - kit.SIGNED_MS + self.skew_ms
        return Live(now=kit.SIGNED_AT + timedelta(milliseconds=ahead))

    def asked(self, challenge: bytes) -> bytes:
        self.challenges.append(challenge)
        return (self.ask or self.enclave.show)(challenge)

    def client(self, **changes: Any) -> SealedClient:
        return SealedClient(**{**self.given(), "ask": self.asked, **changes})

    def given(self) -> dict[str, Any]:
        return {"policy": policy(), "clock": self.now, "random": kit_random(), "root": ROOT}

    def answer(self, data: bytes) -> bytes:
        try:
            opened = self.enclave.open(json.loads(data))
        except Refusal as refusal:
            return json.dumps(refusal.body).encode()
        return json.dumps({"sealed": kit.b64(opened.seal(answered(self.enclave, opened)))}).encode()


def kit_random() -> Callable[[int], bytes]:
    """Different bytes each time, and so many."""
    made = iter(range(1, 1_000_000))
    return lambda size: kit.sha256(str(next(made)).encode())[:size]


@pytest.fixture
def world() -> World:
    return World()


def fetched(world: World, client: SealedClient) -> None:
    call = client.seal(CALL)
    reply = call.open(world.answer(call.data))
    verified = verify_reply(reply, policy=policy(), time=world.now(), root=ROOT)
    assert verified.statement.boot == call.identity.boot


# --- once, and again -------------------------------------------------------------------------------------------------


def test_an_identity_is_asked_for_once_and_under_a_fresh_challenge(world: World) -> None:
    client = world.client()
    assert world.challenges == []
    for _ in range(5):
        fetched(world, client)
    assert [len(challenge) for challenge in world.challenges] == [32]
    fetched(world, world.client(random=lambda size: b"r" * size))
    assert world.challenges[1] == b"r" * 32


@pytest.mark.parametrize(
    ("until_ms", "kept_ms"),
    [(HOUR_MS, HOUR_MS), (600_000, 600_000), (24 * HOUR_MS, HOUR_MS)],
    ids=["until", "sooner", "an hour at most"],
)
def test_an_identity_is_kept_until_its_key_is_old_and_for_an_hour_at_most(
    world: World, until_ms: int, kept_ms: int
) -> None:
    world.enclave.until_ms = kit.SIGNED_MS + until_ms
    client = world.client()
    fetched(world, client)
    world.enclave.now_ms = kit.SIGNED_MS + kept_ms - 1
    fetched(world, client)
    assert len(world.challenges) == 1
    world.enclave.now_ms += 1
    world.enclave.rotate()
    for _ in range(3):
        fetched(world, client)
    assert len(world.challenges) == 2


def test_rotation_costs_one_question_and_no_request(world: World) -> None:
    client = world.client()
    for minute in range(0, 150, 10):
        world.enclave.now_ms = kit.SIGNED_MS + minute * 60_000
        if world.enclave.now_ms >= world.enclave.until_ms:
            world.enclave.rotate()
        fetched(world, client)
    assert len(world.challenges) == 3


def test_a_key_that_was_rotated_is_taken_for_calls_under_way(world: World) -> None:
    call = world.client().seal(CALL)
    world.enclave.rotate()
    assert call.open(world.answer(call.data))


@pytest.mark.parametrize("skew_ms", [-290_000, 290_000])
def test_a_clock_that_is_minutes_off_costs_questions_and_no_request(world: World, skew_ms: int) -> None:
    world.skew_ms = skew_ms
    client = world.client()
    for second in range(3_300, 3_900, 30):
        world.enclave.now_ms = kit.SIGNED_MS + second * 1000
        if world.enclave.now_ms >= world.enclave.until_ms:
            world.enclave.rotate()
        fetched(world, client)
    assert len(world.challenges) <= 15


def test_an_unknown_key_is_forgotten_and_the_next_call_asks_again(world: World) -> None:
    client = world.client()
    fetched(world, client)
    world.enclave.rotate(keep=False)
    call = client.seal(CALL)
    with pytest.raises(UnknownKey):
        call.open(world.answer(call.data))
    assert len(world.challenges) == 1
    fetched(world, client)
    assert len(world.challenges) == 2


def test_an_old_calls_unknown_key_does_not_forget_the_new_one(world: World) -> None:
    client = world.client()
    old = client.seal(CALL)
    world.enclave.rotate(keep=False)
    twin = client.seal(CALL)
    for call in (old, twin):
        with pytest.raises(UnknownKey):
            call.open(world.answer(call.data))
        fetched(world, client)
    assert len(world.challenges) == 2


@pytest.mark.parametrize("code", ["sealed.unreadable", "sealed.stale", "sealed.replayed", "sealed.full"])
def test_other_refusals_forget_nothing(world: World, code: str) -> None:
    client = world.client()
    with pytest.raises(NotOpened):
        client.seal(CALL).open(json.dumps(Refusal(400, code).body).encode())
    fetched(world, client)
    assert len(world.challenges) == 1


def test_what_was_refused_is_not_kept(world: World) -> None:
    client = world.client()
    world.enclave.service = "stripe"
    for _ in range(2):
        refused(8, "service", client.seal, CALL)
    world.enclave.service = "vies"
    fetched(world, client)
    assert len(set(world.challenges)) == 3


def test_a_question_that_failed_is_the_callers_exception_and_is_asked_anew(world: World) -> None:
    def broken(_: bytes) -> bytes:
        raise ConnectionResetError("gone")

    client = world.client()
    world.ask = broken
    with pytest.raises(ConnectionResetError):
        client.seal(CALL)
    world.ask = None
    fetched(world, client)


# --- threads ---------------------------------------------------------------------------------------------------------


def test_sixteen_threads_without_an_identity_ask_one_question(world: World) -> None:
    together = threading.Barrier(16)
    client = world.client()

    def slowly(challenge: bytes) -> bytes:
        time.sleep(0.05)
        return world.enclave.show(challenge)

    def one(_: int) -> bytes:
        together.wait(10)
        return client.seal(CALL).data

    world.ask = slowly
    with ThreadPoolExecutor(16) as pool:
        calls = [*pool.map(one, range(16))]
    assert len(world.challenges) == 1
    assert len(set(calls)) == 16


def test_who_waits_longer_than_its_patience_for_anothers_question_sends_nothing(world: World) -> None:
    asking, go_on = threading.Event(), threading.Event()

    def held(challenge: bytes) -> bytes:
        asking.set()
        assert go_on.wait(20)
        return world.enclave.show(challenge)

    identities = Identities(**world.given())
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(identities.current, held)
        assert asking.wait(20)
        with pytest.raises(IdentityBusy, match=r"waited 0\.01 s"):
            identities.current(world.asked, patience_seconds=0.01)
        go_on.set()
        found = first.result(20)
    assert world.challenges == []
    assert identities.current(world.asked, patience_seconds=0) is found


# --- what it demands -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("clock", [Archive, lambda: At(instant=kit.SIGNED_AT)])
def test_no_time_but_live_will_do(world: World, clock: Any) -> None:
    with pytest.raises(PolicyError, match="live time"):
        world.client(clock=clock)
    times = iter([world.now(), Archive()])
    client = world.client(clock=lambda: next(times))
    with pytest.raises(PolicyError, match="live time"):
        client.seal(CALL)


@pytest.mark.parametrize("service", ["a/b", "..", "Vies", "a b", "a\0b", "-a", "a--b", "x" * 33, "é"])
def test_a_service_with_a_name_that_no_enclave_has_is_the_callers_error(world: World, service: str) -> None:
    with pytest.raises(PolicyError, match="no enclave can be called"):
        world.client(policy=policy(service=service))


def test_aws_is_trusted_unless_another_root_is_given(world: World) -> None:
    given = {name: value for name, value in world.given().items() if name != "root"}
    client = SealedClient(ask=world.asked, **given)
    refused(3, "cabundle[0]", client.seal, CALL)
    assert AWS_ROOT.genuine


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_whatever_an_identity_question_brings_nothing_is_sealed(data: bytes) -> None:
    world = World(ask=lambda _: data)
    with pytest.raises(VerificationError):
        world.client().seal(CALL)
