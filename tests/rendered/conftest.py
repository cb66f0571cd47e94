"""One deployment for the checkers: every service, and VIES with a second enclave beside the three others' hosts."""

import os
import shutil
from pathlib import Path

import pytest

from deploy import render
from tests.deploy_kit import a_plan

PLANS = {
    "all": a_plan(),
    "two-enclaves": a_plan("vies", cids={"vies": (16, 20)}),
    "one": a_plan("monerium-payment", env="test1"),
}


@pytest.fixture(scope="session", params=PLANS)
def rendered(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    render.write(PLANS[request.param], folder)
    return folder


def need(program: str) -> str:
    """Return where a program is; skip, and fail in CI, where there is none."""
    found = shutil.which(program)
    if found is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"NOT CHECKED: there is no {program} here")
    return found
