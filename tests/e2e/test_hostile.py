"""The hostile upstreams against the booted worker: an attested answer is whole, or it is an attested failure.

Policy, phases and caps are production's; the image trusts one root more. The call is VIES's neighbour HMRC, because its
rule allows a credential: each case has its own, so that no connection is kept from one case to the next. Every reply is
verified, PCRs pinned. Most cases run under TLS 1.3; those about the end of a stream under both versions.
"""

import base64
import dataclasses
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

import tytle_verifier
from devstack.enclave import Enclave
from devstack.relay import Relay
from devstack.tls_pki import Authority
from eif.measure import Measurements
from policy import manifest
from tests.e2e.conftest import MANIFEST, Images
from tests.e2e.test_boot import measured
from tests.e2e.test_verified import pinned, root_of
from tests.hostile.actions import CloseNotify, Script
from tests.hostile.case import PLAIN, TIMEOUT, TLS_1_3, Answered, Case, Expected, Failed, chunked, head, reply, sized
from tests.hostile.cases import CASES
from tests.hostile.servers import Servers
from tests.test_hostile_upstreams import SEQUENCES
from tytle_verifier import VerifiedReply

HOST = "api.service.hmrc.gov.uk"
URL = f"https://{HOST}/organisations/vat/check-vat-number/lookup/553557881"
PATIENT_MS, HASTY_MS = 20_000, 2_000  # the enclave keeps up to a second of it back for the attestation
GRACE_SECONDS = 8.0  # how late an answer may be on a busy machine under emulation
SETTLE_SECONDS = 0.3  # what the peer does to the idle connection has arrived in the enclave by then
MAX_CONNECTIONS = 1024  # of the relay: the worker keeps idle connections, each with its case's credential

UPSTREAM = next(each for each in manifest.load(MANIFEST.read_bytes()).upstreams if each.host == HOST)
CAP = UPSTREAM.rules[0].max_response_bytes

# The corpus is written for a cap of its own; these are the same at production's.
AT_OUR_CAP: dict[str, tuple[Script, Expected | None]] = {
    "content-length-at-the-cap": (reply(sized(body=b"x" * CAP)), Answered(body=b"x" * CAP)),
    "huge-length-one-above-the-cap": (reply(head(b"Content-Length: %d" % (CAP + 1))), None),
    "huge-chunks-one-above-the-cap": (
        reply(chunked(b"%X\r\n" % (CAP + 1) + b"a" * (CAP + 1) + b"\r\n0\r\n\r\n")),
        None,
    ),
    "huge-close-delimited-one-above": (reply(head() + b"a" * (CAP + 1), CloseNotify()), None),
}


def at_our_cap(case: Case) -> Case:
    if case.name not in AT_OUR_CAP:
        return case
    script, expect = AT_OUR_CAP[case.name]
    return dataclasses.replace(case, script=script, expect=expect or case.expect)


def why_not(case: Case) -> str | None:
    """Why a case cannot be put to the production policy."""
    if case.variant == PLAIN:
        return "plain HTTP: every upstream of the policy is tls = true"
    if case.method != "GET":
        return f"{case.method}: the policy has no rule for it"
    return None


RUNS = [(case, version) for case in map(at_our_cap, CASES) for version in case.versions if not why_not(case)]
NOT_RUN = [case for case in CASES if why_not(case)]


@dataclass(slots=True)
class Hostile:
    """A booted enclave whose way to HMRC leads to the hostile servers."""

    enclave: Enclave
    servers: Servers
    relay: Relay
    image: Measurements
    done: set[str] = field(default_factory=set)
    replies: int = 0

    def fetch(self, credential: str, limit_ms: int = PATIENT_MS) -> VerifiedReply:
        """Asks, and returns the verified reply. Raises: VerificationError, also where nothing was attested."""
        call = {
            "url": URL,
            "method": "GET",
            "headers": {"Authorization": f"Bearer {credential}"},
            "challenge": base64.b64encode(os.urandom(32)).decode(),
            "timeoutMs": limit_ms,
        }
        sent = json.dumps(call).encode()
        verified = tytle_verifier.verify_reply(
            self.enclave.exchange(sent),
            policy=pinned(self.image),
            time=tytle_verifier.live(),
            root=root_of(self.enclave),
            request=tytle_verifier.load_request(sent),
        )
        self.replies += 1
        return verified


@pytest.fixture(scope="module")
def hostile(
    images: Images, authority: Authority, tmp_path_factory: pytest.TempPathFactory, figures: list[str]
) -> Iterator[Hostile]:
    began = time.monotonic()
    with (
        Servers(authority=authority, host=HOST) as servers,
        Relay(("127.0.0.1", 0), max_connections=MAX_CONNECTIONS) as relay,
    ):
        if not isinstance(relay.address, tuple):
            raise TypeError("the enclave's host wants a TCP port")
        ports = {UPSTREAM.proxy_port: relay.address}
        with Enclave(images.test, tmp_path_factory.mktemp("hostile"), ports=ports) as enclave:
            ready = Hostile(enclave, servers, relay, measured(images.test))
            yield ready
    figures.append(
        f"hostile upstreams: {len(ready.done)} of {len(CASES)} cases held, {ready.replies} replies verified, "
        f"{len(NOT_RUN)} CASES NOT RUN (see the skips), {time.monotonic() - began:.0f} s with the boot"
    )


def seen(verified: VerifiedReply, expected: Expected) -> Expected:
    """What is attested, in the words of the corpus. The body is the verifier's: it has the attested hash."""
    outcome = verified.outcome
    if isinstance(outcome, tytle_verifier.Failure):
        return Failed(kind=outcome.kind)
    marked = tuple((name.lower().encode(), value) for name, value in outcome.headers if name.lower().startswith("x-"))
    asked = isinstance(expected, Answered) and expected.headers is not None
    return Answered(
        status=outcome.status, body=verified.body, framing=outcome.framing, headers=marked if asked else None
    )


@pytest.mark.parametrize(("case", "version"), RUNS, ids=[f"{case.name}-{version}" for case, version in RUNS])
def test_what_is_attested_is_whole_or_a_failure(hostile: Hostile, case: Case, version: str) -> None:
    server = hostile.servers.get(case.variant, version)
    server.load(case.script)
    hostile.relay.target = server.address
    limit_ms = HASTY_MS if case.expect == TIMEOUT else PATIENT_MS
    began = time.monotonic()
    verified = hostile.fetch(f"{case.name} {version}", limit_ms)
    took = time.monotonic() - began
    assert seen(verified, case.expect) == case.expect, f"{case.why}: {verified.outcome}"
    assert verified.statement.answer.attempts == server.connections == 1
    assert server.errors == []
    assert took < limit_ms / 1000 + GRACE_SECONDS
    hostile.done.add(case.name)


GETS = {name: sequence for name, sequence in SEQUENCES.items() if {*sequence[1]} == {"GET"}}


@pytest.mark.parametrize("name", GETS)
def test_what_one_exchange_leaves_to_the_next(hostile: Hostile, name: str) -> None:
    scripts, _, expected, used = GETS[name]
    server = hostile.servers.get("good", TLS_1_3)
    server.load(*scripts)
    hostile.relay.target = server.address
    outcomes = []
    for one in expected:
        outcomes.append(seen(hostile.fetch(name), one))
        time.sleep(SETTLE_SECONDS)
    assert tuple(outcomes) == expected
    assert server.connections == used
    assert server.errors == []


@pytest.mark.parametrize("case", NOT_RUN, ids=[case.name for case in NOT_RUN])
def test_a_case_that_the_production_policy_rules_out(case: Case) -> None:
    pytest.skip(f"NOT RUN against the booted enclave: {why_not(case)}")


def test_no_case_of_the_corpus_is_forgotten() -> None:
    ran = {case.name for case, _ in RUNS}
    assert len(ran) + len(NOT_RUN) == len(CASES)
    assert AT_OUR_CAP.keys() <= ran
