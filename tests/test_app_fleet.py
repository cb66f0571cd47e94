"""Which enclave of a service gets a call: real sockets, scripted enclaves, no clock but the real one."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from app import fleet as subject
from app.enclave import Enclave, Seen, Slot
from app.fleet import FIRST_HOLD_SECONDS, MAX_HOLD_SECONDS, Fleet
from app.pong import Pong
from tests.fake_enclave import ANSWER, PING, PONG, FakeEnclave, Peer, Script, keeps, silent, wait_until
from tests.parent import VIES
from wire import frames
from wire.addresses import UnixAddress
from wire.errors import DeadlinePassed, FrameError, PeerLost

KEY = bytes(32)
QUESTION = b'{"a":1}'
SEALED_ANSWER = b'{"sealed":"AAAA"}'
UNKNOWN = json.dumps({"success": False, "status": 409, "code": "sealed.unknown-key"}).encode()
UNREADABLE = json.dumps({"success": False, "status": 400, "code": "sealed.unreadable"}).encode()


def reads_and_closes(peer: Peer) -> None:
    """Take a call and break off, as a worker that dies of it."""
    if (payload := peer.read()) == PING:
        peer.reply(PONG)
    elif payload is not None:
        return


def says(reply: bytes) -> Script:
    return keeps(lambda _: reply)


@contextmanager
def fleet_of(folder: Path, *scripts: Script | None) -> Iterator[tuple[Fleet, list[FakeEnclave | None]]]:
    """A fleet of one enclave for each script; None is one that nobody has started."""
    paths = [folder / str(number) for number in range(len(scripts))]
    with ExitStack() as stack:
        started = [
            None if script is None else stack.enter_context(FakeEnclave(path, script))
            for path, script in zip(paths, scripts, strict=True)
        ]
        fleet = Fleet(VIES, [UnixAddress(path=str(path)) for path in paths], connections=8)
        stack.callback(fleet.close)
        yield fleet, started


def ask(fleet: Fleet, *, key: bytes | None = None, seconds: float = 5.0) -> subject.Served:
    return fleet.ask(QUESTION, deadline=time.monotonic() + seconds, key=key)


def seen(**fields: object) -> Seen:
    return Seen(at=time.monotonic(), took_ms=1, pong=Pong(**fields))  # type: ignore[arg-type]


UNSEEN = Seen(at=0.0)


def test_enclaves_are_named_by_service_and_cid(tmp_path: Path) -> None:
    with fleet_of(tmp_path, None, None) as (fleet, _):
        assert [enclave.name for enclave in fleet.enclaves] == ["vies/16", "vies/116"]


def test_idle_enclaves_take_turns(tmp_path: Path) -> None:
    with fleet_of(tmp_path, keeps(), keeps(), keeps()) as (fleet, _):
        served = [ask(fleet).enclave.cid for _ in range(30)]
    assert {cid: served.count(cid) for cid in served} == {16: 10, 116: 10, 216: 10}


def test_the_enclave_with_the_fewest_calls_under_way_gets_the_next(tmp_path: Path) -> None:
    with fleet_of(tmp_path, silent, keeps()) as (fleet, (busy, _)):

        def wait() -> None:
            with pytest.raises(DeadlinePassed):
                ask(fleet, seconds=2)

        fleet._turn = 1  # the first is next
        caller = threading.Thread(target=wait)
        caller.start()
        wait_until(lambda: len(busy.calls) == 1)
        assert [ask(fleet).enclave.cid for _ in range(10)] == [116] * 10
        caller.join()
        assert [enclave.in_flight for enclave in fleet.enclaves] == [0, 0]


@pytest.mark.parametrize("turn", [0, 1])
def test_a_call_that_could_not_be_delivered_goes_to_another_enclave(tmp_path: Path, turn: int) -> None:
    with fleet_of(tmp_path, None, keeps()) as (fleet, (_, live)):
        fleet._turn = turn
        served = [ask(fleet) for _ in range(6)]
        assert {each.enclave.cid for each in served} == {116}
        assert len(live.calls) == 6
        assert [enclave.ejected for enclave in fleet.enclaves] == [True, False]
        assert fleet.enclaves[0].failures == 1  # it was asked once, and then left out


def test_a_call_that_may_have_been_delivered_never_goes_to_another_enclave(tmp_path: Path) -> None:
    with fleet_of(tmp_path, reads_and_closes, reads_and_closes) as (fleet, (first, second)):
        with pytest.raises(PeerLost) as caught:
            ask(fleet)
        assert caught.value.delivered
        assert len(first.calls + second.calls) == 1


def test_where_every_enclave_is_gone_each_is_tried_before_the_call_fails(tmp_path: Path) -> None:
    with fleet_of(tmp_path, None, None) as (fleet, _):
        for count in (1, 2, 3):
            with pytest.raises(PeerLost):
                ask(fleet)
            assert [enclave.failures for enclave in fleet.enclaves] == [count, count]
        with FakeEnclave(tmp_path / "1", keeps()):
            assert ask(fleet).enclave.cid == 116  # left out, and still tried where there is no better one
            assert [enclave.ejected for enclave in fleet.enclaves] == [True, False]


def test_an_enclave_is_left_out_for_longer_and_longer_up_to_a_bound(tmp_path: Path) -> None:
    with fleet_of(tmp_path, None) as (fleet, _):
        holds = []
        for _ in range(20):
            with pytest.raises(PeerLost):
                ask(fleet)
            holds.append(fleet.enclaves[0].held_until - time.monotonic())
    assert holds[0] == pytest.approx(FIRST_HOLD_SECONDS, abs=0.2)
    assert holds[1] == pytest.approx(2 * FIRST_HOLD_SECONDS, abs=0.2)
    assert max(holds) == pytest.approx(MAX_HOLD_SECONDS, abs=0.2)


def test_a_good_ping_brings_an_enclave_back_when_its_time_is_over_and_not_before(tmp_path: Path) -> None:
    with fleet_of(tmp_path, None, keeps()) as (fleet, _):
        dead = fleet.enclaves[0]
        fleet._turn = 1
        ask(fleet)
        fleet.saw(dead, seen())
        assert dead.ejected
        fleet.saw(dead, Seen(at=dead.held_until + 0.001, pong=Pong()))
        assert not dead.ejected
        assert dead.failures == 1  # only a call that goes well takes that back: the next one holds it for longer


@pytest.mark.parametrize(
    "bad",
    [
        UNSEEN,
        seen(nsm_failures=3, nsm_age_ms=10),
        seen(nsm_failures=0, nsm_age_ms=180_001),
        Seen(at=0.0, pong=Pong(service="sicae"), right_service=False),
    ],
    ids=["no pong", "NSM fails", "NSM is silent", "of another service"],
)
def test_an_enclave_that_a_ping_finds_unfit_gets_no_calls_while_there_is_another(tmp_path: Path, bad: Seen) -> None:
    with fleet_of(tmp_path, keeps(), keeps()) as (fleet, _):
        fleet.saw(fleet.enclaves[0], bad)
        assert {ask(fleet).enclave.cid for _ in range(6)} == {116}
        fleet.saw(fleet.enclaves[0], seen(nsm_failures=2, nsm_age_ms=180_000))
        assert {ask(fleet).enclave.cid for _ in range(6)} == {16, 116}


def test_callers_who_give_too_little_time_leave_no_enclave_out_but_have_it_looked_at(tmp_path: Path) -> None:
    troubled: list[Enclave] = []
    with fleet_of(tmp_path, silent) as (fleet, _):
        fleet.on_trouble = troubled.append
        with pytest.raises(DeadlinePassed):
            ask(fleet, seconds=0.1)
        assert (fleet.enclaves[0].ejected, fleet.enclaves[0].failures) == (False, 0)
        assert troubled == [fleet.enclaves[0]]


def test_a_question_that_fits_no_frame_is_no_enclave_s_failure(tmp_path: Path) -> None:
    with fleet_of(tmp_path, keeps()) as (fleet, (enclave,)):
        for size in (frames.MAX_FRAME_BYTES + 1, frames.MAX_FRAME_BYTES - 1):
            with pytest.raises(FrameError):
                fleet.ask(b"x" * size, deadline=time.monotonic() + 5)
        assert (fleet.enclaves[0].ejected, enclave.accepted) == (False, 0)


def test_a_question_is_worded_anew_for_another_enclave(tmp_path: Path) -> None:
    with fleet_of(tmp_path, None, keeps()) as (fleet, (_, live)):
        fleet._turn = 1
        fleet.ask(b'{"a":1}', deadline=time.monotonic() + 5, again=lambda: b'{"a":2}')
        assert [call["a"] for call in live.calls] == [2]


# --- drained


def test_a_drained_enclave_gets_no_new_calls_and_some_again_when_that_is_undone(tmp_path: Path) -> None:
    with fleet_of(tmp_path, keeps(), keeps()) as (fleet, _):
        fleet.drain(["vies/16", "vies/17", "sicae/116"])
        assert {ask(fleet).enclave.cid for _ in range(6)} == {116}
        fleet.drain([])
        assert {ask(fleet).enclave.cid for _ in range(6)} == {16, 116}


def test_a_drained_enclave_that_answers_is_better_than_one_that_does_not(tmp_path: Path) -> None:
    with fleet_of(tmp_path, keeps(), None) as (fleet, _):
        fleet.drain(["vies/16"])
        assert {ask(fleet).enclave.cid for _ in range(4)} == {16}
        assert fleet.enclaves[1].failures == 1


def test_what_is_under_way_and_drained_is_written_where_others_read_it(tmp_path: Path) -> None:
    cells = memoryview(bytearray(16)).cast("Q")
    during = []

    def script(peer: Peer) -> None:
        while peer.read() is not None:
            during.append(cells[0])
            peer.reply(ANSWER)

    with fleet_of(tmp_path, script) as (fleet, _):
        fleet.enclaves[0].slot = Slot(cells, 0, 1)
        ask(fleet)
        fleet.drain(["vies/16"])
    assert (during[0], cells.tolist()) == (1, [0, 1])


# --- sealed


@pytest.mark.parametrize("turn", [0, 1])
def test_what_is_sealed_goes_on_to_the_next_enclave_where_the_key_is_unknown_and_straight_there_afterwards(
    tmp_path: Path, turn: int
) -> None:
    with fleet_of(tmp_path, says(UNKNOWN), says(SEALED_ANSWER)) as (fleet, (first, second)):
        fleet._turn = turn
        served = [ask(fleet, key=KEY) for _ in range(5)]
        assert {(each.carried.reply, each.enclave.cid) for each in served} == {(SEALED_ANSWER, 116)}
        assert len(second.calls) == 5
        assert len(first.calls) <= 1


def test_a_key_that_nobody_has_gets_the_last_refusal_after_each_was_asked_once(tmp_path: Path) -> None:
    with fleet_of(tmp_path, says(UNKNOWN), says(UNKNOWN), says(UNKNOWN)) as (fleet, started):
        assert ask(fleet, key=KEY).carried.reply == UNKNOWN
        assert [len(enclave.calls) for enclave in started] == [1, 1, 1]


@pytest.mark.parametrize(
    "reply",
    [
        UNREADABLE,
        ANSWER,
        b"sealed.unknown-key",
        b'["sealed.unknown-key"]',
        UNKNOWN.replace(b"false", b"true"),
        UNKNOWN[:-1] + b',"x":"' + b"x" * 1024 + b'"}',
        b"[" * 500 + b'"sealed.unknown-key"',
    ],
)
def test_any_other_reply_ends_the_search(tmp_path: Path, reply: bytes) -> None:
    with fleet_of(tmp_path, says(reply), says(reply)) as (fleet, started):
        assert ask(fleet, key=KEY).carried.reply == reply
        assert sum(len(enclave.calls) for enclave in started) == 1


def test_a_call_in_clear_is_asked_once_whatever_its_reply_says(tmp_path: Path) -> None:
    with fleet_of(tmp_path, says(UNKNOWN), says(UNKNOWN)) as (fleet, started):
        assert ask(fleet).carried.reply == UNKNOWN
        assert sum(len(enclave.calls) for enclave in started) == 1


def test_the_keys_of_a_pong_lead_to_its_enclave_even_while_it_is_drained(tmp_path: Path) -> None:
    with fleet_of(tmp_path, says(SEALED_ANSWER), says(UNKNOWN)) as (fleet, (_, other)):
        fleet.saw(fleet.enclaves[0], seen(keys=(KEY,)))
        fleet.drain(["vies/16"])
        assert {ask(fleet, key=KEY).enclave.cid for _ in range(4)} == {16}
        assert other.calls == []


def test_where_the_enclave_with_the_key_is_gone_the_others_say_that_it_is_unknown(tmp_path: Path) -> None:
    with fleet_of(tmp_path, None, says(UNKNOWN)) as (fleet, _):
        fleet.saw(fleet.enclaves[0], seen(keys=(KEY,)))
        assert ask(fleet, key=KEY).carried.reply == UNKNOWN


def test_a_refusal_in_hand_is_the_answer_where_the_next_enclave_is_gone(tmp_path: Path) -> None:
    with fleet_of(tmp_path, says(UNKNOWN), None) as (fleet, _):
        fleet.saw(fleet.enclaves[0], seen(keys=(KEY,)))
        assert ask(fleet, key=KEY).carried.reply == UNKNOWN
        assert fleet.enclaves[1].failures == 1


def test_what_is_sealed_is_sent_no_further_once_it_may_have_been_opened(tmp_path: Path) -> None:
    with fleet_of(tmp_path, says(UNKNOWN), reads_and_closes, says(SEALED_ANSWER)) as (fleet, started):
        fleet.saw(fleet.enclaves[0], seen(keys=(KEY,)))
        fleet.drain(["vies/216"])
        with pytest.raises(PeerLost):
            ask(fleet, key=KEY)
        assert [len(enclave.calls) for enclave in started] == [1, 1, 0]


def test_a_key_that_its_enclave_has_lost_is_forgotten(tmp_path: Path) -> None:
    with fleet_of(tmp_path, says(UNKNOWN), says(SEALED_ANSWER)) as (fleet, (first, _)):
        fleet.saw(fleet.enclaves[0], seen(keys=(KEY,)))
        assert [ask(fleet, key=KEY).enclave.cid for _ in range(3)] == [116] * 3
        assert len(first.calls) == 1


def test_no_number_of_keys_fills_the_memory(tmp_path: Path) -> None:
    with fleet_of(tmp_path, None) as (fleet, _):
        for number in range(2000):
            fleet.saw(fleet.enclaves[0], seen(keys=(number.to_bytes(32, "big"),)))
        assert len(fleet._keys) <= subject.MAX_KEYS
