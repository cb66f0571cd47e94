"""The doctor on hosts of several kinds: stub commands on PATH, a stub /proc, and a real stack to reach."""

import json
import os
import stat
from pathlib import Path

import pytest

from app import doctor
from app.config import SERVICES, Config
from app.nitro_cli import Running
from app.router import Router
from devstack.stack import Stack
from devstack.worker import socket_path
from policy import manifest
from wire.addresses import UnixAddress

VIES = manifest.load((SERVICES / "vies.toml").read_bytes())
ENCLAVE = {"EnclaveCID": 16, "MemoryMiB": 512, "State": "RUNNING", "Flags": "NONE", "EnclaveName": "vies"}
PROXY = ["/usr/bin/vsock-proxy", "--num_workers", "128", "8443", "ec.europa.eu", "443"]


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host with a nitro-cli that prints the file `enclaves`, and vsock-proxies in a /proc of its own."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "nitro-cli"
    program.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo "Nitro CLI 1.4.4" || cat {tmp_path}/enclaves\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    (tmp_path / "enclaves").write_text(json.dumps([ENCLAVE]))
    for pid, command in {
        "7": PROXY,
        "8": ["vsock-proxy", "8444", "api.service.hmrc.gov.uk", "443"],
        "9": ["sh"],
    }.items():
        (tmp_path / "proc" / pid).mkdir(parents=True)
        (tmp_path / "proc" / pid / "cmdline").write_bytes("\0".join([*command, ""]).encode())
    monkeypatch.setattr(doctor, "PROC", tmp_path / "proc")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    return tmp_path


def results(stack: Stack, images: dict[str, Path] | None = None) -> dict[str, tuple[bool | None, str]]:
    address = UnixAddress(path=str(socket_path(stack.folder, "vies")))
    router = Router(Config(manifests=(VIES,), addresses={"vies": (address,)}))
    found = {result.subject: (result.passed, result.said) for result in doctor.checks(router, images or {})}
    router.close()
    return found


def test_a_good_host_is_told_so_but_for_the_proxy_with_too_few_workers(host: Path, running_stack: Stack) -> None:
    (host / "vies.eif").write_bytes(bytes(1024 * 1024))
    found = results(running_stack, {"vies": host / "vies.eif"})
    assert found["nitro-cli"] == (True, "Nitro CLI 1.4.4")
    assert found["vies (cid 16)"] == (True, "RUNNING, 512 MiB")
    assert found["cid 16 memory"][0] is True
    assert found["vsock-proxy 8443"] == (True, "128 workers, at least 128 needed (--num_workers)")
    assert found["vsock-proxy 8444"] == (False, "4 workers, at least 128 needed (--num_workers)")
    assert found["vies ping"][0] is True
    assert found["vies end to end"][0] is True


def test_a_free_cid_and_a_missing_proxy_are_named(host: Path, running_stack: Stack) -> None:
    (host / "enclaves").write_text("[]")
    (host / "proc" / "7" / "cmdline").write_bytes(b"sleep\0")
    found = results(running_stack)
    assert found["vies (cid 16)"] == (False, "not running; the CID is free")
    assert found["vsock-proxy 8443"] == (False, "not running: vsock-proxy 8443 ec.europa.eu 443")


@pytest.mark.parametrize("printed", ["{}", "not json", '[{"EnclaveCID": "16"}]', "[1]", "null", "[" * 100_000])
def test_what_nitro_cli_prints_is_shape_checked(printed: str, host: Path, running_stack: Stack) -> None:
    (host / "enclaves").write_text(printed)
    found = results(running_stack)
    assert found["vies (cid 16)"] == (None, "nitro-cli does not tell which enclaves run")


def test_debug_mode_is_a_failure(host: Path, running_stack: Stack) -> None:
    (host / "enclaves").write_text(json.dumps([{**ENCLAVE, "Flags": "DEBUG_MODE"}]))
    assert results(running_stack)["vies (cid 16)"] == (False, "in debug mode: no verifier accepts its documents")


def test_memory_below_four_times_the_image_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "image.eif").write_bytes(bytes(3 * 1024 * 1024))
    assert (
        doctor.check_memory(Running(cid=16, state="RUNNING", memory=11, debug=False), tmp_path / "image.eif").passed
        is False
    )
    assert (
        doctor.check_memory(Running(cid=16, state="RUNNING", memory=12, debug=False), tmp_path / "image.eif").passed
        is True
    )


def test_the_command_says_what_is_wrong_and_exits_with_1(
    host: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (host / "enclaves").write_text("[]")
    monkeypatch.setattr(doctor, "ASK_SECONDS", 0.3)
    assert doctor.main([]) == 1
    shown = capsys.readouterr().out
    assert "NO  vies (cid 16)" in shown
    assert "NO  vies ping" in shown
    monkeypatch.setenv("VIES_CID", "three")
    assert doctor.main([]) == 1
    assert "VIES_CID: expected a whole number" in capsys.readouterr().out
