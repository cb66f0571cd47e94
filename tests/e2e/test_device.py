"""/dev/nsm in the booted image, through our ioctl: asked by a program that takes the worker's place.

What is not AWS's but the emulated device's is marked so: it has no limits for single fields, and where AWS's module
may say InvalidArgument it says InvalidOperation.
"""

import errno
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from devstack import nitro
from devstack.enclave import MODULE_ID, Enclave
from tests.e2e.conftest import ENTRY, Images
from tests.e2e.test_boot import measured

PROGRAM = Path(__file__).with_name("device.py")
ZERO = bytes(48).hex()
INVALID_INDEX = ["Refused", "InvalidIndex"]
READ_ONLY = ["Refused", "ReadOnlyIndex"]
INVALID_OPERATION = ["Refused", "InvalidOperation"]
TOO_LARGE = ["DeviceFailed", errno.EMSGSIZE]


def extended(*data: bytes) -> str:
    value = bytes(48)
    for each in data:
        value = hashlib.sha384(value + each).digest()
    return value.hex()


@pytest.fixture(scope="module")
def said(images: Images, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("device")
    (folder / "device.eif").write_bytes(nitro.with_file(images.production.read_bytes(), ENTRY, PROGRAM.read_bytes()))
    enclave = Enclave(folder / "device.eif", folder, ports={})
    with pytest.raises(RuntimeError, match="init: worker ended with status 0"), enclave:
        pytest.fail("this program does not listen")
    lines = [line.removeprefix("DEVICE ") for line in enclave.console.splitlines() if line.startswith("DEVICE ")]
    assert lines.pop() == "done"
    answers = [json.loads(line) for line in lines]
    return {each["name"]: each["raised"] if "raised" in each else each["found"] for each in answers}


def test_the_device_describes_itself(said: dict[str, Any]) -> None:
    found = said["describe"]
    assert (found["module_id"], found["max_pcrs"], found["digest"]) == (MODULE_ID, 32, "SHA384")
    assert found["locked_pcrs"] == [*range(16)]
    assert {name: type(found[f"version_{name}"]) for name in ("major", "minor", "patch")} == {
        "major": int,
        "minor": int,
        "patch": int,
    }


def test_registers_are_described_with_their_locks(said: dict[str, Any]) -> None:
    assert said["pcr 0"]["lock"]
    assert said["pcr 0"]["data"] != ZERO
    assert said["pcr 15"] == {"lock": True, "data": ZERO}
    assert said["pcr 16"] == said["pcr 31"] == {"lock": False, "data": ZERO}


def test_the_registers_are_not_those_of_the_production_image(said: dict[str, Any], images: Images) -> None:
    assert said["pcr 0"]["data"] != measured(images.production).pcr0.hex()


def test_an_index_that_no_register_has_is_refused_as_such(said: dict[str, Any]) -> None:
    for operation in ("pcr 32", "extend 32", "lock 32", "lock a range too long"):
        assert said[operation] == INVALID_INDEX, operation


def test_an_index_beyond_a_byte_is_refused(said: dict[str, Any]) -> None:
    for operation in ("pcr 65535", "extend 65535", "lock 65535"):  # the emulated device reads one byte
        assert said[operation] == INVALID_OPERATION, operation


def test_a_register_is_extended_by_hash_of_old_value_and_data(said: dict[str, Any]) -> None:
    assert said["extend"] == extended(b"first")
    assert said["extend again"] == extended(b"first", b"second")
    assert said["extended"] == {"lock": False, "data": extended(b"first", b"second")}


def test_a_locked_register_keeps_its_value(said: dict[str, Any]) -> None:
    assert said["lock"] is None
    assert said["locked"] == {"lock": True, "data": extended(b"first", b"second")}
    assert said["lock a locked one"] == said["extend a locked one"] == said["extend a measured one"] == READ_ONLY


def test_a_range_is_locked_up_to_its_end(said: dict[str, Any]) -> None:
    assert said["lock a range"] is said["lock a range again"] is said["lock an empty range"] is None
    assert said["locked by the range"] == {"lock": True, "data": ZERO}
    assert said["extend in the range"] == READ_ONLY
    assert said["behind the range"] == {"lock": False, "data": ZERO}
    assert said["describe after locking"] == said["pcrs of a document"] == [*range(25)]


def test_a_document_has_fields_up_to_the_limits(said: dict[str, Any]) -> None:
    limits = {"nonce": 512, "user_data": 512, "public_key": 1024}
    assert said["all at their limits"] == limits
    assert said["all empty"] == {"nonce": 0, "user_data": 0}
    assert said["nothing"] == [None, None, None]
    assert {name: said[f"{name} at its limit"] for name in limits} == {name: {name: n} for name, n in limits.items()}


@pytest.mark.parametrize(("field", "limit"), [("nonce", 512), ("user_data", 512), ("public_key", 1024)])
def test_we_refuse_what_is_beyond_a_limit_where_the_emulated_device_would_sign_it(
    said: dict[str, Any], field: str, limit: int
) -> None:
    kind, text = said[f"{field} above it"]
    assert (kind, f"got {limit + 1}" in text) == ("ValueError", True)
    assert said[f"{field} above it, raw"] == {field: limit + 1}


def test_an_empty_public_key_is_refused_by_us(said: dict[str, Any]) -> None:
    assert said["an empty key"] == ["ValueError", "public_key must have 1..1024 bytes, got 0"]


def test_a_request_of_0x1000_bytes_passes_and_one_more_does_not_reach_the_device(said: dict[str, Any]) -> None:
    assert said["request of 0x1000"] == 0x1000
    assert said["extend by 0x1001"] == said["extend by 0x1001 in the driver"] == TOO_LARGE
    assert said["after 0x1001"] == {"lock": False, "data": said["extend by 0x1000"]}


def test_an_empty_request_is_refused_by_us(said: dict[str, Any]) -> None:
    assert said["empty request"] == ["ValueError", "a request has at least 1 byte"]


def test_random_bytes_are_256_and_other_ones_each_time(said: dict[str, Any]) -> None:
    assert (said["random"], said["random differs"]) == (256, True)


@pytest.mark.parametrize(
    "request_name",
    [
        "unknown request",
        "unknown request with fields",
        "a number",
        "no cbor",
        "index of the wrong type",
        "missing field",
    ],
)
def test_what_is_no_request_is_refused_and_harms_nothing(said: dict[str, Any], request_name: str) -> None:
    assert said[request_name] == INVALID_OPERATION
    assert said["after those"] == {"lock": False, "data": ZERO}


def test_a_closed_device_is_unavailable(said: dict[str, Any]) -> None:
    assert said["closed"] == ["DeviceUnavailable", "the device is closed"]
