"""A malicious parent against every client: each ends in the honest answer to what it asked, or in a typed error.

What the parent does is data (malicious_acts); every act alone, and sequences of them that Hypothesis chooses. By
default a sample, in seconds; `make malice` does all of it.
"""

import base64
import hashlib
import itertools
import json
import os
import secrets
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cbor2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import malicious_world
from tests.malicious_acts import HTTP_ACTS, REQUEST_ACTS, identity_acts
from tests.malicious_clients import Asked, Client, Clients, Got, ask, excused
from tests.malicious_lies import byte_acts, field_acts
from tests.malicious_parent import Act, Passage, serving
from wire.fields import MODES

WHOLE = os.environ.get("MALICE") == "whole"
SHARE = 1 if WHOLE else 16  # one in so many of the systematic lies
STRIDE = 3 if WHOLE else 97  # a flip in every so many bytes
SEQUENCES = 600 if WHOLE else 40
KINDS = ("fetch", "get", "query")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[malicious_world.World]:
    with malicious_world.running(tmp_path_factory.mktemp("world")) as world:
        yield world


@pytest.fixture
def clients(world: malicious_world.World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Clients]:
    with serving(world) as parent:
        made = Clients(parent, tmp_path, monkeypatch)
        boots = set()
        for kind in KINDS:
            for enclave in ("vies", "second boot"):
                reply = json.loads(world.exchange(enclave, {"id": "r1", **json.loads(ask(kind, "document").data)})[0])
                statement = cbor2.loads(base64.b64decode(reply["attestation"]["statement"]))
                boots.add(statement["boot"])
                request, _ = world.record.answers[-1]
                made.truth[kind] = (request.method, request.path, request.body)
        made.boots = frozenset(boots)
        yield made
        assert parent.broken == []


def outcome(clients: Clients, client: Client, asked: Asked, acts: Iterable[Act], since: int | None = None) -> str:
    """Ask once; return "accepted", the class of the typed error, or what is wrong, in words."""
    clients.parent.acts = tuple(acts)
    clients.parent.done.clear()
    began = len(clients.world.record.answers) if since is None else since
    try:
        got = client(asked)
    except Exception as error:  # noqa: BLE001  the question is which it is
        return type(error).__name__ if excused(error) else f"WRONG: untyped {error!r}"
    wrong = clients.wrong(got, began)
    return f"WRONG: accepted, {', '.join(wrong)}" if wrong else "accepted"


def violations(clients: Clients, client: Client, asks: Iterable[tuple[Asked, Sequence[Act]]], **more: Any) -> list[str]:
    ended = (([act.name for act in acts], outcome(clients, client, asked, acts, **more)) for asked, acts in asks)
    return [f"{names}: {said}" for names, said in ended if said.startswith("WRONG")]


def some(acts: Iterable[Act], share: int, salt: str) -> list[Act]:
    """Return about one in `share` of these, the same ones each time, others for another `salt`."""
    return [act for act in acts if hashlib.sha256(f"{salt} {act.name}".encode()).digest()[0] % share == 0]


def sample(clients: Clients, kind: str, mode: str) -> dict[str, Any]:
    reply: dict[str, Any] = json.loads(
        clients.world.exchange("vies", {"id": "r1", **json.loads(ask(kind, mode).data)})[0]
    )
    return reply


CLIENTS = {
    "library": Clients.library,
    "command": Clients.command,
    "adapter": Clients.adapter,
    "sealed adapter": Clients.sealed_adapter,
    "sealed client": Clients.sealed_client,
}
ASKING = [
    (name, kind, mode)
    for (name, kind), mode in itertools.product(itertools.product(CLIENTS, KINDS), MODES)
    if not (kind == "query" and "adapter" in name)
]
IN_CLEAR = [each for each in ASKING if "sealed" not in each[0] and each[1] != "get"]


def bound(clients: Clients, name: str) -> Client:
    return lambda asked: CLIENTS[name](clients, asked)


@pytest.mark.parametrize(("name", "kind", "mode"), ASKING)
def test_behind_an_honest_parent_every_client_gets_its_answer(
    clients: Clients, name: str, kind: str, mode: str
) -> None:
    assert outcome(clients, bound(clients, name), ask(kind, mode), ()) == "accepted"


@pytest.mark.parametrize(("name", "kind", "mode"), IN_CLEAR)
def test_no_lie_about_any_field_or_byte_of_a_reply_is_accepted(
    clients: Clients, name: str, kind: str, mode: str
) -> None:
    clients.parent.remembers = True
    shape = sample(clients, kind, mode)
    asked, since = ask(kind, mode), len(clients.world.record.answers)
    dear = 1 if name == "library" else 6
    acts = [
        *some(field_acts(shape), SHARE * dear, f"{name} {kind} {mode}"),
        *byte_acts(shape, stride=STRIDE * dear),
    ]
    assert violations(clients, bound(clients, name), ((asked, (act,)) for act in acts), since=since) == []


@pytest.mark.parametrize(("name", "kind", "mode"), ASKING)
def test_no_change_of_a_request_or_of_the_http_around_its_reply_makes_a_wrong_answer(
    clients: Clients, name: str, kind: str, mode: str
) -> None:
    acts = some([*REQUEST_ACTS, *HTTP_ACTS], 1 if WHOLE else 5, f"{name} {kind} {mode}")
    client = bound(clients, name)
    clients.library(ask(kind, mode))  # something old to replay
    assert violations(clients, client, ((ask(kind, mode), (act,)) for act in acts)) == []


@pytest.mark.parametrize("name", ["sealed adapter", "sealed client"])
def test_no_lie_about_an_identity_or_a_sealed_answer_is_accepted(clients: Clients, name: str) -> None:
    sealed = {"sealed": base64.b64encode(bytes(16_000)).decode()}
    acts = [
        *some([*identity_acts(), *field_acts({**sealed, "attestation": {}})], 1 if WHOLE else 8, name),
        *byte_acts(sealed, stride=STRIDE * 40),
    ]
    asks = ((ask("fetch", "document"), (act,)) for act in acts)
    assert violations(clients, bound(clients, name), asks) == []


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", CLIENTS)
def test_two_replies_that_are_exchanged_are_nobodys_answer(clients: Clients, name: str, mode: str) -> None:
    """Two callers at once; each gets the other's reply, which is genuine, and in a batch even of the same document."""
    both, lock = threading.Barrier(2, timeout=20), threading.Lock()
    held: list[bytes] = []

    def exchange(passage: Passage) -> None:
        if passage.kind == "identity":
            return
        with lock:
            held.append(passage.reply)
            mine = len(held) - 1
        both.wait()
        passage.reply = held[1 - mine]

    clients.parent.acts = (Act(name="exchanged", do=exchange),)
    ended: list[object] = [None, None]

    def run(index: int) -> None:
        try:
            ended[index] = bound(clients, name if name != "command" else "library")(ask("fetch", mode))
        except Exception as error:  # noqa: BLE001
            ended[index] = error

    threads = [threading.Thread(target=run, args=(index,)) for index in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(held) == 2
    assert all(isinstance(end, Exception) and excused(end) for end in ended), ended


PLACE = st.integers(0, 2**16)  # in a list of acts, whose length depends on the reply at hand


@settings(max_examples=SEQUENCES, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, len(ASKING) - 1), st.lists(PLACE, max_size=2), st.lists(PLACE, max_size=3))
def test_no_sequence_of_lies_makes_a_wrong_answer(
    clients: Clients, asking: int, there: list[int], then: list[int]
) -> None:
    name, kind, mode = ASKING[asking]
    clients.parent.remembers = False
    shape = sample(clients, kind, mode)
    back = [*HTTP_ACTS, *field_acts(shape), *byte_acts(shape, stride=17)]
    if "sealed" in name:
        back = [*HTTP_ACTS, *identity_acts()]
    drawn = [REQUEST_ACTS[at % len(REQUEST_ACTS)] for at in there] + [back[at % len(back)] for at in then]
    assert violations(clients, bound(clients, name), [(ask(kind, mode), drawn)]) == []


def test_every_act_finds_something_to_change_somewhere(clients: Clients) -> None:
    """A suite whose lies never happen would pass; each is tried on these clients until it has been told once."""
    tried = (("library", "fetch", "session"), ("library", "query", "document"), ("library", "fetch", "document"))
    clients.library(ask("fetch", "session"))
    untold, found = [], []
    for act in [*REQUEST_ACTS, *HTTP_ACTS, *identity_acts()[:3]]:
        for name, kind, mode in (*tried, ("sealed client", "fetch", "document")):
            found += violations(clients, bound(clients, name), [(ask(kind, mode), (act,))])
            if act.name in clients.parent.done:
                break
        else:
            untold.append(act.name)
    assert (untold, found) == ([], [])


def test_the_judge_of_this_suite_sees_a_wrong_answer(clients: Clients) -> None:
    """A client that believes what it is told is found out: the suite can fail."""

    def gullible(asked: Asked) -> Got:
        other = ask(asked.kind, asked.mode, secrets.token_bytes(32))
        reply = clients.post(asked.way, other.data)
        return Got(asked=asked, verified=clients.judged(other, reply).verified)

    assert "another challenge" in outcome(clients, gullible, ask("fetch", "document"), ())
