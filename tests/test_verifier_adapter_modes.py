"""The adapter in each mode: what it asks for, in clear and sealed, and that no parent can choose another for it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
import responses
import verifier_session as sessions
from verifier_cases import policy
from verifier_parent import PARENT, URL, Parent, Upstream, reply_to
from verifier_sealed import HostileParent, Opened, asked, signed_by

from tytle_verifier import Archive, PolicyError, StatementError, load_request, verify_reply
from tytle_verifier.adapter import AttestedAdapter, NotVerified, attestation_of

Hooks = Callable[..., dict[str, Any]]
SIGNED: dict[str, Hooks] = {  # what makes the kit's reply one of this mode
    "document": lambda **hooks: hooks,
    "batch": lambda **hooks: {"others": (bytes(32),), **hooks},
    "session": sessions.hooks,
}


@pytest.fixture
def mock() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


def in_clear(mock: responses.RequestsMock, signed: str, **changes: Any) -> tuple[Parent, requests.Session]:
    """A parent whose enclave signs in mode `signed`, and a session that was made with `changes`."""
    parent = Parent(mock, hooks=SIGNED[signed]())
    return parent, parent.session(**changes)


def sealed(mock: responses.RequestsMock, signed: str, **changes: Any) -> tuple[HostileParent, requests.Session]:
    parent = HostileParent(mock)

    def answer(opened: Opened) -> bytes:
        return reply_to(asked(opened.inside), Upstream(), **SIGNED[signed](**signed_by(parent.enclave)))

    parent.reply = answer
    return parent, parent.session(**changes)


@pytest.mark.parametrize("mode", SIGNED)
def test_the_mode_is_asked_for_and_an_answer_in_it_is_taken(mock: responses.RequestsMock, mode: str) -> None:
    parent, session = in_clear(mock, mode, mode=mode)
    kept = attestation_of(session.get(URL))
    assert [call.get("mode", "document") for call in parent.calls] == [mode]
    assert kept.verified.statement.challenge == load_request(kept.call).challenge


@pytest.mark.parametrize("mode", SIGNED)
def test_a_sealed_call_asks_for_the_mode_inside_where_no_parent_reads_it(
    mock: responses.RequestsMock, mode: str
) -> None:
    parent, session = sealed(mock, mode, mode=mode)
    assert session.get(URL).json() == {"vow": {"available": True}}
    (opened,) = parent.enclave.opened
    assert opened["request"].get("mode", "document") == mode
    assert b'"mode"' not in parent.everything()


def test_without_a_mode_a_call_says_none_and_means_document(mock: responses.RequestsMock) -> None:
    parent, session = in_clear(mock, "document")
    session.get(URL)
    assert "mode" not in parent.calls[0]


@pytest.mark.parametrize("make", [in_clear, sealed])
@pytest.mark.parametrize(("wanted", "signed"), [(a, b) for a in SIGNED for b in SIGNED if a != b])
def test_an_answer_in_another_mode_than_the_one_asked_for_is_refused(
    mock: responses.RequestsMock, make: Any, wanted: str, signed: str
) -> None:
    _, session = make(mock, signed, mode=wanted)
    with pytest.raises(NotVerified, match="step 8: mode") as caught:
        session.get(URL)
    assert isinstance(caught.value.error, StatementError)


@pytest.mark.parametrize("mode", ["", "none", "Session", "document "])
def test_an_unknown_mode_is_refused_when_the_adapter_is_made(mode: str) -> None:
    with pytest.raises(PolicyError, match="expected one of batch, document, session"):
        AttestedAdapter(parent=PARENT, policy=policy(), mode=mode)


def test_a_mode_that_the_policy_does_not_accept_is_refused_when_the_adapter_is_made(
    mock: responses.RequestsMock,
) -> None:
    strict = policy(modes=frozenset({"document", "batch"}))
    with pytest.raises(PolicyError, match="mode session: expected one of batch, document"):
        AttestedAdapter(parent=PARENT, policy=strict, mode="session")
    _, session = in_clear(mock, "batch", mode="batch", policy=strict)
    assert session.get(URL).ok


def test_what_was_kept_of_a_session_verifies_again_later(mock: responses.RequestsMock) -> None:
    _, session = in_clear(mock, "session", mode="session")
    kept = attestation_of(session.get(URL))
    again = verify_reply(
        kept.reply, policy=policy(), time=Archive(), root=kept.verified.root, request=load_request(kept.call)
    )
    assert again.statement == kept.verified.statement
