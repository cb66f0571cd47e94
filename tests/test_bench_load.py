"""The load generators: what they count, and that they count all of it. How fast anything is, is measured elsewhere."""

import itertools
import socketserver
import threading
from array import array
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.caller import Answer, Frames, http_request
from bench.figures import percentile, summary
from bench.load import Load
from bench.paced import CONNECTIONS, Paced, schedule
from wire import frames

REQUEST = http_request("/attest/fetch", b"{}")
GOOD = b'HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{"success":true}'
BAD = b'HTTP/1.1 503 Busy\r\ncontent-length: 17\r\n\r\n{"success":false}'


class Says(socketserver.StreamRequestHandler):
    """Answers each request with the server's next answer; None closes the connection."""

    def handle(self) -> None:
        while self.rfile.read(len(REQUEST)):
            answer = next(self.server.answers)
            if answer is None:
                return
            self.wfile.write(answer)


@contextmanager
def server(answers: Iterator[bytes | None]) -> Iterator[int]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Says) as listening:
        listening.socket.listen(2 * CONNECTIONS)
        listening.answers = answers
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield listening.server_address[1]
        finally:
            listening.shutdown()
            thread.join()


def test_a_closed_loop_ends_when_every_request_is_answered():
    with server(itertools.repeat(GOOD)) as port, Load(port, itertools.repeat(REQUEST, 50), 4) as load:
        load.run(60)
    assert (len(load.latencies), load.answered, load.errors) == (50, 50, 0)


def test_a_bad_answer_and_a_closed_connection_are_errors():
    with server(iter([GOOD, BAD, None, GOOD])) as port, Load(port, itertools.repeat(REQUEST, 4), 1) as load:
        load.run(60)
    assert (len(load.latencies), load.answered, load.errors) == (2, 3, 2)


def test_what_is_under_way_at_the_end_is_waited_for_but_not_counted_in_time():
    with server(itertools.repeat(GOOD)) as port, Load(port, itertools.repeat(REQUEST), 4) as load:
        load.run(0)
        counted = len(load.latencies)
        load.drain()
    assert (counted, load.answered, load.errors) == (0, 4, 0)


def test_on_schedule_whoever_finds_no_free_connection_waits_and_is_counted():
    with server(itertools.repeat(GOOD)) as port, Paced(port, REQUEST, [0.0] * (3 * CONNECTIONS), warm_up=0) as paced:
        paced.run()
    assert (len(paced.latencies), len(paced.late), paced.errors) == (3 * CONNECTIONS, 3 * CONNECTIONS, 0)


def test_on_schedule_bad_answers_are_errors_and_the_warm_up_is_left_out():
    with server(iter([BAD, GOOD, GOOD])) as port, Paced(port, REQUEST, [0.0, 0.02, 0.04], warm_up=0.03) as paced:
        paced.run()
    assert (len(paced.latencies), paced.answered, paced.errors) == (1, 3, 1)


def test_a_latency_counts_from_the_instant_that_a_request_was_due():
    with server(itertools.repeat(GOOD)) as port, Paced(port, REQUEST, [-5.0], warm_up=-10) as paced:
        paced.run()
    assert paced.latencies[0] > 5


def test_a_schedule_is_the_same_each_time_has_the_rate_asked_for_and_ends_in_time():
    due = schedule(1000.0, 10.0)
    assert due == schedule(1000.0, 10.0)
    assert due == sorted(due)
    assert 9_500 < len(due) < 10_500
    assert 0 < due[0] < due[-1] < 10


@pytest.mark.parametrize("cut", range(1, len(GOOD)))
def test_an_answer_is_whole_however_it_arrives(cut: int):
    answer = Answer()
    assert answer.feed(GOOD[:cut]) is None
    assert answer.feed(GOOD[cut:]) == GOOD


def test_an_answer_is_whole_byte_by_byte():
    answer = Answer()
    assert [answer.feed(bytes([byte])) for byte in GOOD] == [None] * (len(GOOD) - 1) + [GOOD]


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 200 OK\r\n\r\n", GOOD + b"x", b"HTTP/1.1 200\r\nContent-Length: x\r\n\r\n"]
)
def test_an_answer_that_cannot_be_told_from_the_next_is_refused(answer: bytes):
    with pytest.raises(ValueError, match="answer"):
        Answer().feed(answer)


@given(st.binary(), st.sampled_from([b"", b"\r\n\r\n", GOOD[:40]]), st.binary())
def test_any_bytes_give_an_answer_nothing_or_a_value_error(before: bytes, middle: bytes, after: bytes):
    answer = Answer()
    try:
        answer.feed(before + middle)
        answer.feed(after)
    except ValueError:
        return


@pytest.mark.parametrize(("percent", "expected"), [(50, 500.0), (90, 900.0), (99, 990.0), (99.9, 999.0), (100, 1000.0)])
def test_a_percentile_is_the_nearest_rank(percent: float, expected: float):
    assert percentile([float(value) for value in range(1, 1001)], percent) == expected


def test_without_an_answer_every_percentile_is_nothing():
    figures = summary(array("d"), errors=3, answered=3, seconds=1.0, cpu_seconds=0.5)
    assert (figures.requests, figures.p50_ms, figures.p999_ms) == (0, 0.0, 0.0)


@given(st.integers(0, 200), st.integers(0, 200))
def test_a_workers_answer_is_the_frame_behind_its_report_in_any_portions(first, second):
    stream = frames.encode(b'{"report":1}') + frames.encode(GOOD[-16:])
    cuts = sorted({0, *(min(cut, len(stream)) for cut in (first, second)), len(stream)})
    answer = Frames()
    fed = [answer.feed(stream[start:end]) for start, end in itertools.pairwise(cuts)]
    assert fed == [None] * (len(fed) - 1) + [b'{"success":true}']
