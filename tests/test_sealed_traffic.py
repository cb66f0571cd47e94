"""Sealed traffic through gunicorn and a worker process while keys rotate and while the enclave restarts.

What crosses to the parent is counted for each request: it is sent once at most, and the question for the identity that
it may need is asked again once at most.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import requests
from requests.adapters import HTTPAdapter

from devstack import __main__ as commands
from devstack.stack import Stack
from tytle_verifier.adapter import AttestedAdapter, KeyRetired, Unavailable, attest_only, attestation_of

URL = commands.lookup("PT", "507172230")["url"].replace("check-vat-number", "check-status")
CLIENTS = 4


@dataclass(frozen=True, kw_only=True)
class Done:
    """One request: how often it and its question were sent, the boot that answered, or the exception instead."""

    posts: int
    questions: int
    boot: bytes | None = None
    error: Exception | None = None


@dataclass(kw_only=True)
class Traffic:
    """Four clients that share one adapter and ask until `stop` is set."""

    adapter: AttestedAdapter
    stop: threading.Event = field(default_factory=threading.Event)
    done: list[Done] = field(default_factory=list)

    def run(self) -> None:
        with attest_only(requests.Session(), {"https://ec.europa.eu/": self.adapter}) as session:
            while not self.stop.is_set():
                self.done.append(ask(session))

    def wait_for(self, count: int, *, boots: int = 1) -> None:
        """Wait until so many requests are answered, by so many processes."""
        end = time.monotonic() + 30
        while time.monotonic() < end:
            answered = [each for each in list(self.done) if each.boot]
            if len(answered) >= count and len({each.boot for each in answered}) >= boots:
                return
            time.sleep(0.02)
        raise TimeoutError(f"{len(self.done)} requests, too few answers")


SENT = threading.local()


def ask(session: requests.Session) -> Done:
    SENT.urls = []
    boot = error = None
    try:
        boot = attestation_of(session.get(URL, timeout=20)).verified.statement.boot
    except requests.RequestException as exc:
        error = exc
        time.sleep(0.02)
    posts = sum("/attest/sealed" in url for url in SENT.urls)
    assert len(SENT.urls) - posts == sum("/identity?" in url for url in SENT.urls)  # nothing else, nothing in clear
    return Done(posts=posts, questions=len(SENT.urls) - posts, boot=boot, error=error)


@pytest.fixture(autouse=True)
def _counted(monkeypatch: pytest.MonkeyPatch) -> None:
    send = HTTPAdapter.send

    def counted(self: HTTPAdapter, request: requests.PreparedRequest, *args: Any, **more: Any) -> requests.Response:
        if hasattr(SENT, "urls"):  # in the threads of the clients; the stack asks for the health of its parent
            SENT.urls.append(request.url)
        return send(self, request, *args, **more)

    monkeypatch.setattr(HTTPAdapter, "send", counted)


@contextmanager
def traffic(stack: Stack) -> Iterator[Traffic]:
    adapter = AttestedAdapter(parent=stack.url, policy=commands.policy_of(stack), root=commands.root_of(stack))
    running = Traffic(adapter=adapter)
    threads = [threading.Thread(target=running.run) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield running
    finally:
        running.stop.set()
        for thread in threads:
            thread.join()


def test_keys_rotate_under_traffic_and_no_request_notices() -> None:
    with Stack(key_seconds=0.5) as stack, traffic(stack) as running:
        running.wait_for(20)
        time.sleep(3.0)
        running.wait_for(len(running.done) + 20)
    assert [each.error for each in running.done if each.error] == []
    assert {each.posts for each in running.done} == {1}
    assert {each.questions for each in running.done} == {0, 1}
    assert sum(each.questions for each in running.done) >= 4  # keys, of which each is asked for once


def test_a_restart_under_traffic_costs_errors_that_say_so_and_sends_nothing_twice(running_stack: Stack) -> None:
    with traffic(running_stack) as running:
        running.wait_for(20)
        running_stack.kill_worker()
        running_stack.start_worker()
        running.wait_for(len(running.done) + 20, boots=2)
    assert len({each.boot for each in running.done if each.boot}) == 2
    assert {(each.posts, each.questions) for each in running.done if each.boot} <= {(1, 0), (1, 1), (1, 2)}
    failed = [each for each in running.done if each.error]
    assert [each.error for each in failed if not isinstance(each.error, Unavailable)] == []
    assert {each.posts for each in failed} <= {0, 1}
    assert max(each.questions for each in running.done) <= 2
    assert 1 <= sum(isinstance(each.error, KeyRetired) for each in failed) <= CLIENTS
