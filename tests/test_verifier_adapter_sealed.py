"""The adapter's sealed way: what a parent sees, and that without a verified identity nothing is sent."""

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import responses
import verifier_kit as kit
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from requests import exceptions
from verifier_cases import RELEASE, policy
from verifier_parent import PARENT, URL, Parent, Upstream, reply_to
from verifier_sealed import (
    HostileParent,
    Key,
    Opened,
    SealedEnclave,
    asked,
    signed_by,
)
from verifier_secrets import ASKED_URL, BODY, SECRETS, ask, ending, holds_no_secret

from tytle_verifier import (
    AWS_ROOT,
    Archive,
    At,
    PolicyError,
    VerificationError,
    load_policy,
    load_request,
    verify_reply,
)
from tytle_verifier.adapter import (
    DeadlinePassed,
    IdentityNotVerified,
    NoAnswer,
    NotSendable,
    NotVerified,
    Refused,
    TimeoutAttested,
    Unavailable,
    attestation_of,
)
from tytle_verifier.adapter.credentials import CREDENTIAL_HEADERS


@pytest.fixture
def mock() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


@pytest.fixture
def parent(mock: responses.RequestsMock) -> HostileParent:
    return HostileParent(mock)


# --- what reaches the parent -----------------------------------------------------------------------------------------


def test_sealed_is_the_default_and_a_parent_learns_service_sizes_and_time_only(parent: HostileParent) -> None:
    response = ask(parent.session(), timeout=7)
    assert response.json() == {"vow": {"available": True}}
    assert parent.paths == ["/enclaves/vies/identity", "/attest/sealed"]
    assert b"planted" not in parent.everything()
    (post,) = parent.posts
    assert (post.keys(), post["timeoutMs"]) == ({"service", "keyId", "sealed", "timeoutMs"}, 7000)


def test_the_same_request_in_clear_is_found_in_what_reached_the_parent(parent: HostileParent) -> None:
    parent.post = lambda _: b"{}"
    with pytest.raises(NotVerified):
        ask(parent.session(sealed=False))
    assert parent.paths == ["/attest/fetch"]
    missing = [secret for secret in (*SECRETS.values(), BODY, "planted-in-query") if secret not in str(parent.posts)]
    assert missing == []


def test_the_enclave_gets_exactly_what_was_asked(parent: HostileParent) -> None:
    ask(parent.session())
    (inside,) = parent.enclave.opened
    found = asked(inside)
    assert (found.method, found.url, found.body) == ("POST", ASKED_URL, BODY.encode())
    assert SECRETS.items() <= dict(found.headers).items()


def test_the_evidence_is_that_of_the_inner_call_and_verifies_for_anybody(parent: HostileParent) -> None:
    kept = attestation_of(parent.session().get(URL))
    again = verify_reply(
        kept.reply, policy=policy(), time=Archive(), root=kept.verified.root, request=load_request(kept.call)
    )
    assert (again.statement, again.release) == (kept.verified.statement, RELEASE)


def test_the_parents_token_goes_with_both_calls_and_not_inside(parent: HostileParent) -> None:
    session = parent.session(parent_headers={"Authorization": "Bearer of-the-parent"})
    session.get(URL)
    assert [one.headers["Authorization"] for one in parent.received] == ["Bearer of-the-parent"] * 2
    assert [one.headers["Accept-Encoding"] for one in parent.received] == ["identity"] * 2
    assert "of-the-parent" not in str(parent.enclave.opened)


def test_both_calls_go_the_callers_way_with_its_limits(parent: HostileParent) -> None:
    session = parent.session()
    session.trust_env = False
    session.get(URL, verify="/ca.pem", cert="/c.pem", proxies={"http": "http://proxy:3128"}, timeout=(2, 9))
    for one in parent.received:
        used = one.req_kwargs  # type: ignore[attr-defined]
        limits = used["timeout"]
        assert (used["verify"], used["cert"], used["proxies"]["http"]) == ("/ca.pem", "/c.pem", "http://proxy:3128")
        assert (limits.connect_timeout, limits.read_timeout) == (2, 9)


def test_a_parent_may_live_below_a_path(mock: responses.RequestsMock) -> None:
    mock.get(re.compile("https://h.example/enclaves/enclaves/vies/identity"), status=404, json={"code": "no_enclave"})
    with pytest.raises(Refused, match="404 no_enclave"):
        HostileParent(mock).session(parent="https://h.example/enclaves/").get(URL)


def test_an_attested_failure_comes_sealed_too(parent: HostileParent) -> None:
    def failing(opened: Opened) -> bytes:
        upstream = Upstream(failure=("timeout", "no first byte"))
        return reply_to(asked(opened.inside), upstream, **signed_by(parent.enclave))

    parent.reply = failing
    with pytest.raises(TimeoutAttested) as caught:
        ask(parent.session())
    assert caught.value.attestation.verified.statement.boot == parent.enclave.boot
    assert b"planted" not in parent.everything()


@pytest.mark.parametrize(
    ("status", "kind"), [(400, Refused), (403, Refused), (502, Unavailable), (503, Unavailable), (504, DeadlinePassed)]
)
def test_a_refusal_that_comes_sealed_is_still_hearsay(parent: HostileParent, status: int, kind: type[Any]) -> None:
    said = {"success": False, "status": status, "headers": {}, "rawBody": "", "error": "no rule", "code": "a.code"}
    parent.reply = lambda _: json.dumps(said).encode()
    error = ending(parent, kind)
    assert (type(error), error.status, error.said, error.code) == (kind, status, "no rule", "a.code")


# --- identities that do not hold: nothing is sent --------------------------------------------------------------------

OTHER = Key()


def sealing(**changes: Any) -> dict[str, kit.Hook]:
    return {"on_identity": lambda made: made["sealing"].update(changes)}


def foreign(whole: dict[str, Any]) -> None:
    """The right format with the parent's key, beside the genuine document."""
    whole["identity"] = kit.b64(kit.cbor(SealedEnclave(key=OTHER).identity()))


FORGED: dict[str, tuple[int, dict[str, Any]]] = {
    "right key, other PCR0": (6, {"on_document": lambda signed: signed["pcrs"].update({0: b"\x66" * 48})}),
    "debug mode": (6, {"on_document": lambda signed: signed.update(pcrs=dict.fromkeys(range(16), bytes(48)))}),
    "certificate that no library reads": (
        2,
        {"on_document": lambda signed: signed.update(certificate=kit.odd_leaf().der)},
    ),
    "old document": (5, {"on_document": lambda signed: signed.update(timestamp=kit.SIGNED_MS - 301_000)}),
    "document of the future": (5, {"on_document": lambda signed: signed.update(timestamp=kit.SIGNED_MS + 301_000)}),
    "wrong challenge": (8, {"on_document": lambda signed: signed.update(nonce=b"c" * 32)}),
    "no challenge": (8, {"on_document": lambda signed: signed.update(nonce=None)}),
    "key hash of another key": (7, {"on_user_data": lambda bound: bound.update(key=OTHER.id)}),
    "identity hash of another": (7, {"on_user_data": lambda bound: bound.update(identity=bytes(32))}),
    "another manifest": (8, {"on_identity": lambda made: made.update(manifest=bytes(32))}),
    "another suite": (8, sealing(suite="none")),
    "key of no use": (8, sealing(key=OTHER.public[:1184] + bytes(32))),
    "until in the past": (8, sealing(until=kit.SIGNED_MS - 600_000)),
    "no key": (7, {"on_identity": lambda made: made.pop("sealing")}),
}


def nothing_was_sent(parent: HostileParent, error: IdentityNotVerified, step: int) -> None:
    assert isinstance(error.error, VerificationError)
    assert (error.error.step, parent.posts, parent.questions, parent.enclave.opened) == (step, [], 1, [])


@pytest.mark.parametrize(("step", "forged"), FORGED.values(), ids=FORGED)
def test_a_forged_identity_stops_the_client_before_anything_is_sent(
    parent: HostileParent, step: int, forged: dict[str, Any]
) -> None:
    parent.enclave = SealedEnclave(**forged)
    nothing_was_sent(parent, ending(parent, IdentityNotVerified), step)


def test_a_parents_own_key_beside_a_genuine_document_stops_the_client(parent: HostileParent) -> None:
    def exchanged(challenge: bytes) -> bytes:
        whole = json.loads(parent.enclave.show(challenge))
        foreign(whole)
        return json.dumps(whole).encode()

    parent.identify = exchanged
    nothing_was_sent(parent, ending(parent, IdentityNotVerified, "step 7: identity SHA-256"), 7)


def test_a_genuine_identity_of_another_service_stops_the_client(parent: HostileParent) -> None:
    other = SealedEnclave(service="stripe")
    parent.identify = other.show
    nothing_was_sent(parent, ending(parent, IdentityNotVerified, "step 8: service"), 8)


def test_a_genuine_identity_of_an_attackers_enclave_stops_the_client(parent: HostileParent) -> None:
    """Same root, same service name, signed for this very challenge; but other code, which may do anything."""
    attackers = SealedEnclave(on_document=lambda signed: signed.update(pcrs={**kit.PCRS, 2: b"\x66" * 48}))
    parent.identify = attackers.show
    nothing_was_sent(parent, ending(parent, IdentityNotVerified, "step 6: .*not a listed release"), 6)


def test_an_identity_from_before_stops_the_client(parent: HostileParent) -> None:
    kept: list[bytes] = []
    parent.identify = lambda challenge: kept.append(parent.enclave.show(challenge)) or kept[0]
    parent.session().get(URL)
    parent.received.clear()
    parent.enclave.opened.clear()
    nothing_was_sent(parent, ending(parent, IdentityNotVerified, "step 8: challenge"), 8)


def test_a_root_of_the_parents_own_stops_the_client(parent: HostileParent) -> None:
    nothing_was_sent(parent, ending(parent, IdentityNotVerified, "step 3: cabundle", root=AWS_ROOT), 3)


def test_a_refused_identity_is_not_kept(parent: HostileParent) -> None:
    session = parent.session()
    genuine, parent.enclave = parent.enclave, SealedEnclave(service="stripe")
    parent.identify = parent.enclave.show
    with pytest.raises(IdentityNotVerified):
        session.get(URL)
    parent.enclave, parent.identify = genuine, None
    assert session.get(URL).ok
    assert parent.questions == 2


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.binary(max_size=300))
def test_whatever_an_identity_is_answered_with_nothing_is_sent(parent: HostileParent, data: bytes) -> None:
    parent.identify = lambda _: data
    ending(parent, NoAnswer)
    assert parent.posts == []


# --- the question for the identity may fail once ---------------------------------------------------------------------


def failing_once(parent: HostileParent, failure: Any) -> None:
    """Let the next question fail, and those after it be answered."""
    url = re.compile(f"{PARENT}/enclaves/.*")
    once = {"body": failure} if isinstance(failure, Exception) else {"status": failure, "json": {"error": "x"}}
    parent.mock.remove(responses.GET, url)
    parent.mock.get(url, **once)
    parent.mock.add_callback(responses.GET, url, callback=parent._identity)


@pytest.mark.parametrize("failure", [502, 503, 504, exceptions.ConnectionError("x"), exceptions.ChunkedEncodingError()])
def test_a_failed_question_for_the_identity_is_asked_once_more(parent: HostileParent, failure: Any) -> None:
    failing_once(parent, failure)
    assert parent.session().get(URL).ok
    assert [call.request.method for call in parent.mock.calls] == ["GET", "GET", "POST"]
    assert parent.mock.calls[0].request.url == parent.mock.calls[1].request.url


@pytest.mark.parametrize(
    ("failure", "kind", "questions"),
    [
        (502, Unavailable, 2),
        (503, Unavailable, 2),
        (504, DeadlinePassed, 2),
        (404, Refused, 1),
        (401, Refused, 1),
        (429, Unavailable, 1),
        (500, Unavailable, 1),
        (307, Unavailable, 1),
        (exceptions.ConnectionError("x"), exceptions.ConnectionError, 2),
        (exceptions.ConnectTimeout("x"), exceptions.ConnectTimeout, 1),
        (exceptions.ReadTimeout("x"), exceptions.ReadTimeout, 1),
    ],
)
def test_a_parent_that_goes_on_failing_is_asked_twice_at_most_and_sent_nothing(
    mock: responses.RequestsMock, failure: Any, kind: type[Exception], questions: int
) -> None:
    given = {"body": failure} if isinstance(failure, Exception) else {"status": failure, "json": {"error": "x"}}
    session = HostileParent(mock).session(parent_headers={"Authorization": "Bearer of-the-parent"})
    mock.reset()
    mock.get(re.compile(f"{PARENT}/.*"), **given)
    mock.post(re.compile(f"{PARENT}/.*"))
    with pytest.raises(kind) as caught:
        ask(session)
    assert [call.request.method for call in mock.calls] == ["GET"] * questions
    assert "of-the-parent" not in repr(vars(caught.value))
    assert caught.value.request is not None  # type: ignore[attr-defined]
    assert caught.value.request.url == ASKED_URL  # type: ignore[attr-defined]


def test_an_enclave_that_cannot_show_its_identity_now_is_unavailable(parent: HostileParent) -> None:
    parent.identify = lambda _: (
        b'{"success":false,"status":503,"headers":{},"rawBody":"","error":"Enclave at capacity"}'
    )
    assert ending(parent, Unavailable, "Enclave at capacity").status == 503
    assert parent.posts == []


# --- what the adapter demands ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("clock", [Archive, lambda: At(instant=kit.SIGNED_AT)])
def test_recorded_replies_are_replayed_unsealed_or_not_at_all(parent: HostileParent, clock: Any) -> None:
    with pytest.raises(PolicyError, match="live time"):
        parent.adapter(clock=clock)
    assert parent.adapter(clock=clock, sealed=False)


def test_a_clock_that_stops_being_live_sends_nothing(parent: HostileParent) -> None:
    times = iter([parent.now(), Archive()])
    ending(parent, NotSendable, "live time", clock=lambda: next(times))
    assert parent.received == []


def test_a_request_too_large_to_be_sealed_is_not_sent(parent: HostileParent) -> None:
    with pytest.raises(NotSendable, match="too large to be sealed"):
        parent.session().post(URL, data=b"x" * 7_400_000)
    assert parent.posts == []


# --- sealed = "required" ---------------------------------------------------------------------------------------------

DEMANDING = policy(sealed="required")


@pytest.mark.parametrize("name", sorted(CREDENTIAL_HEADERS))
def test_a_demanding_policy_keeps_every_credential_from_leaving_unsealed(mock: Any, name: str) -> None:
    parent = Parent(mock)
    headers = {name.title(): SECRETS["X-Plain"]}
    with pytest.raises(NotSendable, match=f"demands sealed requests for {name.title()}$") as caught:
        parent.session(policy=DEMANDING).get(URL, headers=headers)
    holds_no_secret(caught.value)
    assert parent.sent == []


def test_credentials_of_the_session_and_the_url_are_seen_too(mock: Any) -> None:
    parent = Parent(mock)
    session = parent.session(policy=DEMANDING)
    session.auth = ("me", "planted")
    session.cookies.set("a", "planted")
    with pytest.raises(NotSendable, match=r"for Authorization, Cookie$"):
        session.get(URL)
    assert parent.sent == []


def test_a_demanding_policy_lets_the_rest_pass_and_a_sealing_adapter_never_notices(
    mock: responses.RequestsMock,
) -> None:
    parent = Parent(mock)
    assert parent.session(policy=DEMANDING).get(URL, headers={"X-Trace": "1"}).ok
    mock.reset()
    hostile = HostileParent(mock)
    assert ask(hostile.session(policy=DEMANDING)).ok
    assert b"planted" not in hostile.everything()


def test_a_policy_that_demands_nothing_lets_credentials_pass_unsealed(mock: Any) -> None:
    parent = Parent(mock)
    parent.session().get(URL, headers={"Authorization": "Bearer x"})
    assert dict(parent.asked[0].headers)["Authorization"] == "Bearer x"


def test_the_demand_is_a_key_of_the_policy_file() -> None:
    release = f'[[releases]]\ncommit = "{"0" * 40}"\n' + "".join(f'pcr{i} = "{"11" * 48}"\n' for i in range(3))
    assert load_policy(f'service = "vies"\n{release}'.encode()).sealed == "optional"
    for said in ("optional", "required"):
        assert load_policy(f'service = "vies"\nsealed = "{said}"\n{release}'.encode()).sealed == said


def test_an_hour_later_a_kept_identity_is_not_used(parent: HostileParent) -> None:
    parent.enclave.until_ms = kit.SIGNED_MS + 10 * 3_600_000
    session = parent.session()
    session.get(URL)
    parent.enclave.now_ms += int(timedelta(hours=1) / timedelta(milliseconds=1))
    session.get(URL)
    assert parent.questions == 2
