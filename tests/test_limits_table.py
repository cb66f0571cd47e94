"""Shared counters: two processes' rows in one table, a clock that a test turns, and processes that die."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.callers import registry
from app.limits.table import MAX_NAMES, NANOSECONDS, SPARE_NAMES, Meter, Table
from app.limits.values import Limits, OverLimit, retry_after
from app.prefork import Family


class Clock:
    def __init__(self) -> None:
        self.now = 5 * NANOSECONDS

    def __call__(self) -> int:
        return self.now

    def turn(self, seconds: float) -> None:
        self.now += round(seconds * NANOSECONDS)


def rows(limits: Limits, clock: Clock, *, processes: int = 2) -> list[Meter]:
    table = Table(processes=processes)
    return [Meter(table, "a", limits, row=row, clock=clock) for row in range(processes)]


def refusal(meter: Meter, cost: float = 1.0) -> OverLimit:
    with pytest.raises(OverLimit) as caught:
        meter.take(cost)
    return caught.value


def test_a_burst_is_let_through_whoever_counts_it_and_then_the_rate() -> None:
    clock = Clock()
    first, second = rows(Limits(rate=2, burst=4), clock)
    for meter in (first, second, second, first):
        meter.take()
    assert refusal(first).seconds == refusal(second).seconds == 0.5
    clock.turn(0.5)
    second.take()
    assert refusal(first).rate
    clock.turn(100)
    for meter in (second, first, second, first):
        meter.take()
    assert refusal(second).seconds == 0.5


def test_time_in_which_a_full_bucket_waits_is_not_saved_up() -> None:
    clock = Clock()
    first, second = rows(Limits(rate=2, burst=2), clock)
    first.take()
    clock.turn(0.9)  # full again since 0.4 seconds
    second.take()
    first.take()
    assert refusal(second).seconds == 0.5


def test_a_cheaper_question_costs_less_of_the_rate() -> None:
    first, second = rows(Limits(rate=1, burst=1), Clock())
    for meter in (first, second, first, second):
        meter.take(0.25)
    assert refusal(first, 0.25).seconds == 0.25


def test_what_was_refused_costs_nothing_and_a_refund_gives_back() -> None:
    clock = Clock()
    (meter,) = rows(Limits(rate=1, burst=2), clock, processes=1)
    meter.take()
    meter.take()
    for _ in range(50):
        refusal(meter)
    clock.turn(1)
    meter.take()
    meter.give(refund=1.0)
    meter.take()
    refusal(meter)


def test_no_more_are_under_way_than_the_limit_over_both_processes() -> None:
    first, second = rows(Limits(concurrent=3), Clock())
    first.take()
    second.take()
    second.take()
    assert not refusal(first).rate
    assert (first.under_way, second.under_way) == (3, 3)
    second.give()
    first.take()
    assert refusal(second).seconds == 1.0


def test_a_question_refused_for_its_rate_is_not_under_way() -> None:
    first, second = rows(Limits(rate=1, burst=1, concurrent=5), Clock())
    first.take()
    refusal(second)
    first.give()
    assert second.under_way == 0


@given(st.lists(st.tuples(st.sampled_from("tgr"), st.integers(0, 2), st.integers(0, 2_000)), max_size=60))
def test_in_any_order_of_processes_the_limits_hold(steps: list[tuple[str, int, int]]) -> None:
    clock = Clock()
    meters = rows(Limits(rate=2, burst=3, concurrent=4), clock, processes=3)
    began, taken = clock.now, 0
    held = [0, 0, 0]
    for kind, row, milliseconds in steps:
        if kind == "g" and held[row]:
            meters[row].give()
            held[row] -= 1
        elif kind == "t":
            try:
                meters[row].take()
            except OverLimit:
                continue
            held[row] += 1
            taken += 1
        clock.turn(milliseconds / 1000)
        assert sum(held) == meters[0].under_way <= 4
        assert taken <= 3 + 2 * (clock.now - began) / NANOSECONDS + 1e-6


def test_many_threads_of_two_processes_never_pass_the_limit() -> None:
    first, second = rows(Limits(concurrent=5), Clock())
    most, lock, under_way = 0, threading.Lock(), 0

    def work(number: int) -> None:
        nonlocal most, under_way
        meter = (first, second)[number % 2]
        try:
            meter.take()
        except OverLimit:
            return
        with lock:
            under_way += 1
            most = max(most, under_way)
        with lock:
            under_way -= 1
        meter.give()

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(work, range(3000)))
    assert 1 <= most <= 5
    assert first.under_way == 0


def test_a_name_has_one_column_for_all_and_another_name_another() -> None:
    table = Table(processes=2, names=3)
    assert [table.column(name) for name in ("a", "b", "a", "c", "b")] == [0, 1, 0, 2, 1]
    with pytest.raises(ValueError, match="over 3 callers and services"):
        table.column("d")


def test_the_row_of_a_dead_process_is_cleared_and_what_it_spent_stays_spent() -> None:
    clock = Clock()
    with closing(Table(processes=4, shared=True)) as table:
        dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
        row = table.adopt(os.getpid())
        assert row == 0
        limits = Limits(rate=1, burst=2, concurrent=2)
        other = table.adopt(os.getpid())
        assert other == 1
        meters = [Meter(table, "a", limits, row=each, clock=clock) for each in (row, other)]
        meters[0].take()
        meters[0].take()
        table.occupy(row, int(dead.stdout))
        refusal(meters[1])
        assert table.adopt(os.getpid()) == 0  # found dead, cleared, and given to the next
        assert meters[1].under_way == 0
        assert refusal(meters[1]).rate
        clock.turn(1)
        meters[1].take()


def test_a_table_without_a_free_row_says_so() -> None:
    with closing(Table(processes=2, shared=True)) as table:
        assert [table.adopt(os.getpid()) for _ in range(3)] == [0, 1, None]
        table.clear(1)
        assert table.adopt(os.getpid()) == 1


@pytest.mark.parametrize(("seconds", "header"), [(0.0, 1), (0.01, 1), (1.0, 1), (1.01, 2), (59.5, 60), (1e9, 3600)])
def test_retry_after_is_whole_seconds_rounded_up_within_bounds(seconds: float, header: int) -> None:
    assert retry_after(seconds) == header


@pytest.mark.parametrize("wrong", [{"rate": 0}, {"rate": -1}, {"rate": float("inf")}, {"burst": 0}, {"concurrent": 0}])
def test_a_limit_that_lets_nothing_through_is_a_mistake(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError):
        Limits(**wrong)  # type: ignore[arg-type]


def test_who_claims_a_column_waits_for_another_process_even_one_that_is_killed() -> None:
    with closing(Table(processes=2, names=8, shared=True)) as table, ThreadPoolExecutor(1) as pool:
        claims = table._claims
        assert claims is not None
        holder = subprocess.Popen(
            [sys.executable, "-c", f"import fcntl, sys; fcntl.lockf({claims.fileno()}, 2); print(flush=True); input()"],
            pass_fds=[claims.fileno()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        with holder:
            assert holder.stdout is not None
            holder.stdout.readline()
            waiting = pool.submit(table.column, "a")
            with pytest.raises(TimeoutError):
                waiting.result(0.2)
            holder.kill()
        assert waiting.result(10) == 0


# --- what gunicorn's master does with it


def worker() -> Any:
    return SimpleNamespace(cfg=SimpleNamespace(threads=7))


def test_a_process_gets_counters_that_it_shares_and_the_master_gives_back_what_it_held() -> None:
    family, first, second = Family(), worker(), worker()
    meters = []
    for each in (first, second):
        family.adopt(each)
        family.occupy(each)
        assert family.process().threads == 7
        meters.append(family.process().meter("a", Limits(concurrent=1)))
    meters[0].take()
    refusal(meters[1])
    family.bury(first)
    meters[1].take()
    family.close()


def test_where_no_column_is_left_new_processes_have_a_table_of_their_own_and_each_is_cleared_in_its_own() -> None:
    family, old, new = Family(), worker(), worker()
    family.adopt(old)
    family.occupy(old)
    held = family.process().meter("a", Limits(concurrent=1))
    held.take()
    for number in range(MAX_NAMES - SPARE_NAMES - 1):
        old.table.column(str(number))
    callers = registry.load(f'[[tokens]]\nname = "b"\nsha256 = "{"0" * 64}"'.encode(), services=())
    family.read(lambda: callers, ValueError, context=lambda: None)
    family.adopt(new)
    family.occupy(new)
    assert new.table is not old.table
    other = family.process().meter("a", Limits(concurrent=1))
    other.take()
    family.bury(old)
    assert (held.under_way, other.under_way) == (0, 1)
    family.read(lambda: callers, ValueError, context=lambda: None)
    family.adopt(old)
    assert old.table is new.table
    family.close()


def test_a_process_that_nobody_forked_counts_by_itself() -> None:
    family = Family()
    assert family.process().table is not family.process().table
    family.bury(worker())
    one_too_many = worker()
    one_too_many.row = None
    family.occupy(one_too_many)
    assert (family.process().row, family.process().threads) == (0, 7)
