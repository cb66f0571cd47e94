"""The running worker, watched from beside it by root, and every other door tried from the parent's side.

/proc shows no vsock sockets. What shows that there is no second one: Linux counts the sockets of all families that
processes made, the count is 1, and that one, taken from the worker's descriptors, is the listener on port 5000.
"""

import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from devstack import nitro
from devstack.enclave import Enclave
from enclave_worker import __main__ as entry
from enclave_worker.boot import UID
from policy import manifest
from tests.e2e.conftest import ENTRY, MANIFEST, Images

WATCHER = Path(__file__).with_name("watch.py")
BESIDE = "opt/tytle/enclave_worker/production.py"
WAIT_SECONDS = 60.0
ANY_CID = 2**32 - 1
PORT = 5000
OTHER_PORTS = (*range(PORT), *range(PORT + 1, 10_000), 2**16, 2**16 + PORT, 2**31, 2**32 - 2)


@dataclass(frozen=True, slots=True)
class Watched:
    enclave: Enclave
    found: dict[str, Any]


@pytest.fixture(scope="module")
def watched(images: Images, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("watched")
    image = nitro.with_file(images.production.read_bytes(), BESIDE, Path(entry.__file__).read_bytes())
    (folder / "watched.eif").write_bytes(nitro.with_file(image, ENTRY, WATCHER.read_bytes()))
    with Enclave(folder / "watched.eif", folder, ports={}) as enclave:
        end = time.monotonic() + WAIT_SECONDS
        while "\n" not in (line := enclave.console.partition("WORKER ")[2]) and time.monotonic() < end:
            time.sleep(0.2)
        yield Watched(enclave, json.loads(line.splitlines()[0]))


def test_the_worker_has_an_unprivileged_uid_and_no_capability(watched: Watched) -> None:
    uid = " ".join([str(UID)] * 4)
    nothing = dict.fromkeys(("CapPrm", "CapEff", "CapInh", "CapAmb"), "0" * 16)
    assert watched.found["status"] == {"Uid": uid, "Gid": uid, "Groups": "", **nothing}


def test_the_worker_dumps_no_core_and_other_processes_of_its_uid_cannot_read_it(watched: Watched) -> None:
    assert (watched.found["core"], watched.found["owner"]) == (["0", "0"], 0)


def test_the_workers_environment_is_empty(watched: Watched) -> None:
    assert watched.found["environment"] == ""


def test_the_worker_holds_console_device_and_one_socket(watched: Watched) -> None:
    assert watched.found["descriptors"] == [*["/dev/console"] * 3, "/dev/nsm", "socket"]


def test_the_only_socket_in_the_enclave_listens_on_vsock_port_5000(watched: Watched) -> None:
    listener = {"family": "AF_VSOCK", "type": "SOCK_STREAM", "listens": 1, "address": [ANY_CID, PORT]}
    assert (watched.found["sockets"], watched.found["socket"]) == (1, [listener])


def test_register_16_holds_the_manifests_digest_and_is_locked(watched: Watched) -> None:
    digest = manifest.load(MANIFEST.read_bytes()).digest
    expected = {"value": hashlib.sha384(bytes(48) + digest).hexdigest(), "locked": True, "extension": "ReadOnlyIndex"}
    assert watched.found["manifest"] == expected


def test_no_other_port_accepts_a_connection_of_the_parents(watched: Watched) -> None:
    for port in OTHER_PORTS:
        with pytest.raises(ConnectionRefusedError):
            watched.enclave.connect(port)
    watched.enclave.connect(PORT).close()
