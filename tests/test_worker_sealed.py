"""Sealed requests, the enclave's half: what opens, what does not, and that a refusal says nothing else."""

import base64
import errno
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devstack.nsm_faults import Fails
from devstack.soft_nsm import SoftNsm
from devstack.upstream import Request, Response
from enclave_worker.sealed import envelope, opening, padding
from enclave_worker.sealed.clock import ForwardClock
from enclave_worker.sealed.keys import HOUR_MS, KeyRing, Lifetime
from enclave_worker.sealed.replays import WINDOW_MS, MemoryFull, Replayed, ReplayMemory, Stale
from enclave_worker.worker import Capacity, unix_milliseconds
from tests.enclave_kit import HOST, VAULT, Enclave, enclave, in_threads
from tests.sealing import Sealer, sealer, sealing_key

CALL = {"id": "s1", "url": f"https://{HOST}/hello", "method": "GET", "headers": {"Authorization": "Bearer planted"}}


def refused(reply: bytes) -> str:
    """Return the code of a refusal, which is one of the five fixed answers, whole."""
    answer = json.loads(reply)
    status, text = opening.REFUSALS[answer["code"]]
    assert answer == {
        "success": False,
        "status": status,
        "headers": {},
        "rawBody": "",
        "error": text,
        "code": answer["code"],
    }
    return str(answer["code"])


def test_a_sealed_call_is_answered_like_an_unsealed_one_and_only_its_sender_can_read_it() -> None:
    with enclave() as running:
        client = sealer(running.worker)
        client.seal({**CALL, "challenge": base64.b64encode(b"c" * 32).decode()})
        reply = running.worker.answer(client.frame())
        answer = client.open(reply)
        unsealed = running.fetch("/hello")
    assert json.loads(reply).keys() == {"sealed"}
    assert (answer["success"], answer["status"], answer["rawBody"]) == (True, 200, "/hello")
    assert answer["attestation"].keys() == unsealed["attestation"].keys()
    assert b"hello" not in reply
    assert "planted" not in running.log.getvalue() + reply.decode()


def test_every_answer_that_fits_the_least_bucket_has_one_size() -> None:
    asked: list[dict[str, Any]] = [
        CALL,
        {**CALL, "url": f"https://{HOST}/{'a' * 32}"},
        {**CALL, "url": "https://other.test/"},
        {"nonsense": True},
    ]
    with enclave() as running:
        client = sealer(running.worker)
        sizes = set()
        for request in asked:
            client.seal(request)
            sizes.add(len(base64.b64decode(json.loads(running.worker.answer(client.frame()))["sealed"])))
    assert sizes == {padding.LEAST_ANSWER_BYTES + envelope.OVERHEAD_BYTES}


def test_the_log_of_a_sealed_call_says_what_its_carrier_sees_and_nothing_that_was_inside() -> None:
    def answer(_: Request) -> Response:
        return Response(status=418, headers=(), body=b"")

    def events(running: Enclave) -> list[dict[str, Any]]:
        return [{**json.loads(line), "time": 0, "ms": 0} for line in running.log.getvalue().splitlines()]

    common = {"time": 0, "ms": 0, "service": "test", "sealed": True}
    with enclave(answer, capacity=Capacity(fetches=1)) as running:
        client = sealer(running.worker)
        for request in (CALL, {**CALL, "url": f"https://{HOST}/no/such"}, {**CALL, "body": 5}):
            client.seal({**request, "id": "m4rk"})
            client.open(running.worker.answer(client.frame()))
        running.upstream.stop()
        client.seal({**CALL, "id": "m4rk"})
        client.open(running.worker.answer(client.frame()))
        said = events(running)
    assert said == [
        {**common, "event": "fetched", "host": HOST},
        {**common, "event": "refused"},
        {**common, "event": "bad message"},
        {**common, "event": "fetched", "host": HOST},
    ]


@pytest.mark.parametrize(
    ("request_", "status", "error"),
    [
        ({**CALL, "url": "https://other.test/"}, 403, "service test does not fetch from other.test"),
        ({**CALL, "extra": 1}, 400, "'extra': unknown field"),
        ({}, 400, "Missing required fields: url, method"),
        ({"type": "ping"}, 400, "Missing required fields: url, method"),
    ],
)
def test_what_is_refused_after_opening_is_said_sealed(request_: dict[str, Any], status: int, error: str) -> None:
    with enclave() as running:
        client = sealer(running.worker)
        client.seal(request_)
        answer = client.open(running.worker.answer(client.frame()))
    assert (answer["success"], answer["status"], answer["error"]) == (False, status, error)
    assert "attestation" not in answer


def test_a_failed_fetch_is_attested_inside_the_seal() -> None:
    with enclave() as running:
        running.upstream.stop()
        client = sealer(running.worker)
        client.seal(CALL)
        answer = client.open(running.worker.answer(client.frame()))
    assert (answer["success"], answer["status"]) == (False, 502)
    assert answer["attestation"]["nsmDocument"]


def test_the_time_of_whoever_carries_a_request_bounds_it_too() -> None:
    with enclave() as running:
        client = sealer(running.worker)
        for inner, outer in ((60_000, 1), (1, 60_000), (None, 1)):
            client.seal({**CALL, **({} if inner is None else {"timeoutMs": inner})})
            answer = client.open(running.worker.answer(client.frame(timeoutMs=outer)))
            assert answer["status"] in (502, 504)
            assert answer["success"] is False


def damaged(client: Sealer) -> dict[str, bytes]:
    """Return frames that no honest client sends; each must end in the refusal in front of its name."""
    good = client.seal(CALL)
    inside = client.inside(CALL)
    flipped = bytearray(good)
    flipped[0] ^= 1
    last = good[:-1] + bytes([good[-1] ^ 0x80])
    middle = envelope.OVERHEAD_BYTES + 100
    frames = {
        "unknown-key: another key id": client.frame(good, keyId="00" * 32),
        "unreadable: first bit flipped": client.frame(bytes(flipped)),
        "unreadable: last bit flipped": client.frame(last),
        "unreadable: truncated": client.frame(good[:-1]),
        "unreadable: empty": client.frame(b"x"),
        "unreadable: longer": client.frame(good + b"\0"),
        "unreadable: reordered halves": client.frame(good[middle:] + good[:middle]),
        "unreadable: reordered blocks": client.frame(good[:1136] + good[1152:1168] + good[1136:1152] + good[1168:]),
        "unreadable: oversized": client.frame(client.seal({**CALL, "body": "x" * padding.MAX_REQUEST_BYTES})),
        "unreadable: not padded": client.frame(client.seal_padded(json.dumps(inside).encode())),
        "unreadable: padding not zero": client.frame(
            client.seal_padded(padding.pad(json.dumps(inside).encode(), least=4096)[:-1] + b"\1")
        ),
        "unreadable: another bucket": client.frame(client.seal_padded(padding.pad(b"{}", least=8192))),
        "unreadable: no JSON": client.frame(client.seal_bytes(b"nonsense")),
        "unreadable: JSON twice": client.frame(client.seal_bytes(json.dumps(inside).encode() * 2)),
        "unreadable: a field more": client.frame(client.seal(CALL, extra=1)),
        "unreadable: time is a text": client.frame(client.seal(CALL, time="now")),
        "unreadable: time is true": client.frame(client.seal(CALL, time=True)),
        "unreadable: no reply key": client.frame(client.seal_bytes(b'{"time":1,"request":{}}')),
        "unreadable: a short reply key": client.frame(client.seal(CALL, replyKey="AAAA")),
        "unreadable: a reply key that is none": client.frame(
            client.seal(CALL, replyKey=base64.b64encode(b"\xff" * 1216).decode())
        ),
        "unreadable: a reply key of low order": client.frame(
            client.seal(CALL, replyKey=base64.b64encode(client.key[:1184] + bytes(32)).decode())
        ),
        "unreadable: request is a list": client.frame(client.seal([CALL])),
        "stale: six minutes old": client.frame(client.seal(CALL, time=unix_milliseconds() - 360_000)),
        "stale: six minutes ahead": client.frame(client.seal(CALL, time=unix_milliseconds() + 360_000)),
        "stale: before time began": client.frame(client.seal(CALL, time=-(10**30))),
    }
    other = Sealer(key=client.key, service="other")
    frames["unreadable: sealed for another service"] = other.frame(other.seal(CALL))
    info = envelope.answer_info(client.service, client.key_id, b"")
    backwards = envelope.seal(
        padding.pad(json.dumps(inside).encode(), least=4096), envelope.public_key(client.key), info
    )
    frames["unreadable: sealed as an answer"] = client.frame(backwards)
    return frames


def test_every_damaged_request_ends_in_one_refusal_and_reaches_no_upstream() -> None:
    with enclave() as running:
        frames = damaged(sealer(running.worker))
        wrong = {}
        for name, frame in frames.items():
            code = refused(running.worker.answer(frame))
            if code != f"sealed.{name.partition(':')[0]}":
                wrong[name] = code
        asked = running.upstream.requests
    assert (wrong, asked, len(frames)) == ({}, (), 27)
    assert "planted" not in running.log.getvalue()


@given(data=st.binary(max_size=6000))
@settings(max_examples=200, deadline=None)
def test_garbage_is_refused_in_one_way(data: bytes) -> None:
    assert refused(RUNNING.worker.answer(CLIENT.frame(data or b"\0"))) == "sealed.unreadable"


@given(data=st.binary(max_size=2000))
@settings(max_examples=200, deadline=None)
def test_garbage_under_a_good_seal_is_refused_in_one_way(data: bytes) -> None:
    assert refused(RUNNING.worker.answer(CLIENT.frame(CLIENT.seal_padded(data)))) == "sealed.unreadable"


@pytest.fixture(autouse=True, scope="module")
def _running() -> Any:
    global RUNNING, CLIENT  # noqa: PLW0603  Hypothesis gives no fixtures to examples
    with enclave() as RUNNING:
        CLIENT = sealer(RUNNING.worker)
        yield


RUNNING: Enclave
CLIENT: Sealer


def test_a_request_works_once_even_when_sixteen_come_together() -> None:
    with enclave() as running:
        client = sealer(running.worker)
        client.seal(CALL)
        replies = in_threads(16, lambda _: running.worker.answer(client.frame()))
        opened = [reply for reply in replies if "sealed" in json.loads(reply)]
        again = refused(running.worker.answer(client.frame()))
        assert len(running.upstream.requests) == 1
    assert (len(opened), again) == (1, "sealed.replayed")
    assert {refused(reply) for reply in replies if reply not in opened} == {"sealed.replayed"}


def test_a_full_memory_refuses_instead_of_forgetting() -> None:
    with enclave(capacity=Capacity(replays=2)) as running:
        client = sealer(running.worker)
        first = client.seal(CALL)
        assert "sealed" in json.loads(running.worker.answer(client.frame()))
        client.seal(CALL)
        assert "sealed" in json.loads(running.worker.answer(client.frame()))
        client.seal(CALL)
        assert refused(running.worker.answer(client.frame())) == "sealed.full"
        assert refused(running.worker.answer(client.frame(first))) == "sealed.replayed"


def test_questions_for_the_identity_take_a_part_of_the_nsm_and_no_more() -> None:
    question = b'{"type":"identity"}'
    with enclave(nsm=SoftNsm(service_time=0.3), capacity=Capacity(identities=2)) as running:
        replies = [json.loads(reply) for reply in in_threads(6, lambda _: running.worker.answer(question))]
        assert sorted(reply.get("status", 200) for reply in replies) == [200, 200, 503, 503, 503, 503]
        assert json.loads(running.worker.answer(question))["success"] is True
        running.nsm.fault = Fails(errno.EIO)
        assert [json.loads(running.worker.answer(question))["status"] for _ in range(3)] == [502] * 3


def test_after_rotation_the_old_key_works_for_the_overlap_and_no_longer() -> None:
    ahead = [0]
    with enclave(
        lifetime=Lifetime(current_ms=1000, overlap_ms=500), clock_ms=lambda: unix_milliseconds() + ahead[0]
    ) as running:
        old = sealer(running.worker)
        until = sealing_key(running.worker)["until"]
        assert abs(until - unix_milliseconds() - 1000) < 1000
        ahead[0] = 1100
        assert sealing_key(running.worker)["key"] != old.key
        old.seal(CALL)
        assert old.open(running.worker.answer(old.frame()))["status"] == 200
        ahead[0] = 2600
        old.seal(CALL)
        assert refused(running.worker.answer(old.frame())) == "sealed.unknown-key"
        ahead[0] = 0  # a clock that is set back brings no key back
        assert refused(running.worker.answer(old.frame())) == "sealed.unknown-key"
        new = sealer(running.worker)
        new.seal(CALL)
        assert new.open(running.worker.answer(new.frame()))["status"] == 200


def test_another_worker_does_not_know_the_key() -> None:
    with enclave() as one, enclave() as other:
        client = sealer(one.worker)
        client.seal(CALL)
        assert refused(other.worker.answer(client.frame())) == "sealed.unknown-key"


def test_a_credential_in_clear_is_refused_where_the_manifest_wants_it_sealed() -> None:
    url = f"https://{VAULT}/hello"
    with enclave() as running:
        for name in ("Authorization", "X-Secret", "COOKIE"):
            call = {"url": url, "method": "GET", "headers": {name: "planted"}}
            reply = json.loads(running.worker.answer(json.dumps(call).encode()))
            assert (reply["status"], reply["code"]) == (403, "sealed.required")
            assert "planted" not in json.dumps(reply) + running.log.getvalue()
        plain = {"url": url, "method": "GET", "headers": {"X-Plain": "1"}}
        assert json.loads(running.worker.answer(json.dumps(plain).encode()))["status"] == 200
        client = sealer(running.worker)
        client.seal({"url": url, "method": "GET", "headers": {"Authorization": "planted"}})
        assert client.open(running.worker.answer(client.frame()))["status"] == 200
        assert [request.headers.get("authorization") for request in running.upstream.requests] == [None, "planted"]


@pytest.mark.parametrize(
    ("length", "size"),
    [(1, 4096), (4096, 4096), (4097, 4352), (10_000, 10_240), (2**20, 2**20), (2**20 + 1, 2**20 + 2**15)],
)
def test_lengths_are_padded_to_their_bucket(length: int, size: int) -> None:
    assert padding.bucket(length, least=4096) == size


@given(content=st.binary(max_size=20_000))
@settings(max_examples=100, deadline=None)
def test_what_was_padded_is_unpadded_and_nothing_else_is(content: bytes) -> None:
    padded = padding.pad(content, least=4096)
    assert padding.unpad(padded, least=4096) == content
    for wrong in (padded[:-1], padded + b"\0", padded[:-1] + b"\1" if padded[-1] == 0 else b""):
        with pytest.raises(padding.NotPadded):
            padding.unpad(wrong, least=4096)


def test_a_bucket_is_at_most_an_eighth_larger() -> None:
    assert all(0 <= padding.bucket(n, least=64) - n <= n / 8 for n in range(64, 100_000))


def test_the_largest_answer_fits_a_frame_and_holds_the_largest_body() -> None:
    largest = padding.MAX_ANSWER_BYTES
    assert padding.bucket(largest, least=padding.LEAST_ANSWER_BYTES) == largest
    assert len(base64.b64encode(b"x" * (largest + envelope.OVERHEAD_BYTES))) + 64 < 16 * 1024 * 1024
    assert largest > 8 * 1024 * 1024 * 4 / 3 + 512 * 1024


def test_the_replay_memory_forgets_what_has_become_stale_and_nothing_sooner() -> None:
    memory = ReplayMemory(places=1)
    start = 10 * 60_000
    memory.admit(b"a", stated_ms=start + WINDOW_MS, now_ms=start)
    with pytest.raises(MemoryFull):
        memory.admit(b"b", stated_ms=start, now_ms=start)
    with pytest.raises(Replayed):
        memory.admit(b"a", stated_ms=start + WINDOW_MS, now_ms=start + 2 * WINDOW_MS)
    with pytest.raises(Stale):
        memory.admit(b"a", stated_ms=start + WINDOW_MS, now_ms=start + 2 * WINDOW_MS + 1)
    later = start + 2 * WINDOW_MS + 60_001
    memory.admit(b"b", stated_ms=later, now_ms=later)


def test_a_thread_that_was_held_up_replays_nothing_that_has_been_forgotten() -> None:
    memory = ReplayMemory()
    stated = 20 * 60_000 - 1  # the last of its minute: a millisecond later than its window, the minute is dropped
    memory.admit(b"a", stated_ms=stated, now_ms=stated)
    read_before = stated + WINDOW_MS
    memory.admit(b"b", stated_ms=read_before + 1, now_ms=read_before + 1)
    with pytest.raises(Stale):
        memory.admit(b"a", stated_ms=stated, now_ms=read_before)


def test_a_ring_without_visitors_makes_a_new_key_when_one_comes() -> None:
    now = [0]
    ring = KeyRing(lambda: now[0])
    first = ring.current()
    now[0] = 10 * HOUR_MS
    second = ring.current()
    assert (first.id != second.id, second.until_ms, ring.find(first.id)) == (True, 11 * HOUR_MS, None)
    assert "private" not in repr(second)


def test_a_key_is_current_for_an_hour_and_accepted_for_a_quarter_more_to_the_millisecond() -> None:
    now = [0]
    ring = KeyRing(lambda: now[0])
    first = ring.current()
    seen = []
    for now[0] in (HOUR_MS - 1, HOUR_MS, HOUR_MS + HOUR_MS // 4 - 1, HOUR_MS + HOUR_MS // 4):
        seen.append((ring.current().id == first.id, ring.find(first.id) is not None))
    assert seen == [(True, True), (False, True), (False, True), (False, False)]


def test_a_clock_that_is_set_back_makes_nothing_fresh_again() -> None:
    shown = [1000]
    clock = ForwardClock(lambda: shown[0])
    assert [clock() for shown[0] in (1000, 5000, 2000, 5001)] == [1000, 5000, 5000, 5001]
    off_ms = [0]
    with enclave(clock_ms=lambda: unix_milliseconds() + off_ms[0]) as running:
        client = sealer(running.worker)
        held_back = client.seal(CALL)
        off_ms[0] = WINDOW_MS + 1000
        assert refused(running.worker.answer(client.frame(held_back))) == "sealed.stale"
        off_ms[0] = 0
        assert refused(running.worker.answer(client.frame(held_back))) == "sealed.stale"
