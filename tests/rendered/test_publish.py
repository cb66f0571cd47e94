"""publish-pcrs, against moto's server: what AWS would be told, and the file of releases."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests
from moto.server import ThreadedMotoServer

from deploy import __main__ as commands
from tests.deploy_kit import COMMIT, MEASURED
from tytle_verifier import load_policy

REGION = "eu-west-1"


@pytest.fixture
def ssm(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    requests.post(f"http://{host}:{port}/moto-api/reset", timeout=10).raise_for_status()  # its state is the process's
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    yield boto3.client("ssm", region_name=REGION)
    server.stop()


def publish(folder: Path, **changed: Any) -> int:
    measurements = folder / "measurements.json"
    measurements.write_text(json.dumps({**MEASURED, **changed}))
    arguments = ["publish-pcrs", "--service", "vies", "--env", "prod", "--region", REGION]
    return commands.main([*arguments, "--measurements", str(measurements), "--registry", str(folder)])


def stored(ssm: Any) -> dict[str, str]:
    found = ssm.get_parameters_by_path(Path="/tytle/prod/enclave/vies")["Parameters"]
    return {parameter["Name"].rpartition("/")[2]: parameter["Value"] for parameter in found}


def test_measurements_are_in_ssm_and_in_the_file_of_releases(ssm: Any, tmp_path: Path) -> None:
    assert publish(tmp_path) == 0
    assert stored(ssm) == {"pcr0": MEASURED["PCR0"], "pcr1": MEASURED["PCR1"], "pcr2": MEASURED["PCR2"]}
    (release,) = load_policy((tmp_path / "vies.pcrs.toml").read_bytes()).releases
    assert release.commit == COMMIT


def test_a_next_release_replaces_the_parameter_and_joins_the_file(ssm: Any, tmp_path: Path) -> None:
    assert publish(tmp_path) == 0
    assert publish(tmp_path, commit="6" * 40, PCR0="b0" * 48) == 0
    assert stored(ssm)["pcr0"] == "b0" * 48
    history = ssm.get_parameter_history(Name="/tytle/prod/enclave/vies/pcr0")["Parameters"]
    assert [(each["Value"], each["Description"]) for each in history] == [
        (MEASURED["PCR0"], f"commit {COMMIT}"),
        ("b0" * 48, f"commit {'6' * 40}"),
    ]
    assert len(load_policy((tmp_path / "vies.pcrs.toml").read_bytes()).releases) == 2


@pytest.mark.parametrize(
    "changed", [{"commit": "unknown"}, {"base": "local, x"}, {"service": "sicae"}, {"PCR0": "0" * 96}]
)
def test_what_is_not_publishable_is_nowhere(ssm: Any, tmp_path: Path, changed: dict[str, str]) -> None:
    assert publish(tmp_path, **changed) == 1
    assert stored(ssm) == {}
    assert not (tmp_path / "vies.pcrs.toml").exists()


def test_a_contradiction_is_found_before_anything_is_written(ssm: Any, tmp_path: Path) -> None:
    assert publish(tmp_path) == 0
    assert publish(tmp_path, PCR2="b2" * 48) == 1
    assert stored(ssm)["pcr2"] == MEASURED["PCR2"]
