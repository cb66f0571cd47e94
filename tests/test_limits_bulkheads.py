"""Threads shared among services: promised ones, a bounded queue in order, refusals before a wait that is in vain."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from app.errors import ApiError
from app.limits.bodies import BodyBudget
from app.limits.bulkheads import Bulkheads, Occupancy
from tests.fake_enclave import wait_until

LATER = 1e9


def named(bulkheads: Bulkheads, name: str) -> Occupancy:
    return next(each for each in bulkheads.occupancy() if each.service == name)


def fill(bulkheads: Bulkheads, name: str) -> int:
    """Enter until it is refused without a wait; return how many got in."""
    count = 0
    while True:
        try:
            bulkheads.enter(name, deadline=0.0)
        except ApiError:
            return count
        count += 1


def refusal(enter: Callable[[], object]) -> ApiError:
    with pytest.raises(ApiError) as caught:
        enter()
    assert (caught.value.status, caught.value.code) == (503, "busy")
    return caught.value


def test_a_full_service_leaves_the_others_their_promised_threads() -> None:
    bulkheads = Bulkheads(dict.fromkeys("abcd", 64), threads=96, clock=lambda: 1.0)
    assert fill(bulkheads, "a") == 41  # three quarters of the 55 threads that it can get: 11 promised, 44 common
    assert [fill(bulkheads, name) for name in "bcd"] == [25, 11, 11]  # 14 common threads were left
    assert [each.refused for each in bulkheads.occupancy()] == [1, 1, 1, 1]


def test_one_service_alone_gets_its_connections() -> None:
    assert fill(Bulkheads({"a": 64}, threads=96, clock=lambda: 1.0), "a") == 64


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_few_threads_still_leave_a_place_for_each_service(threads: int) -> None:
    bulkheads = Bulkheads(dict.fromkeys("abcd", 64), threads=threads, clock=lambda: 1.0)
    assert [fill(bulkheads, name) for name in "abcd"] == [1, 1, 1, 1]


def test_who_waits_gets_the_places_that_come_free_in_order() -> None:
    bulkheads = Bulkheads({"a": 1}, threads=96)
    entered = bulkheads.enter("a", deadline=LATER)
    order: list[int] = []

    def ask(number: int) -> None:
        at = bulkheads.enter("a", deadline=LATER)
        order.append(number)
        bulkheads.leave("a", at)

    with ThreadPoolExecutor(4) as pool:
        futures: list[Future[None]] = []
        for number in range(4):
            futures.append(pool.submit(ask, number))
            wait_until(lambda expected=number + 1: named(bulkheads, "a").waiting == expected)  # type: ignore[misc]
        bulkheads.leave("a", entered)
        for future in futures:
            future.result(5)
    assert order == [0, 1, 2, 3]
    assert (named(bulkheads, "a").running, named(bulkheads, "a").waiting) == (0, 0)


def test_a_place_that_comes_free_is_not_taken_from_who_waits() -> None:
    bulkheads = Bulkheads({"a": 1}, threads=96)
    entered = bulkheads.enter("a", deadline=LATER)
    release = threading.Event()

    def hold() -> None:
        at = bulkheads.enter("a", deadline=LATER)
        release.wait(5)
        bulkheads.leave("a", at)

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(hold)
        wait_until(lambda: named(bulkheads, "a").waiting == 1)
        bulkheads.leave("a", entered)
        refusal(lambda: bulkheads.enter("a", deadline=0.0))
        assert named(bulkheads, "a").running == 1
        release.set()
        future.result(5)


def test_a_wait_that_ends_in_vain_gives_everything_back() -> None:
    now = 0.0
    bulkheads = Bulkheads({"a": 1, "b": 1}, threads=4, clock=lambda: now)
    entered = bulkheads.enter("a", deadline=LATER)
    for _ in range(20):
        refusal(lambda: bulkheads.enter("a", deadline=0.005))
    assert (named(bulkheads, "a").running, named(bulkheads, "a").waiting) == (1, 0)
    bulkheads.leave("a", entered)
    bulkheads.leave("a", bulkheads.enter("a", deadline=LATER))
    assert named(bulkheads, "a").running == 0


def test_a_service_from_which_nothing_comes_back_is_refused_at_once() -> None:
    now = 10.0
    bulkheads = Bulkheads({"a": 1}, threads=96, clock=lambda: now)
    bulkheads.enter("a", deadline=LATER)
    now = 12.5
    error = refusal(lambda: bulkheads.enter("a", deadline=LATER))  # would be a wait of 2 seconds on a real clock
    assert error.retry_after == 3
    now = 4000.0
    assert refusal(lambda: bulkheads.enter("a", deadline=LATER)).retry_after == 60


def test_who_waits_shorter_than_calls_take_is_refused_at_once() -> None:
    now = 0.0
    bulkheads = Bulkheads({"a": 1}, threads=96, clock=lambda: now)
    for _ in range(100):
        entered = bulkheads.enter("a", deadline=LATER)
        now += 1.5
        bulkheads.leave("a", entered)
    assert round(named(bulkheads, "a").seconds, 2) == 1.5
    bulkheads.enter("a", deadline=LATER)
    assert refusal(lambda: bulkheads.enter("a", deadline=now + 1.4)).retry_after == 2


def test_bodies_have_one_budget() -> None:
    budget = BodyBudget(10)
    budget.reserve(6)
    budget.reserve(4)
    assert refusal(lambda: budget.reserve(1)).retry_after == 1
    budget.release(4)
    budget.reserve(3)
    assert (budget.held, budget.refused) == (9, 1)
