"""How a program that uses the adapter tests itself, without network, enclave or AWS: recorded replies, really verified.

`Shop` is such a program. Its recordings were made once against the development stack and verify for ever, because
`clock=Archive` asks whether they were good when they were signed:

    recording:  adapter = AttestedAdapter(parent=..., policy=..., root=..., sealed=False, random=bytes)
                Path("check-vat-number.reply.json").write_bytes(attestation_of(response).reply)
    replaying:  adapter = AttestedAdapter(parent=..., policy=..., root=..., sealed=False, random=bytes, clock=Archive)

Sealed answers cannot be replayed: each is for its request's own key. `random=bytes` makes every challenge 32 zero
bytes. Never outside tests: a reply could then be replayed, as it is here. The request is compared with the recording,
headers too; so the session names its own User-Agent, for the one that `requests` sends changes with its version.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import responses

from tytle_verifier import Archive, TestPkiRoot, load_policy
from tytle_verifier.adapter import AttestedAdapter, NotVerified, attest_only, attestation_of

RECORDED = Path(__file__).parent / "verifier_recorded"
REPLY = (RECORDED / "check-vat-number.reply.json").read_bytes()


class Shop:
    """The program under test: it takes a session and knows nothing of enclaves."""

    def __init__(self, session: requests.Session) -> None:
        self._session = session

    def trader(self, country: str, number: str) -> str | None:
        """The name of a VAT number's holder, None where the number is not valid."""
        asked = {"countryCode": country, "vatNumber": number}
        url = "https://ec.europa.eu/taxation_customs/vies/rest-api/check-vat-number"
        response = self._session.post(url, json=asked, timeout=10)
        response.raise_for_status()
        found = response.json()
        return found["name"] if found["valid"] else None


@pytest.fixture
def session() -> requests.Session:
    policy = load_policy((RECORDED / "vies.pcrs.toml").read_bytes())
    root = TestPkiRoot((RECORDED / "root.der").read_bytes())
    adapter = AttestedAdapter(
        parent="http://127.0.0.1:5001", policy=policy, root=root, sealed=False, random=bytes, clock=Archive
    )
    session = attest_only(requests.Session(), {"https://ec.europa.eu/": adapter})
    session.headers["User-Agent"] = "shop/1.0"
    return session


@pytest.fixture
def parent() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock() as mock:
        yield mock


def test_a_recorded_reply_is_the_answer(session: requests.Session, parent: responses.RequestsMock) -> None:
    parent.post("http://127.0.0.1:5001/attest/fetch", body=REPLY)
    assert Shop(session).trader("EL", "999999999") == "ΦΑΝΤΑΣΤΙΚΗ"


def test_a_recorded_reply_does_not_answer_another_question(
    session: requests.Session, parent: responses.RequestsMock
) -> None:
    parent.post("http://127.0.0.1:5001/attest/fetch", body=REPLY)
    with pytest.raises(NotVerified, match="step 8: request body"):
        Shop(session).trader("EL", "999999998")


def test_an_altered_recording_is_no_answer(session: requests.Session, parent: responses.RequestsMock) -> None:
    altered = json.loads(REPLY)
    altered["rawBody"] = altered["rawBody"].replace("ΦΑΝΤΑΣΤΙΚΗ", "ΦΑΝΤΑΣΤΙΚΑ")
    parent.post("http://127.0.0.1:5001/attest/fetch", json=altered)
    with pytest.raises(NotVerified, match="step 8: response body"):
        Shop(session).trader("EL", "999999999")


def test_the_evidence_of_an_answer_can_be_kept(session: requests.Session, parent: responses.RequestsMock) -> None:
    parent.post("http://127.0.0.1:5001/attest/fetch", body=REPLY)
    url = "https://ec.europa.eu/taxation_customs/vies/rest-api/check-vat-number"
    response = session.post(url, json={"countryCode": "EL", "vatNumber": "999999999"})
    kept = attestation_of(response)
    assert (kept.reply, kept.verified.root.genuine) == (REPLY, False)
