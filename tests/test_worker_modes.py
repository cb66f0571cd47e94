"""Batch and session: fewer documents, the same statements; each leaf has its way to a signed root."""

import base64
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_der_public_key
from hypothesis import given, settings
from hypothesis import strategies as st

from devstack.nsm_faults import Fails, Garbage
from devstack.soft_nsm import SoftNsm
from enclave_worker import session as module
from enclave_worker import tree
from enclave_worker.attestation import AttestationFailed, Attestor, QueueFull
from enclave_worker.session import MAX_AGE_MS, Session
from enclave_worker.statement import Identity
from enclave_worker.worker import Capacity, unix_milliseconds
from nsm import document
from tests.enclave_kit import HOST, MANIFEST, Gate, enclave, in_threads
from tests.sealing import sealer
from tests.toy_service import OPERATIONS, TOML, shop
from tytle_verifier.inclusion import Inclusion, root_of

IDENTITY = Identity(service="test", manifest=b"m" * 32, boot=b"b" * 16)


def soon() -> float:
    return time.monotonic() + 5


# --- the tree


@given(st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=70))
@settings(max_examples=60, deadline=None)
def test_every_leaf_leads_to_the_root_by_the_verifiers_own_arithmetic(leaves: list[bytes]) -> None:
    root, paths = tree.root_and_paths(leaves)
    size = len(leaves)
    for index, (leaf, path) in enumerate(zip(leaves, paths, strict=True)):
        assert root_of(leaf, Inclusion(index=index, size=size, path=path)) == root


def test_a_tree_of_three_is_the_rfcs() -> None:
    a, b, c = (bytes([n]) * 32 for n in range(3))
    ab = hashlib.sha256(b"\1" + a + b).digest()
    assert tree.root_and_paths([a, b, c]) == (hashlib.sha256(b"\1" + ab + c).digest(), ((b, c), (a, c), (ab,)))
    assert tree.root_and_paths([a]) == (a, ((),))
    with pytest.raises(ValueError, match="at least one"):
        tree.root_and_paths([])


# --- group commit


def commit(attestor: Attestor, index: int) -> Any:
    with attestor.reserve() as place:
        return place.commit(bytes([index]) * 32, deadline=soon())


def test_all_leaves_that_wait_while_the_nsm_is_busy_share_one_document() -> None:
    gate = Gate()
    attestor = Attestor(gate.exchange)
    threads = [threading.Thread(target=commit, args=(attestor, 0))]
    threads[0].start()
    assert gate.busy.wait(5)
    results: list[Any] = [None] * 20

    def work(index: int) -> None:
        results[index] = commit(attestor, index + 1)

    threads += [threading.Thread(target=work, args=(index,)) for index in range(20)]
    for thread in threads[1:]:
        thread.start()
    while attestor._jobs.qsize() < 20:  # all of them wait
        time.sleep(0.001)
    gate.open.set()
    for thread in threads:
        thread.join()
    assert gate.documents == 2
    assert {one.attested.document for one in results} == {results[0].attested.document}
    assert sorted(one.index for one in results) == list(range(20))
    data = cbor2.loads(results[0].attested.fields.user_data)
    for index, one in enumerate(results):
        inclusion = Inclusion(index=one.index, size=20, path=one.path)
        assert (data["size"], root_of(bytes([index + 1]) * 32, inclusion)) == (20, data["root"])
    attestor.close()


def test_documents_of_their_own_are_not_overtaken_for_ever_and_places_come_back() -> None:
    gate = Gate()
    attestor = Attestor(gate.exchange, places=8)
    done: list[str] = []

    def leaf(index: int) -> None:
        commit(attestor, index)
        done.append("leaf")

    def own() -> None:
        with attestor.reserve() as place:
            place.attest(nonce=None, user_data=b"own", deadline=soon())
        done.append("own")

    threads = [threading.Thread(target=leaf, args=(0,))]
    threads[0].start()
    assert gate.busy.wait(5)
    for work in (leaf, own, leaf):
        threads.append(threading.Thread(target=work, args=(1,) if work is leaf else ()))
        threads[-1].start()
    while attestor._jobs.qsize() < 3:
        time.sleep(0.001)
    gate.open.set()
    for thread in threads:
        thread.join()
    assert (gate.documents, sorted(done)) == (3, ["leaf", "leaf", "leaf", "own"])
    for _ in range(3):
        places = [attestor.reserve() for _ in range(8)]
        for place in places:
            place.__exit__(None, None, None)
    attestor.close()


def test_a_leaf_whose_deadline_passed_is_in_no_tree() -> None:
    gate = Gate()
    attestor = Attestor(gate.exchange)
    first = threading.Thread(target=commit, args=(attestor, 0))
    first.start()
    assert gate.busy.wait(5)
    with attestor.reserve() as place, pytest.raises(AttestationFailed, match="in time"):
        place.commit(b"x" * 32, deadline=time.monotonic())
    second = threading.Thread(target=lambda: sizes.append(commit(attestor, 2).size))
    sizes: list[int] = []
    second.start()
    while attestor._jobs.qsize() < 2:
        time.sleep(0.001)
    gate.open.set()
    first.join()
    second.join()
    assert sizes == [1]
    attestor.close()


def test_a_broken_nsm_fails_every_leaf_of_the_batch_and_the_next_one_works() -> None:
    nsm = SoftNsm()
    broken = [True]

    def exchange(request: bytes) -> bytes:
        if broken[0]:
            raise OSError("no device")
        return nsm.exchange(request)

    attestor = Attestor(exchange)

    def fails(index: int) -> None:
        with pytest.raises(OSError, match="no device"):
            commit(attestor, index)

    in_threads(6, fails)
    broken[0] = False
    assert commit(attestor, 7).size == 1
    attestor.close()


# --- session


def verified(message: bytes, public: bytes) -> dict[str, Any]:
    protected, unprotected, payload, signature = cbor2.loads(message)
    assert (cbor2.loads(protected), unprotected, len(signature)) == ({1: -7}, {}, 64)
    key = load_der_public_key(public)
    assert isinstance(key, ec.EllipticCurvePublicKey)
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    structure = cbor2.dumps(["Signature1", protected, b"", payload])
    key.verify(encode_dss_signature(r, s), structure, ec.ECDSA(hashes.SHA256()))
    data: dict[str, Any] = cbor2.loads(payload)
    return data


def test_session_answers_share_one_document_and_each_statement_is_signed() -> None:
    gate = Gate()
    gate.open.set()
    with enclave(nsm=gate) as running:  # type: ignore[arg-type]  # what is used of it is there
        replies = in_threads(8, lambda index: running.fetch(f"/p{index}", mode="session"))
        boot = json.loads(running.worker.answer(b'{"type":"ping"}'))["boot"]
    assert gate.documents == 1
    for reply in replies:
        proof = reply["attestation"]
        fields = document.read(base64.b64decode(proof["nsmDocument"]))
        purpose = cbor2.loads(fields.user_data or b"")
        assert (purpose["profile"], purpose["service"], purpose["boot"].hex()) == (
            "tytle/attested-session/v1",
            "test",
            boot,
        )
        data = verified(base64.b64decode(proof["session"]), fields.public_key or b"")
        leaf = hashlib.sha256(b"\0" + base64.b64decode(proof["statement"])).digest()
        assert (data["root"], data["size"], data["profile"]) == (leaf, 1, "tytle/attested-fetch/v1")
        assert (reply["success"], proof["mode"], proof["nonce"], fields.nonce) == (True, "session", None, None)


def test_the_session_key_is_vouched_for_anew_before_its_document_grows_old() -> None:
    gate = Gate()
    gate.open.set()
    attestor = Attestor(gate.exchange)
    session = Session(attestor, IDENTITY)
    now = unix_milliseconds

    def sign(ahead_ms: int) -> bytes:
        return session.sign(b"\xa0", clock_ms=lambda: now() + ahead_ms, deadline=soon()).attested.document

    first = sign(0)
    assert sign(5_000) == first
    gate.nsm = SoftNsm(pki=gate.nsm.pki, clock=lambda: time.time() + 3601)
    second = sign(3_601_000)
    assert (second != first, gate.documents) == (True, 2)
    with pytest.raises(AttestationFailed, match="clock differs"):
        sign(3_650_000)  # set forward: the module, asked anew, does not agree
    attestor.close()


def test_without_a_document_for_its_key_a_session_signs_nothing() -> None:
    nsm = SoftNsm()

    def exchange(request: bytes) -> bytes:
        raise OSError("no device")

    attestor = Attestor(exchange)
    session = Session(attestor, IDENTITY)
    with pytest.raises(OSError, match="no device"):
        session.sign(b"\xa0", clock_ms=unix_milliseconds, deadline=soon())
    attestor._exchange = nsm.exchange
    assert session.sign(b"\xa0", clock_ms=unix_milliseconds, deadline=soon()).message
    attestor.close()


def test_while_one_caller_renews_the_document_the_others_go_on_with_the_old_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gate = Gate()
    gate.open.set()
    attestor = Attestor(gate.exchange)
    session = Session(attestor, IDENTITY)
    ahead = [0]

    def clock_ms() -> int:
        return unix_milliseconds() + ahead[0]

    def sign() -> bytes:
        session.prepare(clock_ms=clock_ms, deadline=soon())
        return session.sign(b"\xa0", clock_ms=clock_ms, deadline=soon()).attested.document

    monkeypatch.setattr(module, "MAX_RENEWAL_SECONDS", 60.0)  # a slow machine does not matter here
    first = sign()
    ahead[0] = MAX_AGE_MS + 1000
    session._voucher = replace(session._voucher, ahead_ms=session._voucher.ahead_ms + ahead[0])  # an hour has passed
    gate.nsm = SoftNsm(pki=gate.nsm.pki, clock=lambda: time.time() + ahead[0] / 1000)
    gate.open.clear()
    gate.busy.clear()
    renewed: list[bytes] = []
    renewing = threading.Thread(target=lambda: renewed.append(sign()))
    renewing.start()
    assert gate.busy.wait(5)
    assert sign() == first
    gate.open.set()
    renewing.join()
    assert (renewed[0] != first, sign(), gate.documents) == (True, renewed[0], 2)
    attestor.close()


class Aged:
    """A session whose document is an hour old, so that it is time for another, and holds for another hour.

    `clock_ms` is the enclave's; it is `ahead_s` ahead of the machine's, and the NSM's by `apart_s` more.
    """

    def __init__(self, *, places: int = 256) -> None:
        self.ahead_s, self.apart_s = 0.0, 0.0
        self.nsm = SoftNsm(clock=lambda: time.time() + self.ahead_s + self.apart_s)
        self.attestor = Attestor(self.nsm.exchange, places=places)
        self.session = Session(self.attestor, IDENTITY)
        self.prepare()
        self.ahead_s = MAX_AGE_MS / 1000 + 1
        voucher = self.session._voucher
        assert voucher is not None
        self.old = voucher.attested.document
        self.session._voucher = replace(voucher, ahead_ms=voucher.ahead_ms + MAX_AGE_MS + 1000)

    def clock_ms(self) -> int:
        return unix_milliseconds() + int(self.ahead_s * 1000)

    def prepare(self) -> None:
        self.session.prepare(clock_ms=self.clock_ms, deadline=soon())

    def sign(self) -> bytes:
        return self.session.sign(b"\xa0", clock_ms=self.clock_ms, deadline=soon()).attested.document


@pytest.fixture
def aged() -> Iterator[Aged]:
    made = Aged(places=1)
    yield made
    made.attestor.close()


@pytest.mark.parametrize("fault", [Fails(), Garbage()])
def test_where_no_other_document_is_to_be_had_a_session_goes_on_with_the_one_that_holds(aged: Aged, fault: Any) -> None:
    for _ in range(3):
        aged.nsm.fault = fault
        aged.prepare()
        assert aged.sign() == aged.old
    aged.nsm.fault = None
    with aged.attestor.reserve():  # the queue is full
        aged.prepare()
        assert aged.sign() == aged.old
    aged.prepare()
    assert aged.sign() != aged.old


def test_a_slow_nsm_costs_a_call_a_part_of_its_time_while_a_document_holds(
    aged: Aged, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()
    aged.attestor._exchange = gate.exchange
    monkeypatch.setattr(module, "MAX_RENEWAL_SECONDS", 0.05)
    deadline = soon()
    aged.session.prepare(clock_ms=aged.clock_ms, deadline=deadline)
    assert time.monotonic() < deadline
    assert gate.busy.wait(5)
    assert (aged.sign(), gate.documents) == (aged.old, 1)
    gate.open.set()


def test_what_was_asked_of_the_upstream_is_signed_under_what_holds_and_asks_no_nsm(aged: Aged) -> None:
    with aged.attestor.reserve():
        assert aged.sign() == aged.old
    assert aged.sign() == aged.old  # nor does it ask where there is room


def test_a_document_that_shows_a_wrong_clock_ends_the_one_that_holds_too(aged: Aged) -> None:
    aged.apart_s = 60.0
    with pytest.raises(AttestationFailed, match="clock differs"):
        aged.prepare()
    with pytest.raises(AttestationFailed, match="clock differs"):
        aged.sign()


def test_a_document_that_is_nearly_over_is_used_no_longer_even_while_another_is_asked_for() -> None:
    gate = Gate()
    gate.open.set()
    attestor = Attestor(gate.exchange)
    session = Session(attestor, IDENTITY)
    session.prepare(clock_ms=unix_milliseconds, deadline=soon())
    over_ms = 2 * MAX_AGE_MS + 1000
    session._voucher = replace(session._voucher, ahead_ms=session._voucher.ahead_ms + over_ms)
    with session._renewing, pytest.raises(AttestationFailed, match="in time"):
        session.sign(b"\xa0", clock_ms=lambda: unix_milliseconds() + over_ms, deadline=time.monotonic())
    attestor.close()


def test_a_full_queue_is_no_refusal_once_the_upstream_was_asked() -> None:
    attestor = Attestor(SoftNsm().exchange, places=1)
    session = Session(attestor, IDENTITY)
    with attestor.reserve():
        with pytest.raises(QueueFull):
            session.prepare(clock_ms=unix_milliseconds, deadline=soon())
        with pytest.raises(AttestationFailed, match="no place left"):
            session.sign(b"\xa0", clock_ms=unix_milliseconds, deadline=soon())
    assert session.sign(b"\xa0", clock_ms=unix_milliseconds, deadline=soon()).message
    attestor.close()


def test_a_document_whose_certificate_cannot_be_read_begins_no_session() -> None:
    nsm = SoftNsm()

    def exchange(request: bytes) -> bytes:
        reply = cbor2.loads(nsm.exchange(request))
        parts = cbor2.loads(reply["Attestation"]["document"])
        parts[2] = cbor2.dumps({**cbor2.loads(parts[2]), "certificate": b"no certificate"})
        reply["Attestation"]["document"] = cbor2.dumps(parts)
        return cbor2.dumps(reply)

    attestor = Attestor(exchange)
    with pytest.raises(AttestationFailed, match="certificate"):
        Session(attestor, IDENTITY).prepare(clock_ms=unix_milliseconds, deadline=soon())
    attestor.close()


# --- through the worker


@pytest.mark.parametrize("fault", [Fails(), Garbage()])
def test_without_a_document_for_the_session_nothing_is_asked_of_the_upstream(fault: Any) -> None:
    nsm = SoftNsm()
    with enclave(shop, nsm=nsm, toml=TOML, operations=OPERATIONS) as running:
        nsm.fault = fault
        fetched = running.fetch("/a1", mode="session")
        nsm.fault = fault
        asked = running.query("test.item", {"id": "a1"}, mode="session")
        assert [(reply["status"], "attestation" in reply) for reply in (fetched, asked)] == [(502, False)] * 2
        assert running.upstream.requests == ()
        nsm.fault = None
        assert running.fetch("/a1", mode="session")["success"] is True


def test_a_full_queue_refuses_a_session_that_has_no_document_yet_and_no_other() -> None:
    with enclave(capacity=Capacity(attestations=1)) as running:
        with running.worker._attestor.reserve():
            assert running.fetch(mode="session")["status"] == 503
            assert running.fetch(mode="batch")["status"] == 503
            assert running.upstream.requests == ()
        assert running.fetch(mode="session")["success"] is True
        with running.worker._attestor.reserve():
            assert running.fetch(mode="session")["success"] is True


def test_a_batch_answer_carries_its_way_to_the_root() -> None:
    with enclave() as running:
        replies = in_threads(8, lambda index: running.fetch(f"/p{index}", mode="batch"))
    for reply in replies:
        proof = reply["attestation"]
        fields = document.read(base64.b64decode(proof["nsmDocument"]))
        data = cbor2.loads(fields.user_data or b"")
        inclusion = Inclusion(
            index=proof["inclusion"]["index"],
            size=proof["inclusion"]["size"],
            path=tuple(base64.b64decode(one) for one in proof["inclusion"]["path"]),
        )
        leaf = hashlib.sha256(b"\0" + base64.b64decode(proof["statement"])).digest()
        assert (root_of(leaf, inclusion), inclusion.size) == (data["root"], data["size"])
        assert (proof["mode"], proof["nonce"], fields.nonce, "session" in proof) == ("batch", None, None, False)


ONLY_BATCH = b'modes = ["batch"]\n'


@pytest.mark.parametrize("mode", ["document", "session"])
def test_a_mode_that_the_manifest_does_not_list_is_refused_before_anything_is_asked(mode: str) -> None:
    with enclave(shop, toml=ONLY_BATCH + TOML, operations=OPERATIONS) as running:
        client = sealer(running.worker)
        call = {"url": f"https://{HOST}/hello", "method": "GET", "mode": mode}
        client.seal(call)
        replies = [
            running.ask(call),
            running.query("test.item", {"id": "a1"}, mode=mode),
            client.open(running.worker.answer(client.frame())),
        ]
        assert [(reply["status"], reply["code"]) for reply in replies] == [(403, "mode.not-allowed")] * 3
        assert running.upstream.requests == ()
        allowed = [running.ask({**call, "mode": "batch"}), running.query("test.item", {"id": "a1"}, mode="batch")]
        assert [reply["status"] for reply in allowed] == [200, 200]


def test_where_document_mode_is_not_listed_a_call_must_say_which_it_wants() -> None:
    with enclave(toml=ONLY_BATCH + MANIFEST) as running:
        reply = running.fetch()
    problem = "got 'document'; service test has these modes: batch"
    assert (reply["status"], reply["code"], reply["error"]) == (403, "mode.not-allowed", problem)


def test_an_unknown_mode_is_refused_by_name() -> None:
    with enclave() as running:
        reply = running.fetch(mode="none")
    assert (reply["status"], reply["error"]) == (400, "mode: must be one of: document, batch, session")
