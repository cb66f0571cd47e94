"""Prometheus' own checker over what the parent shows and ships. `make promtool` fetches it to build/promtool."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.fake_enclave import FakeEnclave
from tests.metrics_kit import OPENMETRICS, reports
from tests.parent import CHECKOUT, LEAST, Gunicorn, parent
from tests.test_dashboards import DASHBOARD, DEPLOY

PROMTOOL = CHECKOUT / "build" / "promtool"
GRAFANA = {"$__rate_interval": "5m", '"$service"': '".*"'}  # what Grafana puts in their place


def promtool(*arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(PROMTOOL), *arguments], input=given, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def exposition(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return what a gunicorn with two processes shows after some requests."""
    folder = tmp_path_factory.mktemp("promtool")
    with (
        FakeEnclave(folder / "enclave", reports()),
        Gunicorn(folder / "enclave", folder / "log", workers=2) as gunicorn,
    ):
        for _ in range(20):
            assert gunicorn.post(json.dumps(LEAST).encode()).status == 200
        connection = gunicorn.connect()
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        return text


def test_promtool_has_nothing_to_say_of_the_metrics(exposition: str) -> None:
    done = promtool("check", "metrics", given=exposition)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_promtool_has_nothing_to_say_of_the_metrics_of_one_process(tmp_path: Path) -> None:
    with FakeEnclave(tmp_path / "enclave", reports()) as enclave, parent(enclave.address) as client:
        client.post("/attest/fetch", json=LEAST)
        done = promtool("check", "metrics", given=client.get("/metrics").text)
        assert client.get("/metrics", headers={"Accept": OPENMETRICS}).text.endswith("# EOF\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_promtool_sees_what_is_wrong() -> None:
    done = promtool("check", "metrics", given="# TYPE tytle_requests counter\ntytle_requests 1\n")
    assert done.returncode != 0
    assert "no help text" in done.stderr


def test_the_alerts_are_rules() -> None:
    done = promtool("check", "rules", str(DEPLOY / "prometheus" / "tytle.rules.yml"))
    assert done.returncode == 0, done.stderr


def test_every_expression_of_the_dashboard_is_one(tmp_path: Path) -> None:
    rules = []
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            expression = target["expr"]
            for variable, value in GRAFANA.items():
                expression = expression.replace(variable, value)
            rules.append({"record": f"panel:{panel['id']}:{target['refId']}", "expr": expression})
    written = tmp_path / "dashboard.yml"
    written.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    done = promtool("check", "rules", str(written))
    assert done.returncode == 0, done.stderr
    assert f"{len(rules)} rules found" in done.stdout
