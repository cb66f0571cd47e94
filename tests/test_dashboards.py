"""The dashboard and the alerts name metrics, labels and words that exist."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from app.config import ArchiveSettings, Config
from app.metrics import outcomes
from app.metrics.meters import NO_SERVICE, PHASES, QUESTIONS
from tests.fake_enclave import FakeEnclave
from tests.metrics_kit import Shown, reports
from tests.parent import LEAST, VIES, serving

DEPLOY = Path(__file__).parent.parent / "deploy"
DASHBOARD = json.loads((DEPLOY / "grafana" / "tytle.json").read_text(encoding="utf-8"))
ALERTS = (DEPLOY / "prometheus" / "tytle.rules.yml").read_text(encoding="utf-8")
WORDS = {
    "route": set(QUESTIONS),
    "outcome": set(outcomes.OUTCOMES),
    "phase": set(PHASES.values()),
}
METRIC = re.compile(r"\btytle_\w+")
MATCHER = re.compile(r"(\w+)(?:=~|!=|=)\"([^\"]*)\"")


def expressions() -> list[str]:
    """Return every expression of the dashboard and of the alerts, and what the dashboard's variables ask."""
    asked = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]
    asked += [one["definition"] for one in DASHBOARD["templating"]["list"] if "definition" in one]
    folded = re.sub(r">-\n", "", ALERTS)
    alerts = re.findall(r"expr:\s*((?:.|\n)*?)\n\s*(?:for|labels):", folded)
    assert len(alerts) == ALERTS.count("- alert:")
    return asked + alerts


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    folder = tmp_path_factory.mktemp("dashboards")
    archive = ArchiveSettings(url=f"sqlite:///{folder}/archive.db")
    with FakeEnclave(folder / "enclave", reports()) as enclave:
        config = Config(manifests=(VIES,), addresses={VIES.name: (enclave.address,)}, archive=archive)
        with serving(config) as app:
            app.test_client().post("/attest/fetch", json=LEAST)
            return Shown(app.test_client().get("/metrics").text)


def test_every_metric_that_is_asked_for_exists(shown: Shown) -> None:
    exists = {sample.name for sample in shown.samples}
    asked = {name for expression in expressions() for name in METRIC.findall(expression)}
    assert len(asked) >= 8
    assert asked - exists == set()


def test_every_metric_is_on_the_dashboard(shown: Shown) -> None:
    asked = " ".join(expressions())
    assert [one.name for one in shown.families if one.name not in asked and not one.name.endswith("_created")] == []


def test_every_label_that_is_asked_for_exists_and_so_does_each_of_its_words(shown: Shown) -> None:
    labels = {label for sample in shown.samples for label in sample.labels} | {"job", "instance"}
    for expression in expressions():
        for label, words in MATCHER.findall(expression):
            assert label in labels, expression
            if label in WORDS:
                assert set(words.split("|")) <= WORDS[label], expression
        for grouping in re.findall(r"\bby \(([^)]*)\)", expression):
            assert {name.strip() for name in grouping.split(",")} <= labels, expression


def test_a_panel_has_a_place_a_title_and_an_explanation_of_its_own() -> None:
    panels: list[dict[str, Any]] = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({panel["title"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        grid = panel["gridPos"]
        cells = {(grid["x"] + x, grid["y"] + y) for x in range(grid["w"]) for y in range(grid["h"])}
        assert max(x for x, _ in cells) < 24
        assert not cells & taken, panel["title"]
        taken |= cells
        assert panel["type"] == "row" or panel["description"].endswith("."), panel["title"]


def test_no_service_is_called_as_requests_without_one_are() -> None:
    names = {path.name.partition(".")[0] for path in (DEPLOY.parent / "services").glob("*.toml")}
    assert NO_SERVICE not in names
