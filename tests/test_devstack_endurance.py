"""A few seconds of the endurance run, and what it would say of answers, ends and growth that may not be."""

import json

import pytest

from devstack.endurance import report
from devstack.endurance.run import Figures, Options, run

SECONDS = 5.0


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> Figures:
    return run(Options(seconds=SECONDS, clients=4, events=False, output=tmp_path_factory.mktemp("endurance")))


def test_some_seconds_without_events_break_no_rule(figures: Figures) -> None:
    assert figures.problems() == []
    assert figures.ledger.excused == {}
    assert figures.ledger.count("verified") > 20
    assert figures.counted > 20


def test_the_report_says_so_for_people_and_programs(figures: Figures) -> None:
    assert list(report.lines(figures))[-1] == "Every rule was kept."
    said = json.loads(report.as_json(figures))
    assert said["problems"] == []
    assert sum(number for _, _, number in said["ends"]) == sum(figures.ledger.ends.values())
    assert {each["name"] for each in said["processes"]} >= {"gunicorn master", "vies/0", "vies/1", "sicae/0"}
