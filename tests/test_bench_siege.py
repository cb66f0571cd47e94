"""The load suite's own parts: what counts as an answer, and what follows from a list of them. Nothing is timed."""

import itertools
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.siege import events, slow, tokens
from bench.siege.__main__ import LEAST, as_text, fit
from bench.siege.attacks import ATTACKS
from bench.siege.callers import Callers, classify, closed
from bench.siege.events import BAD, FAILED, GOOD, LATE, LOST, REFUSED, UNHEARD, Event
from bench.siege.run import Phase, Seen
from bench.siege.verdict import judge

ANSWER = b'HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{"success":true}'
BUSY = b'HTTP/1.1 503 S\r\nRetry-After: 1\r\nContent-Length: 15\r\n\r\n{"code":"busy"}'
FULL = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n"
    b'{"success":false,"status":503,"headers":{},"rawBody":"","error":"Enclave at capacity"}    '
)


@pytest.mark.parametrize(
    ("answer", "seconds", "outcome"),
    [
        (ANSWER, 1.0, GOOD),
        (ANSWER, 2.5, LATE),
        (BUSY, 0.1, REFUSED),
        (BUSY.replace(b"503", b"429"), 0.1, REFUSED),
        (FULL, 0.1, REFUSED),
        (b'HTTP/1.1 200 OK\r\n\r\n{"success":false,"status":504,"attestation":{"a":1}}', 0.1, FAILED),
        (BUSY.replace(b"Retry-After: 1\r\n", b""), 0.1, "bad 503 busy"),
        (BUSY.replace(b'"code"', b'"kind"'), 0.1, "bad 503"),
        (BUSY.replace(b"503", b"500"), 0.1, "bad 500 busy"),
        (ANSWER.replace(b"true", b"fals"), 0.1, "bad 200"),
    ],
)
def test_an_answer_is_good_in_time_a_proper_refusal_or_bad(answer: bytes, seconds: float, outcome: str) -> None:
    assert classify(answer, seconds, 2.0) == outcome


@given(st.binary(max_size=200))
def test_any_bytes_are_some_outcome(answer: bytes) -> None:
    assert classify(answer, 0.0, 1.0).partition(" ")[0] in (GOOD, REFUSED, FAILED, BAD)


SEEN = [*(Event(n / 10, 0.01 * n, GOOD) for n in range(10)), Event(0.55, 0.0, REFUSED), Event(1.5, 9.0, LOST)]


def test_rates_percentiles_and_outcomes_are_of_their_time_alone() -> None:
    assert events.rate(SEEN, 0.0, 0.5) == 10.0
    assert events.rate(SEEN, 1.0, 2.0) == 0.0
    assert events.p99(SEEN, 0.0, 0.5) == 0.04
    assert events.p99(SEEN, 1.0, 2.0) == 0.0
    assert events.outcomes(SEEN, 0.5, 2.0) == {GOOD: 5, REFUSED: 1, LOST: 1}


def test_events_are_read_as_they_were_written(tmp_path: Path) -> None:
    events.write(tmp_path / "events", SEEN)
    assert events.read(tmp_path / "events") == SEEN


def test_recovery_is_when_the_rate_and_the_percentile_are_back() -> None:
    slow_then_quick = [Event(n / 100, 1.0 if n < 200 else 0.01, GOOD) for n in range(100, 500)]
    found = events.recovery(slow_then_quick, 0.0, 5.0, least_rate=90.0, most_p99=0.1)
    assert found == pytest.approx(2.0)
    assert events.recovery(slow_then_quick, 0.0, 5.0, least_rate=90.0, most_p99=2.0) == pytest.approx(1.0, abs=0.11)
    assert events.recovery(slow_then_quick, 0.0, 5.0, least_rate=200.0, most_p99=2.0) is None


def phase(begin: float, *, attackers: float = 0.0, others: float = 0.0) -> Phase:
    return Phase(begin=begin, end=begin + 10, cores=20.0, system=10.0, attackers=attackers, others=others)


def seen(rates: tuple[int, ...], *, during: Phase, flood: tuple[Event, ...] = (), most: float = 110.0) -> Seen:
    honest = [
        Event(begin + n / rate, 0.01, GOOD)
        for begin, rate in zip(itertools.count(0, 10), rates, strict=False)
        for n in range(10 * rate)
    ]
    calm = (phase(0.0), phase(20.0))
    memory = ({"parent": 100.0}, {"parent": most}, {"parent": 100.0})
    return Seen(calm=calm, attack=(during,), honest=tuple(honest), flood=flood, said=(), memory=memory)


OVERLOAD = next(attack for attack in ATTACKS if attack.floods)
HEADS = ATTACKS[0]


def test_goodput_is_a_share_of_the_calm_around_and_of_the_cpu_that_was_left() -> None:
    verdict = judge(HEADS, seen((10, 8, 10), during=phase(10.0)))
    assert (verdict.raw.median, verdict.fair.median, verdict.broken) == (0.8, 0.8, ())
    verdict = judge(HEADS, seen((10, 5, 10), during=phase(10.0, attackers=5.0, others=5.0)))
    assert (verdict.raw.median, verdict.fair.median, verdict.broken) == (0.5, 1.0, ())
    verdict = judge(HEADS, seen((10, 7, 10), during=phase(10.0)))
    assert verdict.broken == ("goodput 70%",)
    assert "BROKEN: goodput 70%" in as_text(verdict)


def test_of_a_flood_the_good_answers_count_and_bad_ones_break_the_promise() -> None:
    served = tuple(Event(10 + n / 10, 0.01, GOOD) for n in range(100))
    wrong = (Event(12.0, 0.01, "bad 500 internal_error"), Event(13.0, 0.0, UNHEARD), Event(14.0, 0.1, REFUSED))
    assert judge(OVERLOAD, seen((20, 10, 20), during=phase(10.0), flood=served)).raw.median == 1.0
    assert judge(HEADS, seen((20, 10, 20), during=phase(10.0), flood=served)).raw.median == 0.5
    verdict = judge(OVERLOAD, seen((10, 10, 10), during=phase(10.0), flood=wrong))
    assert verdict.broken == ("1 of the flood neither served nor refused properly",)


def test_what_an_attack_costs_beyond_its_good_answers_is_the_refusals() -> None:
    refused = tuple(Event(10 + n / 100, 0.01, REFUSED) for n in range(500))
    verdict = judge(OVERLOAD, seen((20, 10, 20), during=phase(10.0), flood=refused))
    assert verdict.answer_ms == pytest.approx(50.0)  # 20 s for 400
    assert verdict.refusal_ms == pytest.approx(10.0)  # 10 s less 5 s for 100, by 500
    assert judge(HEADS, seen((10, 10, 10), during=phase(10.0))).refusal_ms == 0.0


def test_memory_that_grows_and_a_slow_recovery_break_the_promise() -> None:
    verdict = judge(HEADS, seen((10, 10, 10), during=phase(10.0), most=101.0 + HEADS.most_mib))
    assert verdict.broken == (f"memory of the parent +{HEADS.most_mib + 1} MiB",)
    assert judge(HEADS, seen((10, 10, 1), during=phase(10.0))).broken == ("recovery",)


@given(st.floats(20, 2000), st.integers(1, 12))
def test_lengths_fit_the_time_that_is_given(seconds: float, attacks: int) -> None:
    lengths = fit(seconds, attacks)
    taken = attacks * (1.0 + lengths.calm + lengths.rounds * (lengths.attack + lengths.calm))
    assert lengths == LEAST or taken == pytest.approx(seconds)


# --- callers and slow peers, against a server


class Says(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        while line := self.rfile.readline():
            if line == b"\r\n":
                answer = next(self.server.answers)  # type: ignore[attr-defined]
                if answer is None:
                    return
                self.wfile.write(answer)


@contextmanager
def server(answers: Iterator[bytes | None]) -> Iterator[int]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Says) as listening:
        listening.answers = answers  # type: ignore[attr-defined]
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield listening.server_address[1]
        finally:
            listening.shutdown()
            thread.join()


def test_callers_note_every_answer_and_every_lost_connection_and_rest_when_refused() -> None:
    with server(iter([ANSWER, None, BUSY])) as port:
        callers = Callers(port, b"GET / HTTP/1.1\r\n\r\n", 1, patience=60.0)
        try:
            for _ in closed(callers):
                if len(callers.events) == 3:
                    break
            assert (len(callers.free), len(callers.refused)) == (0, 1)
        finally:
            callers.close()
    assert [one.outcome for one in callers.events] == [GOOD, LOST, REFUSED]


def test_slow_peers_come_back_when_they_are_ended_and_count_what_they_hear() -> None:
    with server(itertools.chain([ANSWER, None], itertools.repeat(ANSWER))) as port:
        peers = slow.Slow(slow.Kind(first=b"GET / HTTP/1.1\r\n\r\n", drip=b"\r\n"), port, 1)
        try:
            while peers.ended < 1 or peers.said["200"] < 2:
                peers.turn(range(1))
        finally:
            peers.close()
    assert peers.most == 1


def test_the_slow_caller_has_the_limits_of_one_who_is_given_none(tmp_path: Path) -> None:
    text = tokens.write(tmp_path).read_text()
    assert text.count("[[tokens]]") == 3
    assert text.count("concurrent") == 2
