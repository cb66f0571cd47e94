"""The pool against enclaves that keep, close, break, stall, restart and lie, over real unix sockets."""

import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from app.pool import Carried, EnclavePool, PoolFull
from enclave_worker.log import Log
from enclave_worker.server import FrameServer
from tests.fake_enclave import (
    ANSWER,
    PING,
    PONG,
    FakeEnclave,
    Peer,
    Script,
    closes,
    frame,
    keeps,
    sends,
    silent,
    wait_until,
)
from wire import frames, hops, sockets
from wire.addresses import UnixAddress
from wire.errors import DeadlinePassed, EmptyFrame, FrameTooLarge, PeerLost, ReportMalformed, TruncatedFrame
from wire.hops import Report

BIG = b"b" * (8 << 20)  # more than any socket buffer holds: it cannot be handed over to a peer that does not read


def soon(seconds: float = 5.0) -> float:
    return time.monotonic() + seconds


def echo(payload: bytes) -> bytes:
    return b"re: " + payload


@contextmanager
def enclave_with(path: Path, script: Script, *, connections: int = 4) -> Iterator[tuple[FakeEnclave, EnclavePool]]:
    with (
        FakeEnclave(path / "enclave", script) as enclave,
        closing(EnclavePool(enclave.address, connections=connections)) as pool,
    ):
        yield enclave, pool


# --- workers that keep connections, and workers that do not


def test_one_connection_carries_call_after_call_to_a_worker_that_keeps_it(tmp_path: Path) -> None:
    with enclave_with(tmp_path, keeps(echo)) as (enclave, pool):
        replies = [pool.call(b"%d" % number, deadline=soon()) for number in range(50)]
        assert replies == [b"re: %d" % number for number in range(50)]
        assert enclave.accepted == 1
        assert enclave.received.count(PING) == 1  # asked once whether the worker keeps connections


def test_two_hundred_calls_to_a_worker_that_closes_after_each_reply_all_succeed(tmp_path: Path) -> None:
    with enclave_with(tmp_path, closes(echo)) as (enclave, pool):
        replies = [pool.call(b"%d" % number, deadline=soon()) for number in range(200)]
        assert replies == [b"re: %d" % number for number in range(200)]
        assert enclave.received == [b"%d" % number for number in range(200)]
        assert enclave.accepted == 200


@pytest.mark.parametrize("script", [keeps(echo), closes(echo)], ids=["keeps", "closes"])
def test_calls_from_many_threads_each_get_their_own_reply(tmp_path: Path, script: Script) -> None:
    with enclave_with(tmp_path, script, connections=8) as (enclave, pool), ThreadPoolExecutor(16) as threads:
        replies = list(threads.map(lambda number: pool.call(b"%d" % number, deadline=soon()), range(200)))
        assert replies == [b"re: %d" % number for number in range(200)]
        assert sorted(payload for payload in enclave.received if payload != PING) == sorted(
            b"%d" % number for number in range(200)
        )


def test_our_own_worker_s_server_keeps_the_connection(tmp_path: Path) -> None:
    address = UnixAddress(path=str(tmp_path / "worker"))
    answer = lambda payload: (PONG if payload == PING else echo(payload),)  # noqa: E731
    server = FrameServer(sockets.listen(address), answer, log=Log("test", stream=io.StringIO()))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    with closing(EnclavePool(address, connections=1)) as pool:
        replies = [pool.call(b"%d" % number, deadline=soon()) for number in range(20)]
    server.stop()
    thread.join()
    assert replies == [b"re: %d" % number for number in range(20)]


def test_a_worker_that_never_answers_the_question_whether_it_keeps_is_treated_as_one_that_does_not(
    tmp_path: Path,
) -> None:
    def script(peer: Peer) -> None:
        payload = peer.read()
        if payload is not None:
            peer.reply(echo(payload))
        while peer.read() is not None:
            pass

    with enclave_with(tmp_path, script) as (enclave, pool):
        replies = [pool.call(b"%d" % number, deadline=soon()) for number in range(3)]
        assert replies == [b"re: 0", b"re: 1", b"re: 2"]
        assert enclave.accepted == 3


def closes_late(peer: Peer) -> None:
    """Answer one frame and close a moment later, when the parent may have sent more."""
    closes(echo)(peer)
    time.sleep(0.02)


def test_a_worker_that_closes_a_moment_after_its_reply_loses_no_call_either(tmp_path: Path) -> None:
    with enclave_with(tmp_path, closes_late) as (enclave, pool):
        replies = [pool.call(b"%d" % number, deadline=soon()) for number in range(50)]
        assert replies == [b"re: %d" % number for number in range(50)]
        assert enclave.received == [b"%d" % number for number in range(50)]


# --- bounds


def test_no_more_connections_are_open_at_once_than_allowed(tmp_path: Path) -> None:
    busy = 0
    peak = 0
    lock = threading.Lock()

    def slow(payload: bytes) -> bytes:
        nonlocal busy, peak
        with lock:
            busy += 1
            peak = max(peak, busy)
        time.sleep(0.02)
        with lock:
            busy -= 1
        return echo(payload)

    with enclave_with(tmp_path, keeps(slow), connections=3) as (enclave, pool), ThreadPoolExecutor(12) as threads:
        list(threads.map(lambda number: pool.call(b"%d" % number, deadline=soon()), range(24)))
        assert (peak, enclave.accepted) == (3, 3)


def test_a_call_that_finds_no_place_in_time_is_told_so_and_sends_nothing(tmp_path: Path) -> None:
    with enclave_with(tmp_path, silent, connections=1) as (enclave, pool):
        with ThreadPoolExecutor(1) as threads:
            slow = threads.submit(pool.call, b"slow", deadline=soon())
            wait_until(lambda: enclave.received == [b"slow"])
            began = time.monotonic()
            with pytest.raises(PoolFull, match=r"^all connections to the enclave are in use$"):
                pool.call(b"second", deadline=began + 0.2)
            waited = time.monotonic() - began
            enclave.drop()
            assert isinstance(slow.exception(), PeerLost)
        assert 0.2 <= waited < 0.6
        assert enclave.received == [b"slow"]


def test_a_place_is_given_back_after_every_kind_of_failure(tmp_path: Path) -> None:
    with enclave_with(tmp_path, sends(b"\x00\x00\x00\x00"), connections=1) as (_, pool):
        for _ in range(5):
            with pytest.raises(EmptyFrame):
                pool.call(b"x", deadline=soon())
    for _ in range(5):
        with pytest.raises(PeerLost):
            pool.call(b"x", deadline=soon())


def test_a_payload_that_is_no_frame_takes_no_place(tmp_path: Path) -> None:
    with enclave_with(tmp_path, keeps(echo), connections=1) as (enclave, pool):
        with pytest.raises(EmptyFrame):
            pool.call(b"", deadline=soon())
        assert pool.call(b"x", deadline=soon()) == b"re: x"
        assert enclave.accepted == 1


def test_the_largest_payload_goes_there_and_back(tmp_path: Path) -> None:
    payload = bytes(frames.MAX_FRAME_BYTES)
    with enclave_with(tmp_path, keeps(lambda payload: payload)) as (_, pool):
        assert pool.call(payload, deadline=soon(20)) == payload


# --- connections that were closed while nobody looked


def test_a_connection_that_was_closed_while_idle_is_noticed_before_anything_is_sent(tmp_path: Path) -> None:
    with enclave_with(tmp_path, keeps(echo)) as (enclave, pool):
        for number in range(30):
            assert pool.call(b"%d" % number, deadline=soon()) == b"re: %d" % number
            enclave.drop()
        calls = [payload for payload in enclave.received if payload != PING]
        assert calls == [b"%d" % number for number in range(30)]


def test_an_enclave_that_is_killed_and_started_again_is_found_again(tmp_path: Path) -> None:
    path = tmp_path / "enclave"
    with closing(EnclavePool(UnixAddress(path=str(path)), connections=4)) as pool:
        for _ in range(3):
            with FakeEnclave(path, keeps(echo)) as enclave:
                assert pool.call(b"a", deadline=soon()) == b"re: a"
                assert pool.call(b"b", deadline=soon()) == b"re: b"
                assert enclave.accepted == 1
            with pytest.raises(PeerLost, match="No such file or directory") as caught:
                pool.call(b"c", deadline=soon())
            assert not caught.value.delivered


def test_only_the_calls_under_way_are_lost_when_the_enclave_dies(tmp_path: Path) -> None:
    path = tmp_path / "enclave"
    with closing(EnclavePool(UnixAddress(path=str(path)), connections=8)) as pool, ThreadPoolExecutor(4) as threads:
        with FakeEnclave(path, silent) as enclave:
            under_way = [threads.submit(pool.call, b"%d" % number, deadline=soon()) for number in range(4)]
            wait_until(lambda: len(enclave.received) == 4)
        errors = [call.exception() for call in under_way]
        assert [str(error) for error in errors] == ["Connection closed: expected 4 bytes, got 0"] * 4
        with FakeEnclave(path, keeps(echo)):
            assert [pool.call(b"%d" % number, deadline=soon()) for number in range(8)] == [
                b"re: %d" % number for number in range(8)
            ]


def test_a_worker_that_is_replaced_by_one_that_keeps_connections_is_asked_again(tmp_path: Path) -> None:
    path = tmp_path / "enclave"
    with closing(EnclavePool(UnixAddress(path=str(path)), connections=4)) as pool:
        with FakeEnclave(path, closes_late):
            pool.call(b"a", deadline=soon())
        with pytest.raises(PeerLost):
            pool.call(b"b", deadline=soon())
        with FakeEnclave(path, keeps(echo)) as enclave:
            for _ in range(5):
                pool.call(b"c", deadline=soon())
            assert enclave.accepted == 1


def test_closing_the_pool_closes_its_idle_connections(tmp_path: Path) -> None:
    ended = threading.Event()

    def script(peer: Peer) -> None:
        keeps(echo)(peer)
        ended.set()

    with enclave_with(tmp_path, script) as (_, pool):
        pool.call(b"x", deadline=soon())
        pool.close()
        assert ended.wait(5)
        assert pool.call(b"y", deadline=soon()) == b"re: y"


# --- never twice


def test_a_call_whose_last_byte_was_handed_over_is_never_sent_again(tmp_path: Path) -> None:
    def script(peer: Peer) -> None:
        """Keep the connection, but die on the second call after reading it."""
        for _ in range(2):
            payload = peer.read()
            if payload is not None:
                peer.reply(PONG if payload == PING else echo(payload))
        peer.read()

    with enclave_with(tmp_path, script) as (enclave, pool):
        assert pool.call(b"first", deadline=soon()) == b"re: first"
        with pytest.raises(PeerLost, match=r"^Connection closed: expected 4 bytes, got 0$") as caught:
            pool.call(b"second", deadline=soon())
        assert caught.value.delivered
        assert enclave.received == [b"first", PING, b"second"]
        assert enclave.accepted == 1


def test_a_call_that_was_answered_in_part_is_never_sent_again(tmp_path: Path) -> None:
    def script(peer: Peer) -> None:
        for _ in range(2):
            payload = peer.read()
            if payload is not None:
                peer.reply(PONG if payload == PING else echo(payload))
        peer.read()
        peer.send(frame(ANSWER)[:10])

    with enclave_with(tmp_path, script) as (enclave, pool):
        pool.call(b"first", deadline=soon())
        with pytest.raises(TruncatedFrame):
            pool.call(b"second", deadline=soon())
        assert enclave.received.count(b"second") == 1


def test_a_call_that_broke_while_it_was_sent_on_a_kept_connection_is_sent_once_more(tmp_path: Path) -> None:
    def script(peer: Peer) -> None:
        if peer.number > 0:
            keeps(lambda _: ANSWER)(peer)
            return
        peer.read()
        peer.reply(ANSWER)
        peer.read()  # the ping
        peer.reply(PONG)
        peer.read_exactly(1000)  # of the second call, and then it is gone

    with enclave_with(tmp_path, script) as (enclave, pool):
        pool.call(b"first", deadline=soon())
        assert pool.call(BIG, deadline=soon(20)) == ANSWER
        assert enclave.accepted == 2
        assert enclave.received == [b"first", PING, BIG]  # one whole copy reached it


def test_a_call_that_breaks_on_the_new_connection_too_is_not_sent_a_third_time(tmp_path: Path) -> None:
    def script(peer: Peer) -> None:
        if peer.number == 0:
            peer.read()
            peer.reply(ANSWER)
            peer.read()
            peer.reply(PONG)
        peer.read_exactly(1000)

    with enclave_with(tmp_path, script) as (enclave, pool):
        pool.call(b"first", deadline=soon())
        with pytest.raises(PeerLost, match=r"^send failed: ") as caught:
            pool.call(BIG, deadline=soon(20))
        assert not caught.value.delivered
        assert enclave.accepted == 2
        assert enclave.received == [b"first", PING]


def test_a_call_that_breaks_on_a_new_connection_is_not_sent_again(tmp_path: Path) -> None:
    with enclave_with(tmp_path, lambda peer: void(peer.read_exactly(1000))) as (enclave, pool):
        with pytest.raises(PeerLost, match=r"^send failed: "):
            pool.call(BIG, deadline=soon(20))
        assert enclave.accepted == 1


def void(_: object) -> None:
    """Take a value and let it be."""


# --- deadlines


def test_a_late_reply_never_reaches_the_next_caller(tmp_path: Path) -> None:
    def slow(payload: bytes) -> bytes:
        if payload == b"slow":
            time.sleep(0.3)
        return echo(payload)

    with enclave_with(tmp_path, keeps(slow), connections=1) as (_, pool):
        pool.call(b"first", deadline=soon())
        with pytest.raises(DeadlinePassed):
            pool.call(b"slow", deadline=soon(0.1))
        replies = []
        for number in range(20):
            replies.append(pool.call(b"%d" % number, deadline=soon()))
            time.sleep(0.02)
        assert replies == [b"re: %d" % number for number in range(20)]


def test_a_silent_enclave_is_given_up_at_the_deadline(tmp_path: Path) -> None:
    with enclave_with(tmp_path, silent) as (enclave, pool):
        began = time.monotonic()
        with pytest.raises(DeadlinePassed, match=r"^receive timed out$"):
            pool.call(b"x", deadline=began + 0.2)
        assert 0.2 <= time.monotonic() - began < 0.8
        assert enclave.received == [b"x"]


def test_an_enclave_that_does_not_even_read_is_given_up_at_the_deadline_and_the_call_not_repeated(
    tmp_path: Path,
) -> None:
    over = threading.Event()
    with enclave_with(tmp_path, lambda _: void(over.wait(5))) as (enclave, pool):
        with pytest.raises(DeadlinePassed, match=r"^send timed out$"):
            pool.call(BIG, deadline=soon(0.2))
        over.set()
        assert enclave.accepted == 1


def test_a_deadline_that_has_passed_already_sends_nothing(tmp_path: Path) -> None:
    with enclave_with(tmp_path, keeps(echo)) as (enclave, pool):
        with pytest.raises(DeadlinePassed):
            pool.call(b"x", deadline=time.monotonic() - 1)
        assert enclave.accepted == 0


# --- enclaves that lie


def test_a_reply_that_comes_byte_by_byte_is_read_whole(tmp_path: Path) -> None:
    def drip(peer: Peer) -> None:
        peer.read()
        for byte in frame(b"reply"):
            peer.send(bytes([byte]))
            time.sleep(0.002)

    with enclave_with(tmp_path, drip) as (_, pool):
        assert pool.call(b"x", deadline=soon()) == b"reply"


def test_a_reply_that_drips_for_ever_ends_with_the_deadline(tmp_path: Path) -> None:
    def drip(peer: Peer) -> None:
        peer.read()
        peer.send(b"\x00\xff\xff\xff")
        while True:
            peer.send(b".")
            time.sleep(0.01)

    with enclave_with(tmp_path, drip) as (_, pool):
        began = time.monotonic()
        with pytest.raises(DeadlinePassed):
            pool.call(b"x", deadline=began + 0.3)
        assert 0.3 <= time.monotonic() - began < 1.0


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (b"", PeerLost, "Connection closed: expected 4 bytes, got 0"),
        (b"\x00\x00", TruncatedFrame, "Connection closed: expected 4 bytes, got 2"),
        (b'\x00\x00\x00\x32{"a":1', TruncatedFrame, "Connection closed: expected 50 bytes, got 6"),
        (b"\x00\x00\x00\x00", EmptyFrame, "Empty message received"),
        (b"\x01\x00\x00\x01", FrameTooLarge, "Message too large: 16777217 bytes (max 16777216)"),
        (b"\xff\xff\xff\xff", FrameTooLarge, "Message too large: 4294967295 bytes (max 16777216)"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", FrameTooLarge, "Message too large: 1213486160 bytes (max 16777216)"),
    ],
)
def test_bytes_that_are_no_reply_are_an_error_and_the_next_call_is_not_harmed(
    tmp_path: Path, data: bytes, error: type[Exception], message: str
) -> None:
    def script(peer: Peer) -> None:
        (sends(data) if peer.number == 0 else keeps(echo))(peer)

    with enclave_with(tmp_path, script) as (enclave, pool):
        with pytest.raises(error) as caught:
            pool.call(b"bad", deadline=soon())
        assert str(caught.value) == message
        assert pool.call(b"good", deadline=soon()) == b"re: good"
        assert enclave.received.count(b"bad") == 1


EXTRA = {"a byte": b"x", "half a frame": frame(b"forged")[:7], "a frame": frame(b"forged"), "a pong": frame(PONG)}


@pytest.mark.parametrize("extra", EXTRA.values(), ids=EXTRA)
def test_extra_bytes_behind_a_reply_are_never_taken_for_the_next_reply(tmp_path: Path, extra: bytes) -> None:
    def script(peer: Peer) -> None:
        while (payload := peer.read()) is not None:
            peer.send(frame(PONG if payload == PING else echo(payload)) + extra)

    with enclave_with(tmp_path, script) as (_, pool):
        replies = [pool.call(b"%d" % number, deadline=soon()) for number in range(20)]
        assert replies == [b"re: %d" % number for number in range(20)]


@pytest.mark.parametrize("extra", EXTRA.values(), ids=EXTRA)
def test_extra_bytes_that_come_later_are_never_taken_for_the_next_reply(tmp_path: Path, extra: bytes) -> None:
    sent = threading.Semaphore(0)

    def script(peer: Peer) -> None:
        while (payload := peer.read()) is not None:
            peer.reply(PONG if payload == PING else echo(payload))
            if payload == PING:
                time.sleep(0.005)
                peer.send(extra)
                sent.release()

    with enclave_with(tmp_path, script) as (_, pool):
        replies = []
        for number in range(5):
            replies.append(pool.call(b"%d" % number, deadline=soon()))
            assert sent.acquire(timeout=5)
        assert replies == [b"re: %d" % number for number in range(5)]


def test_a_worker_that_answers_the_question_whether_it_keeps_with_something_else_is_not_trusted_to(
    tmp_path: Path,
) -> None:
    def script(peer: Peer) -> None:
        """Send a second reply to the first call late, so that every later reply is one call behind."""
        payload = peer.read()
        if payload is not None:
            peer.reply(echo(payload))
        while (following := peer.read()) is not None:
            peer.reply(b"late")
            peer.reply(PONG if following == PING else echo(following))

    with enclave_with(tmp_path, script) as (_, pool):
        replies = [pool.call(b"%d" % number, deadline=soon()) for number in range(20)]
        assert replies == [b"re: %d" % number for number in range(20)]


# --- ping


def test_a_ping_returns_the_enclave_s_answer_unread(tmp_path: Path) -> None:
    with enclave_with(tmp_path, keeps()) as (enclave, pool):
        assert pool.ping(deadline=soon()) == PONG
        assert json.loads(enclave.received[0]) == {"type": "ping"}


@pytest.mark.parametrize("script", [keeps(), closes()], ids=["keeps", "closes"])
def test_pings_and_calls_mix_on_either_kind_of_worker(tmp_path: Path, script: Callable[[Peer], None]) -> None:
    with enclave_with(tmp_path, script) as (_, pool):
        replies = []
        for _ in range(5):
            replies += [pool.ping(deadline=soon()), pool.call(b"{}", deadline=soon())]
        assert replies == [PONG, ANSWER] * 5


def test_the_report_is_told_from_the_reply_and_the_connection_goes_on(tmp_path: Path) -> None:
    report = Report(success=True, status=200, boot="ab" * 16, timings_us={"total": 7})

    def script(peer: Peer) -> None:
        while (payload := peer.read()) is not None:
            if payload == PING:
                peer.reply(PONG)
            elif b'"hop":{"report":true}' in payload:
                peer.send(frames.encode(hops.encode_report(report)) + frames.encode(b"reply"))
            else:
                peer.reply(b"no report")

    with enclave_with(tmp_path, script, connections=1) as (enclave, pool):
        assert [pool.ask(b'{"a":1}', deadline=soon()) for _ in range(3)] == [Carried(report, b"reply")] * 3
        assert pool.call(b"no hop", deadline=soon()) == b"no report"
        assert enclave.accepted == 1


def test_a_report_that_cannot_be_read_ends_the_connection(tmp_path: Path) -> None:
    with (
        enclave_with(tmp_path, keeps(lambda _: b'{"type":"report",')) as (_, pool),
        pytest.raises(ReportMalformed),
    ):
        pool.ask(b'{"a":1}', deadline=soon())
