"""What requests add up in their process is what prometheus_client would have counted one by one."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.metrics import MetricWrapperBase

from app.metrics.tally import BUCKETS, SummedHistogram, Tally


def samples(metric: MetricWrapperBase) -> dict[tuple[str, str], float]:
    return {
        (one.name, one.labels.get("le", "")): one.value
        for family in metric.collect()
        for one in family.samples
        if not one.name.endswith("_created")
    }


@given(st.lists(st.sampled_from(BUCKETS) | st.floats(min_value=0, max_value=100), max_size=30), st.integers(0, 30))
def test_durations_fall_into_the_librarys_own_buckets(seconds: list[float], at_first: int) -> None:
    theirs = Histogram("a", "A.", buckets=BUCKETS, registry=None)
    ours = SummedHistogram("a", "A.", buckets=BUCKETS, registry=None)
    tally = Tally()
    durations = tally.durations(ours)
    for part in (seconds[:at_first], seconds[at_first:]):
        for each in part:
            theirs.observe(each)
            durations.add(each)
        tally.hand_over()
    expected, seen = samples(theirs), samples(ours)
    assert seen.pop(("a_sum", "")) == pytest.approx(expected.pop(("a_sum", "")))
    assert seen == expected


def test_nothing_is_handed_over_twice() -> None:
    registry = CollectorRegistry()
    counter = Counter("a", "A.", registry=registry)
    tally = Tally()
    count = tally.count(counter)
    count.more += 3
    for _ in range(2):
        tally.hand_over()
        assert registry.get_sample_value("a_total") == 3


def test_nothing_is_lost_between_threads_that_count_and_one_that_hands_over() -> None:
    registry = CollectorRegistry()
    tally = Tally()
    count = tally.count(Counter("a", "A.", registry=registry))

    def work() -> None:
        for _ in range(2000):
            with tally.lock:
                count.more += 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        tally.hand_over()
    tally.hand_over()
    assert registry.get_sample_value("a_total") == 8000
