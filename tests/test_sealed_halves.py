"""The relying party's half of sealed requests against the enclave's: two implementations of one format, joined here.

Real on both sides: the adapter with its verification, the worker with its keys, TLS upstreams, documents of a soft NSM.
Between them a courier stands where parent and network are; it reads, keeps and may alter all that goes through it.
"""

import base64
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
import responses
from hypothesis import given
from hypothesis import strategies as st

from devstack.__main__ import IMAGE, NO_COMMIT
from devstack.nsm_pki import NsmPki
from devstack.soft_nsm import SoftNsm
from devstack.upstream import Request, Response
from enclave_worker.sealed import envelope, padding
from enclave_worker.worker import Capacity
from policy import manifest
from policy.headers import SECRET_HEADERS
from tests.enclave_kit import HOST, MANIFEST, VAULT, Enclave, echo, enclave, in_threads
from tytle_verifier import (
    BindingError,
    Live,
    MeasurementError,
    Policy,
    Release,
    StatementError,
    TestPkiRoot,
    verify_document,
    verify_reply,
)
from tytle_verifier.adapter import (
    AttestedAdapter,
    FailureAttested,
    IdentityNotVerified,
    KeyRetired,
    Refused,
    Unavailable,
    attest_only,
    attestation_of,
)
from tytle_verifier.adapter.credentials import CREDENTIAL_HEADERS
from tytle_verifier.sealed import container, suite
from wire.errors import PeerLost

ROOT = Path(__file__).parent.parent
PARENT = "http://parent.test:5001"
POLICY = Policy(
    service="test",
    releases=(Release(commit=NO_COMMIT, pcrs=IMAGE, manifest=manifest.load(MANIFEST).digest),),
    sealed="required",
)
SECRET = {"Authorization": "Bearer planted-in-authorization", "X-Plain": "planted-in-header"}
BINARY = bytes(range(256)) * 4096
HOUR_MS = 3_600_000


@dataclass
class Clock:
    """One time for everybody, which a test moves."""

    ms: int = field(default_factory=lambda: time.time_ns() // 1_000_000)

    def seconds(self) -> float:
        return self.ms / 1000

    def unix_ms(self) -> int:
        return self.ms

    def live(self) -> Live:
        return Live(now=datetime.fromtimestamp(self.ms / 1000, UTC))


@dataclass
class Courier:
    """Carries requests to `enclave`. `crossed` holds every byte that went through, in both directions."""

    enclave: Enclave
    pki: NsmPki
    clock: Clock
    questions: int = 0
    posts: list[dict[str, Any]] = field(default_factory=list)
    crossed: list[bytes] = field(default_factory=list)
    alter: Callable[[dict[str, Any]], dict[str, Any]] = field(default=lambda call: call)
    alter_reply: Callable[[bytes], bytes] = field(default=lambda reply: reply)

    def session(self, **changes: Any) -> requests.Session:
        given = {"parent": PARENT, "policy": POLICY, "root": TestPkiRoot(self.pki.root_der), "clock": self.clock.live}
        adapter = AttestedAdapter(**{**given, **changes})
        return attest_only(requests.Session(), {f"https://{host}/": adapter for host in (HOST, VAULT)})

    def identity(self, prepared: requests.PreparedRequest) -> tuple[int, dict[str, str], bytes]:
        self.questions += 1
        (challenge,) = parse_qs(str(urlsplit(prepared.url or "").query))["challenge"]
        plain = challenge.replace("-", "+").replace("_", "/")
        return 200, {}, self._carry({"type": "identity", "challenge": plain})

    def sealed(self, prepared: requests.PreparedRequest) -> tuple[int, dict[str, str], bytes]:
        body = json.loads(prepared.body or b"")
        self.posts.append(body)
        assert body.pop("service") == "test"
        return 200, {}, self.alter_reply(self._carry({"type": "sealed", **self.alter(body)}))

    def fetch(self, prepared: requests.PreparedRequest) -> tuple[int, dict[str, str], bytes]:
        return 200, {}, self._carry({"id": "clear", **json.loads(prepared.body or b"")})

    def _carry(self, frame: dict[str, Any]) -> bytes:
        data = json.dumps(frame).encode()
        reply = self.enclave.worker.answer(data)
        self.crossed += [data, base64.b64decode(frame.get("sealed", "")), reply]
        return reply


@contextmanager
def system(handler: Callable[[Request], Response] = echo, **changes: Any) -> Iterator[Courier]:
    clock, pki = Clock(), NsmPki()
    with ExitStack() as stack:
        nsm = SoftNsm(clock=clock.seconds, pki=pki)
        running = stack.enter_context(enclave(handler, nsm=nsm, clock_ms=clock.unix_ms, **changes))
        mock = stack.enter_context(responses.RequestsMock(assert_all_requests_are_fired=False))
        courier = Courier(running, pki, clock)
        mock.add_callback(responses.GET, f"{PARENT}/enclaves/test/identity", callback=courier.identity)
        mock.add_callback(responses.POST, f"{PARENT}/attest/sealed", callback=courier.sealed)
        mock.add_callback(responses.POST, f"{PARENT}/attest/fetch", callback=courier.fetch)
        yield courier


def get(session: requests.Session, host: str = HOST) -> requests.Response:
    query = "?q=planted" if host == HOST else ""
    return session.get(f"https://{host}/planted{query}", headers=SECRET, timeout=20)


# --- one format ------------------------------------------------------------------------------------------------------


def test_a_sealed_request_is_answered_verified_and_read_by_nobody_between() -> None:
    with system() as courier:
        session = courier.session()
        answer = get(session)
        assert (answer.status_code, answer.text) == (200, "/planted")
        kept = attestation_of(answer).verified
        assert (kept.statement.service, kept.release.commit) == ("test", NO_COMMIT)
        assert session.post(f"https://{HOST}/planted", data="planted", headers={"Content-Type": "text/plain"}).ok
        assert (courier.questions, len(courier.posts)) == (1, 2)
        assert b"planted" not in b"".join(courier.crossed)


def test_the_same_in_clear_is_read_between() -> None:
    with system() as courier:
        session = courier.session(sealed=False, policy=Policy(service="test", releases=POLICY.releases))
        assert get(session).ok
        assert b"planted-in-authorization" in b"".join(courier.crossed)


def test_what_an_upstream_wants_sealed_is_refused_in_clear_by_the_enclave_and_answered_sealed() -> None:
    with system() as courier:
        assert get(courier.session(), VAULT).ok
        open_policy = Policy(service="test", releases=POLICY.releases)
        with pytest.raises(Refused) as caught:
            get(courier.session(sealed=False, policy=open_policy), VAULT)
        assert (caught.value.status, caught.value.code) == (403, "sealed.required")


@pytest.mark.parametrize("size", [0, 1, 4_000, 16_000, 256 * 1024])  # the stand-in takes no more
def test_bodies_of_every_size_cross_sealed_in_both_directions(size: int) -> None:
    body = BINARY[:size]
    with system() as courier:
        answer = courier.session().post(
            f"https://{HOST}/any", data=body, headers={"Content-Type": "application/octet-stream"}, timeout=20
        )
        assert answer.content == (body or b"/any")


def test_the_largest_body_that_the_rules_allow_comes_back_sealed() -> None:
    body = (BINARY * 8)[: 8 * 1024 * 1024]
    with system(lambda _: Response(status=200, headers=(), body=body)) as courier:
        assert get(courier.session()).content == body


def test_a_body_that_json_text_would_make_too_large_for_a_container_comes_back_sealed() -> None:
    body = b"\1" * (padding.MAX_ANSWER_BYTES // 6 + 1)  # six characters each
    with system(lambda _: Response(status=200, headers=(), body=body)) as courier:
        assert get(courier.session()).content == body


def test_refusals_come_sealed_too() -> None:
    with system() as courier:
        with pytest.raises(Refused, match="no rule") as caught:
            courier.session().get(f"https://{HOST}/a/b/c", headers=SECRET)
        assert caught.value.status == 403
        with pytest.raises(Refused, match="U\\+00E9") as caught:
            courier.session().get(f"https://{HOST}/hello", headers={"X-Plain": "\u00e9"})
        assert caught.value.code == "header.value"
        assert all("sealed" in json.loads(reply) or "identity" in json.loads(reply) for reply in courier.crossed[2::3])


def test_a_fetch_that_failed_is_attested_inside_the_seal() -> None:
    def closed(*_: object) -> Any:
        raise PeerLost("down", delivered=False)

    with system(dial=closed) as courier, pytest.raises(FailureAttested) as caught:
        get(courier.session())
    assert caught.value.attestation.verified.statement.answer.outcome.kind == "connect"  # type: ignore[union-attr]


@given(st.binary(max_size=40_000))
def test_both_halves_pad_alike(data: bytes) -> None:
    assert container.fill(data, container.REQUEST) == padding.pad(data, least=padding.LEAST_REQUEST_BYTES)
    answer = padding.pad(data, least=padding.LEAST_ANSWER_BYTES)
    assert container.empty(answer, container.ANSWER) == data


def test_both_halves_bind_and_bound_alike() -> None:
    key, sealed = b"k" * 32, b"sealed"
    assert suite.request_info("vies", key) == envelope.request_info("vies", key)
    assert suite.answer_info("vies", key, sealed) == envelope.answer_info("vies", key, sealed)
    assert (suite.NAME, suite.KEY_BYTES) == (envelope.SUITE_NAME, envelope.PUBLIC_KEY_BYTES)
    assert (container.REQUEST.most, container.ANSWER.most) == (padding.MAX_REQUEST_BYTES, padding.MAX_ANSWER_BYTES)


def test_every_header_that_an_enclave_withholds_is_a_credential_to_the_adapter() -> None:
    assert SECRET_HEADERS <= CREDENTIAL_HEADERS
    files = [path for path in (ROOT / "services").glob("*.toml") if not path.name.endswith(".pcrs.toml")]
    services = [manifest.load(path.read_bytes()) for path in files]
    assert services
    extra = {name for one in services for upstream in one.upstreams for name in upstream.secret_headers}
    assert extra <= CREDENTIAL_HEADERS


# --- rotation, restart, load -----------------------------------------------------------------------------------------


def test_keys_rotate_under_traffic_and_every_request_is_answered_and_sent_once() -> None:
    with system() as courier:
        session = courier.session()
        for _ in range(20):
            assert get(session).ok
            courier.clock.ms += 10 * 60_000
        assert len(courier.posts) == 20
        assert len({post["keyId"] for post in courier.posts}) == 4  # 190 minutes
        assert courier.questions == 4


def test_clients_whose_clocks_are_minutes_off_are_served_across_a_rotation() -> None:
    with system() as courier:
        true = courier.clock
        for off_ms in (-280_000, 280_000):
            session = courier.session(clock=lambda off=off_ms: Clock(true.ms + off).live())
            for _ in range(14):
                assert get(session).ok
                true.ms += 5 * 60_000


def test_a_restarted_enclave_costs_one_request_that_was_sent_once() -> None:
    with system() as courier:
        session = courier.session()
        assert get(session).ok
        with enclave(nsm=SoftNsm(clock=courier.clock.seconds, pki=courier.pki), clock_ms=courier.clock.unix_ms) as new:
            courier.enclave = new
            with pytest.raises(KeyRetired) as caught:
                get(session)
            assert (caught.value.status, caught.value.code) == (409, "sealed.unknown-key")
            assert (courier.questions, len(courier.posts)) == (1, 2)
            assert get(session).ok
            assert (courier.questions, len(courier.posts)) == (2, 3)


def test_sixteen_threads_share_one_identity() -> None:
    with system() as courier:
        session = courier.session()
        assert in_threads(16, lambda _: get(session).status_code) == [200] * 16
        assert (courier.questions, len(courier.posts)) == (1, 16)


# --- a hostile courier -----------------------------------------------------------------------------------------------


def refused(courier: Courier, kind: type[Any], code: str | None = None, **changes: Any) -> Any:
    with pytest.raises(kind) as caught:
        get(courier.session(**changes))
    assert b"planted" not in b"".join(courier.crossed)
    assert "planted" not in str(caught.value)
    if code is not None:
        assert caught.value.code == code
    return caught.value


def altered(change: Callable[[bytes], bytes]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def apply(call: dict[str, Any]) -> dict[str, Any]:
        return {**call, "sealed": base64.b64encode(change(base64.b64decode(call["sealed"]))).decode()}

    return apply


@pytest.mark.parametrize(
    "change",
    [
        lambda sealed: sealed[:-1],
        lambda sealed: sealed[:2000] + bytes([sealed[2000] ^ 1]) + sealed[2001:],
        lambda sealed: sealed[:1200] + sealed[1300:1400] + sealed[1200:1300] + sealed[1400:],
        lambda sealed: sealed + b"\0",
    ],
    ids=["cut", "flipped", "reordered", "longer"],
)
def test_an_altered_request_is_refused_by_the_enclave(change: Callable[[bytes], bytes]) -> None:
    with system() as courier:
        courier.alter = altered(change)
        refused(courier, Refused, "sealed.unreadable")
        assert len(courier.posts) == 1


def test_a_request_that_was_delivered_twice_is_carried_out_once() -> None:
    with system() as courier:

        def twice(call: dict[str, Any]) -> dict[str, Any]:
            courier.enclave.worker.answer(json.dumps({"type": "sealed", **call}).encode())
            return call

        courier.alter = twice
        refused(courier, Refused, "sealed.replayed")


def test_the_key_of_another_request_is_unknown() -> None:
    with system() as courier:
        courier.alter = lambda call: {**call, "keyId": "00" * 32}
        refused(courier, KeyRetired, "sealed.unknown-key")


def test_a_request_that_is_delivered_late_is_stale() -> None:
    with system() as courier:
        session = courier.session()
        assert get(session).ok
        courier.clock.ms += 301_000
        late = courier.posts[0]
        reply = json.loads(courier.enclave.worker.answer(json.dumps({"type": "sealed", **late}).encode()))
        assert reply["code"] == "sealed.stale"


def test_a_full_enclave_is_unavailable_and_forgets_nobody() -> None:
    with system(capacity=Capacity(replays=1)) as courier:
        session = courier.session()
        assert get(session).ok
        with pytest.raises(Unavailable) as caught:
            get(session)
        assert (caught.value.code, courier.questions) == ("sealed.full", 1)


def test_a_genuine_enclave_of_other_code_gets_nothing() -> None:
    with system() as courier:
        other = SoftNsm(clock=courier.clock.seconds, pki=courier.pki, pcrs={0: b"\x66" * 48})
        with enclave(nsm=other, clock_ms=courier.clock.unix_ms) as attackers:
            courier.enclave = attackers
            error = refused(courier, IdentityNotVerified)
        assert isinstance(error.error, MeasurementError)
        assert courier.posts == []


def test_a_policy_for_another_service_or_manifest_seals_nothing() -> None:
    pinned = Release(commit=NO_COMMIT, pcrs=IMAGE, manifest=bytes(32))
    with system() as courier:
        error = refused(courier, IdentityNotVerified, policy=Policy(service="test", releases=(pinned,)))
        assert isinstance(error.error, StatementError)
        assert courier.posts == []


def test_the_answer_of_another_request_is_not_taken() -> None:
    with system() as courier:
        kept: list[bytes] = []

        def first(reply: bytes) -> bytes:
            kept.append(reply)
            return kept[0]

        courier.alter_reply = first
        session = courier.session()
        assert get(session).ok
        with pytest.raises(requests.RequestException, match="the answer does not open"):
            get(session)


def test_an_identity_asked_for_under_the_nonce_of_a_made_up_answer_is_no_evidence_for_it() -> None:
    """Anybody may choose an identity's nonce, so a nonce alone, which the predecessor's verifier looks at, is none."""
    call = {"id": "r", "url": f"https://{HOST}/hello", "method": "GET", "headers": {}}
    with system() as courier:
        reply = json.loads(courier.enclave.worker.answer(json.dumps(call).encode()))
        told: dict[str, Any] = {
            "policy": Policy(service="test", releases=POLICY.releases),
            "time": courier.clock.live(),
        }
        told["root"] = TestPkiRoot(courier.pki.root_der)
        assert verify_reply(json.dumps(reply).encode(), **told).body == b"/hello"
        legacy = reply["attestation"]
        legacy["responseHash"] = hashlib.sha256(b"forged").hexdigest()
        of = "|".join((legacy["responseHash"], legacy["apiEndpoint"], str(legacy["timestamp"])))
        legacy["nonce"] = hashlib.sha256(of.encode()).hexdigest()
        challenge = base64.b64encode(bytes.fromhex(legacy["nonce"])).decode()
        question = json.dumps({"type": "identity", "challenge": challenge}).encode()
        legacy["nsmDocument"] = json.loads(courier.enclave.worker.answer(question))["nsmDocument"]
        document = verify_document(base64.b64decode(legacy["nsmDocument"]), **told).document
        assert document.nonce == bytes.fromhex(legacy["nonce"])
        with pytest.raises(BindingError, match="step 7: user_data"):
            verify_reply(json.dumps({**reply, "rawBody": "forged"}).encode(), **told)
