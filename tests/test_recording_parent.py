"""What a parent learns that records everything: its wires, its log, its memory. Ten secrets are planted.

Unsealed requests show that the recorder works: it finds all ten. Linux, and the right to read a process's memory.
"""

import os
import threading
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest
import requests

from devstack import __main__ as commands
from devstack.nsm_registers import IMAGE
from tests.enclave_kit import in_threads
from tests.recording import memory
from tests.recording.host import RecordingHost
from tests.recording.search import Sighting, sightings
from tests.recording.vault import HOST, Secrets, Vault
from tytle_verifier import Policy, Release
from tytle_verifier.adapter import AttestedAdapter, attest_only

CLIENTS = 10
UNSEALED_REQUESTS = 200
SEALED_REQUESTS = 1000
IN_THE_REQUEST = {
    "bearer_token", "api_key", "other_header", "body_name", "body_number", "query_value", "path_value", "challenge",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Recording:
    """What was seen of `secrets` and of the service's name, which the parent must know, in `requests` requests."""

    secrets: Secrets
    requests: int
    memory_bytes: int
    seen: list[Sighting]

    def where(self, secret: str) -> set[str]:
        """Return the kinds of record that hold it."""
        return {sighting.record.partition("/")[0] for sighting in self.seen if sighting.secret == secret}


class Challenges:
    """What an adapter takes its challenges from: one for its first request, which also asks for the enclave's identity
    and shows that question's challenge to the parent, and from then on the planted one."""

    def __init__(self, planted: bytes) -> None:
        self._planted = planted
        self.first = True

    def __call__(self, size: int) -> bytes:
        return os.urandom(size) if self.first else self._planted


def record(folder: Path, *, requests_wanted: int, sealed: bool) -> Recording:
    """Send requests, the half of them before and half after an instant when all clients wait and memory is dumped."""
    known = Secrets()
    vault = Vault(known)
    challenges = Challenges(known.challenge)
    with RecordingHost(folder, vault) as host:
        _check_may_read(host)
        adapter = _adapter(host, challenges, sealed=sealed)
        vault.go_on.set()
        ask(adapter, known, 1)
        challenges.first, vault.answered = False, 0
        each = requests_wanted // 2 // CLIENTS
        in_threads(CLIENTS, lambda _: ask(adapter, known, each))
        vault.go_on.clear()
        held = threading.Thread(target=in_threads, args=(CLIENTS, lambda _: ask(adapter, known, each)))
        held.start()
        for _ in range(CLIENTS):
            assert vault.waiting.acquire(timeout=20)
        memory_bytes = host.dump("under way")
        vault.go_on.set()
        held.join()
        memory_bytes += host.dump("afterwards")
        seen = sightings({**asdict(known), "service": host.service}, host.records())
    return Recording(secrets=known, requests=vault.answered, memory_bytes=memory_bytes, seen=seen)


def ask(adapter: AttestedAdapter, known: Secrets, times: int) -> None:
    """Send the request that holds the secrets, and check that the answer came which holds the others."""
    with attest_only(requests.Session(), {f"https://{HOST}/": adapter}) as session:
        for _ in range(times):
            answer = session.post(known.url, headers=known.headers, data=known.body, timeout=60)
            assert answer.json()["name"] == known.answer_name
            assert answer.headers["X-Receipt"] == known.answer_header


def _adapter(host: RecordingHost, challenges: Challenges, *, sealed: bool) -> AttestedAdapter:
    release = Release(commit=commands.NO_COMMIT, pcrs=IMAGE, manifest=host.stack.manifest.digest)
    policy = Policy(service=host.service, releases=(release,), urls=(f"https://{HOST}/*",), methods=frozenset({"POST"}))
    root = commands.root_of(host.stack)
    return AttestedAdapter(parent=host.url, policy=policy, root=root, random=challenges, sealed=sealed)


def _check_may_read(host: RecordingHost) -> None:
    forbidden = [pid for pid in host.pids if not memory.may_read(pid)]
    if forbidden:
        message = "NOT SHOWN: this user may not read a process's memory (ptrace); run it as root"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)


@pytest.fixture(scope="module")
def unsealed(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    return record(tmp_path_factory.mktemp("unsealed"), requests_wanted=UNSEALED_REQUESTS, sealed=False)


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    return record(tmp_path_factory.mktemp("sealed"), requests_wanted=SEALED_REQUESTS, sealed=True)


def test_after_a_thousand_sealed_requests_no_record_holds_a_secret(sealed: Recording) -> None:
    assert sealed.requests == SEALED_REQUESTS
    assert sealed.where("service") == {"http", "frames", "memory", "log"}
    assert [sighting for sighting in sealed.seen if sighting.secret != "service"] == []


def test_the_recorder_finds_all_ten_secrets_of_unsealed_requests(unsealed: Recording) -> None:
    assert unsealed.requests == UNSEALED_REQUESTS
    names = asdict(unsealed.secrets).keys()
    assert len(names) == 10
    for name in names:
        assert {"http", "frames"} <= unsealed.where(name), name
    for name in IN_THE_REQUEST:
        assert "memory" in unsealed.where(name), name  # of those that waited when the memory was dumped


def test_what_the_parent_must_know_is_found_in_every_record_but_that_of_the_upstream_s_wire(
    unsealed: Recording,
) -> None:
    assert unsealed.where("service") == {"http", "frames", "memory", "log"}
    assert unsealed.memory_bytes > 0


def test_neither_the_log_nor_the_wire_to_the_upstream_holds_a_secret_even_of_unsealed_requests(
    unsealed: Recording,
) -> None:
    for name in asdict(unsealed.secrets):
        assert not {"log", "proxy"} & unsealed.where(name), name
