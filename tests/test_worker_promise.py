"""Promises and places: given once, given up only before the work has begun, never more than there are."""

import threading
import time

import pytest

from enclave_worker.places import Places
from enclave_worker.promise import Promise
from tests.enclave_kit import in_threads


def test_what_is_given_reaches_who_waits() -> None:
    promise: Promise[str] = Promise()
    assert promise.begin()
    threading.Timer(0.05, promise.give, ["done"]).start()
    assert promise.wait(time.monotonic() + 5) == "done"


def test_an_error_is_raised_where_it_is_waited_for() -> None:
    promise: Promise[str] = Promise()
    assert promise.begin()
    promise.fail(KeyError("broken"))
    with pytest.raises(KeyError, match="broken"):
        promise.wait(time.monotonic() + 5)


@pytest.mark.parametrize("seconds", [0.05, 0.0, -1.0])
def test_who_waited_in_vain_spares_the_work(seconds: float) -> None:
    promise: Promise[str] = Promise()
    with pytest.raises(TimeoutError):
        promise.wait(time.monotonic() + seconds)
    assert not promise.begin()


def test_work_that_has_begun_can_be_given_to_nobody() -> None:
    promise: Promise[str] = Promise()
    assert promise.begin()
    with pytest.raises(TimeoutError):
        promise.wait(time.monotonic())
    promise.give("late")


def test_what_was_given_before_the_wait_needs_no_time() -> None:
    promise: Promise[str] = Promise()
    promise.give("early")
    assert promise.wait(time.monotonic() - 1) == "early"


def test_places_are_as_many_as_were_made_from_whatever_thread() -> None:
    places = Places(5)
    taken = in_threads(8, lambda _: places.take())
    assert sorted(taken) == [False] * 3 + [True] * 5
    places.give_back()
    assert [places.take(), places.take()] == [True, False]
