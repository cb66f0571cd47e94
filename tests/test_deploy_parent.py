"""What is rendered and written in README, against the parent: its settings, its probes, its commands."""

import re
from pathlib import Path

from app import gunicorn_conf
from app.config import from_environment
from app.factory import create_app
from deploy import render
from tests import deploy_guide
from tests.deploy_kit import ROOT, a_plan
from tytle_verifier import cli


def test_every_other_module_has_the_options_that_are_given() -> None:
    modules = {words[2] for words in deploy_guide.named("python")} - {"deploy"}
    for module in modules:
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file()
    (verify,) = (words[3:] for words in deploy_guide.named("python") if words[2] == "tytle_verifier")
    assert cli._parser().parse_args(verify).command == "verify"


def test_the_paths_that_are_probed_are_routes() -> None:
    probed = set()
    for name, text in render.files(a_plan("vies")).items():
        probed |= {(name, path) for path in re.findall(r"(?::5001|HealthCheckPath: |path: )(/[a-z]+z)\b", text)}
    assert {path for _, path in probed} == {"/readyz", "/livez"}
    rules = re.findall(r'\.get\("(/[a-z]+)"\)', (ROOT / "app" / "health.py").read_text())
    assert {path for _, path in probed} <= set(rules)


def test_the_load_balancer_ends_an_idle_connection_before_the_parent_does() -> None:
    stack = render.files(a_plan("vies"))["cloudformation.yaml"]
    (idle,) = re.findall(r'\{Key: idle_timeout\.timeout_seconds, Value: "([0-9]+)"\}', stack)
    assert 120 < int(idle) < gunicorn_conf.keepalive  # and it waits for the longest call


def test_a_probe_needs_no_token(tmp_path: Path) -> None:
    (tmp_path / "tokens.toml").write_text(f'[[tokens]]\nname = "agents"\nsha256 = "{"5" * 64}"\n')
    app = create_app(from_environment({"SERVICES": "vies", "TOKENS_FILE": str(tmp_path / "tokens.toml")}))
    asked = {path: app.test_client().get(path).status_code for path in ("/livez", "/readyz", "/routes")}
    assert asked["/livez"] == 200
    assert asked["/readyz"] == 503  # there is no enclave here
    assert asked["/routes"] == 401


def test_the_settings_that_are_rendered_are_read_by_the_parent() -> None:
    files = render.files(a_plan("vies"))
    text = "\n".join(files.values())
    source = "\n".join(path.read_text() for path in (ROOT / "app").rglob("*.py"))
    for name in ("SERVICES", "STATE_DIR", "TOKENS_FILE", "BIND"):
        assert name in text
        assert f'"{name}"' in source
    assert "VIES_CIDS" in text
    assert "_CIDS" in source
