"""The boot: each check in its order, each failing closed. What only a real kernel has is seen in the emulated host."""

import ast
import base64
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import cbor2
import pytest

from devstack.nsm_faults import Answers
from devstack.soft_nsm import SoftNsm
from enclave_worker import boot, system
from enclave_worker.boot import BootRefused
from enclave_worker.system import SystemRefused
from enclave_worker.worker import unix_milliseconds
from nsm import client, document
from nsm.errors import ErrorCode
from policy import manifest
from tests.enclave_kit import MANIFEST, enclave

POLICY = manifest.load(MANIFEST)
ROOT = Path(__file__).parent.parent


def test_the_kernels_generator_is_read_from_sysfs(tmp_path: Path) -> None:
    (tmp_path / "rng_current").write_text("nsm-hwrng\n")
    assert system.current_rng(tmp_path / "rng_current") == "nsm-hwrng"
    with pytest.raises(SystemRefused, match="no hardware random number generator"):
        system.current_rng(tmp_path / "absent")


def test_another_generator_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "current_rng", lambda: "virtio_rng.0")
    with pytest.raises(SystemRefused, match=r"'virtio_rng\.0', expected 'nsm-hwrng'"):
        boot.check_entropy(SoftNsm().exchange)


def test_random_bytes_of_the_nsm_are_mixed_into_the_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    mixed: list[bytes] = []
    monkeypatch.setattr(system, "current_rng", lambda: "nsm-hwrng")
    monkeypatch.setattr(system, "mix_entropy", mixed.append)
    assert boot.check_entropy(SoftNsm().exchange) == "nsm-hwrng, 256 bytes mixed in, reseeded"
    assert [len(data) for data in mixed] == [256]


def test_what_is_mixed_in_is_credited_in_full_and_the_generator_draws_its_next_key_from_it() -> None:
    calls: list[tuple[int, bytes]] = []
    data = bytes(range(256))
    system.mix_entropy(data, Path(os.devnull), ioctl=lambda _, number, given: calls.append((number, given)))
    add, reseed = 1 << 30 | 8 << 16 | ord("R") << 8 | 3, ord("R") << 8 | 7  # _IOW('R', 3, int[2]), _IO('R', 7)
    assert calls == [(add, b"\x00\x08\x00\x00" + b"\x00\x01\x00\x00" + data), (reseed, b"")]


def may_administer() -> bool:
    """Whether this process has CAP_SYS_ADMIN (21 in linux/capability.h), which root in a container may lack."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapEff:")]
    return bool(int(line.split()[1], 16) >> 21 & 1)


@pytest.mark.skipif(not may_administer(), reason="crediting entropy takes CAP_SYS_ADMIN")
def test_this_kernel_takes_the_bytes_and_reseeds_its_generator() -> None:
    system.mix_entropy(os.urandom(256))


def test_a_pool_that_takes_nothing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pool").write_bytes(b"")
    with pytest.raises(SystemRefused, match="takes no entropy: Inappropriate ioctl"):
        system.mix_entropy(b"some", tmp_path / "pool")
    with pytest.raises(SystemRefused, match="takes no entropy: No such file"):
        system.mix_entropy(b"some", tmp_path / "no-pool")
    assert not (tmp_path / "no-pool").exists()


UNPRIVILEGED = """
import os
from enclave_worker import system
os.setuid(1000)
try:
    system.mix_entropy(bytes(256))
except system.SystemRefused as refused:
    print(refused)
"""


@pytest.mark.skipif(os.getuid() != 0, reason="giving up privileges takes root")
def test_without_privileges_nothing_is_credited_and_that_is_refused() -> None:
    done = subprocess.run(
        [sys.executable, "-c", UNPRIVILEGED], env={"PYTHONPATH": str(ROOT)}, capture_output=True, check=True, text=True
    )
    assert done.stdout == "/dev/urandom takes no entropy: Operation not permitted\n"


@pytest.mark.parametrize("off_ms", [-60_000, 60_000])
def test_a_clock_that_disagrees_with_the_nsm_is_refused(off_ms: int) -> None:
    with pytest.raises(SystemRefused, match="the clock differs by"):
        boot.check_clock(SoftNsm().exchange, lambda: unix_milliseconds() + off_ms)
    assert "ms from the NSM's" in boot.check_clock(SoftNsm().exchange, unix_milliseconds)


def test_debug_mode_is_refused_unless_the_image_is_for_development() -> None:
    debug = SoftNsm(debug=True)
    with pytest.raises(SystemRefused, match="debug mode"):
        boot.check_measurement(debug.exchange, allow_debug=False)
    assert "development image" in boot.check_measurement(debug.exchange, allow_debug=True)
    assert boot.check_measurement(SoftNsm().exchange, allow_debug=False).startswith("PCR0 ")


def test_the_manifest_is_sealed_into_pcr16() -> None:
    nsm = SoftNsm()
    found = boot.seal_manifest(nsm.exchange, POLICY.digest)
    expected = hashlib.sha384(bytes(48) + hashlib.sha256(MANIFEST).digest()).digest()
    assert found == f"PCR16 {expected.hex()}, locked"
    assert client.attest(nsm.exchange).fields.pcrs[16] == expected
    with pytest.raises(SystemRefused, match="used before"):
        boot.seal_manifest(nsm.exchange, POLICY.digest)


def test_a_pcr16_that_was_touched_but_not_locked_is_refused() -> None:
    nsm = SoftNsm()
    client.extend_pcr(nsm.exchange, 16, b"somebody was here")
    with pytest.raises(SystemRefused, match="used before"):
        boot.seal_manifest(nsm.exchange, POLICY.digest)


def test_the_first_check_that_fails_ends_the_boot_and_names_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    nsm = SoftNsm()
    monkeypatch.setattr(system, "current_rng", lambda: "none")
    with pytest.raises(BootRefused, match="entropy: ") as caught:
        boot.boot(nsm.exchange, POLICY, clock_ms=unix_milliseconds)
    assert caught.value.check == "entropy"
    assert client.describe_pcr(nsm.exchange, 16).lock is False  # nothing later was done


def test_an_nsm_that_refuses_ends_the_boot(monkeypatch: pytest.MonkeyPatch) -> None:
    nsm = SoftNsm()
    nsm.fault = Answers(ErrorCode.InternalError)
    monkeypatch.setattr(system, "current_rng", lambda: "nsm-hwrng")
    with pytest.raises(BootRefused, match="entropy: InternalError"):
        boot.boot(nsm.exchange, POLICY, clock_ms=unix_milliseconds)


CHILD = """
import json, os, resource, sys
from enclave_worker import boot
found = boot.confine_process(1000)
def tried(action):
    try:
        action()
    except OSError as error:
        return type(error).__name__
    return "allowed"
print(json.dumps({
    "found": found, "uids": os.getresuid(), "groups": os.getgroups(), "environment": dict(os.environ),
    "core": resource.getrlimit(resource.RLIMIT_CORE),
    "back to root": tried(lambda: os.setuid(0)),
}))
"""


@pytest.mark.skipif(os.getuid() != 0, reason="giving up privileges takes root")
def test_the_process_is_confined_for_good() -> None:
    environment = {"PATH": os.environ["PATH"], "https_proxy": "http://evil", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", CHILD], env=environment, capture_output=True, check=True, text=True)
    seen = json.loads(done.stdout)
    assert seen["uids"] == [1000, 1000, 1000]
    assert (seen["environment"], seen["core"], seen["groups"]) == ({}, [0, 0], [])
    assert seen["back to root"] == "PermissionError"
    assert seen["found"].startswith("uid 1000, no core dumps, not dumpable, ")


def test_the_entry_point_keeps_to_one_cpu_before_it_starts_a_thread() -> None:
    source = (ROOT / "enclave_worker" / "__main__.py").read_text(encoding="utf-8")
    (main,) = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef) and node.name == "main"]
    called = at_import(ast.Module(body=main.body, type_ignores=[]))
    assert called.index("boot") < called.index("keep_to_one_cpu") < called.index("Worker")


def test_a_dumpable_process_is_refused(tmp_path: Path) -> None:
    (tmp_path / "environ").write_bytes(b"")
    if os.getuid() == 0:
        os.chown(tmp_path / "environ", 1000, 1000)
    with pytest.raises(SystemRefused, match="dumpable"):
        system.check_not_dumpable(tmp_path)
    with pytest.raises(SystemRefused, match="cannot be read"):
        system.check_not_dumpable(tmp_path / "absent")


def test_the_identity_is_bound_with_the_callers_challenge() -> None:
    challenge = b"0123456789abcdef0123456789abcdef"
    question = json.dumps({"type": "identity", "challenge": base64.b64encode(challenge).decode()}).encode()
    with enclave() as running:
        reply = json.loads(running.worker.answer(question))
        pong = json.loads(running.worker.answer(b'{"type":"ping"}'))
    fields = document.read(base64.b64decode(reply["nsmDocument"]))
    identity = base64.b64decode(reply["identity"])
    said = cbor2.loads(identity)
    assert fields.nonce == challenge
    assert cbor2.loads(fields.user_data or b"") == {
        "profile": "tytle/enclave-identity/v1",
        "identity": hashlib.sha256(identity).digest(),
        "key": hashlib.sha256(said["sealing"]["key"]).digest(),
    }
    assert (said["service"], said["manifest"], said["report"]) == ("test", POLICY.digest, [])
    assert (said["boot"].hex(), reply["service"]) == (pong["boot"], "test")
    assert reply["pcrs"]["pcr0"] == fields.pcrs[0].hex()
    assert cbor2.dumps(said, canonical=True) == identity


@pytest.mark.parametrize("question", [b'{"type":"identity","challenge":"c2hvcnQ="}', b'{"type":"identity","x":1}'])
def test_a_malformed_question_for_the_identity_is_refused(question: bytes) -> None:
    with enclave() as running:
        assert json.loads(running.worker.answer(question))["status"] == 400


def test_an_identity_that_cannot_be_attested_is_not_shown() -> None:
    nsm = SoftNsm()
    with enclave(nsm=nsm) as running:
        nsm.fault = Answers(ErrorCode.InternalError)
        reply = json.loads(running.worker.answer(b'{"type":"identity"}'))
        assert (reply["success"], reply["status"], "identity" in reply) == (False, 502, False)


DRAWS = {"generate", "urandom", "token_bytes", "randbytes", "uuid4", "encrypt"}


def at_import(node: ast.AST) -> list[str]:
    """Return the names of what is called when this module is imported, not when its functions are."""
    if isinstance(node, ast.FunctionDef | ast.Lambda):
        return []
    name = [ast.unparse(node.func).rpartition(".")[2]] if isinstance(node, ast.Call) else []
    return name + [found for child in ast.iter_child_nodes(node) for found in at_import(child)]


def test_nothing_draws_random_bytes_before_the_boot_has_seen_to_the_generator() -> None:
    assert at_import(ast.parse("X = a.generate()\ndef f():\n    return b.urandom()\n")) == ["generate"]
    files = [path for room in ("enclave_worker", "wire", "policy", "nsm") for path in (ROOT / room).rglob("*.py")]
    drawing = {str(path): DRAWS & set(at_import(ast.parse(path.read_text()))) for path in files}
    assert {path: names for path, names in drawing.items() if names} == {}
