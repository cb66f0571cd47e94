"""What the worker finds around it: printed by a probe that takes its place in an otherwise unchanged image."""

import json
from pathlib import Path
from typing import Any

import pytest

from devstack import nitro
from devstack.enclave import Enclave
from eif.init import DRIVERS, WORKER
from tests.e2e.conftest import ENTRY, Images

PROBE = Path(__file__).with_name("probe.py")


@pytest.fixture(scope="module")
def found(images: Images, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("probe")
    (folder / "probe.eif").write_bytes(nitro.with_file(images.production.read_bytes(), ENTRY, PROBE.read_bytes()))
    enclave = Enclave(folder / "probe.eif", folder, ports={})
    with pytest.raises(RuntimeError, match="init: worker ended with status 0"), enclave:
        pytest.fail("a probe does not listen")
    _, _, line = enclave.console.partition("PROBE ")
    probed: dict[str, Any] = json.loads(line.splitlines()[0])
    return probed


def test_init_and_worker_are_the_only_processes(found: dict[str, Any]) -> None:
    assert found["processes"] == [[*WORKER], [WORKER[0], "-ISB", "/init"]]
    assert found["parent"] == 1


def test_the_environment_is_empty_and_only_the_console_is_open(found: dict[str, Any]) -> None:
    assert (found["environment"], found["descriptors"]) == ({}, ["0", "1", "2"])


def test_the_image_is_read_only(found: dict[str, Any]) -> None:
    assert found["writable"] == ["/dev", "/tmp", "/run"]
    assert found["mounts"] == ["/", "/dev", "/proc", "/run", "/sys", "/tmp"]


def test_there_is_no_network_but_vsock(found: dict[str, Any]) -> None:
    assert found["interfaces"] == {"lo": "down"}
    assert set(found["sockets"].values()) == {0}


def test_only_the_named_drivers_are_loaded_and_the_device_feeds_the_random_pool(found: dict[str, Any]) -> None:
    assert found["modules"] == sorted(DRIVERS)
    assert found["rng"] == "nsm-hwrng"


def test_the_image_holds_one_program(found: dict[str, Any]) -> None:
    assert found["programs"] == ["/init", "/usr/bin/python3.11"]
