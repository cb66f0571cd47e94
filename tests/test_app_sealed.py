"""`POST /attest/sealed`: what reaches the enclave and what comes back; and what is refused early in clear."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import pytest

from app.config import MAX_REQUEST_BYTES, Config
from policy import manifest
from tests.enclave_kit import MANIFEST, VAULT, enclave
from tests.fake_enclave import FakeEnclave, keeps, silent
from tests.parent import json_of, parent, serving
from tests.sealing import sealer

SEALED = base64.b64encode(b"\xffsealed bytes").decode()
REQUEST = {"service": "vies", "keyId": "ab" * 32, "sealed": SEALED}
ANSWER = b'{"sealed":"AAAA"}'


def test_a_sealed_request_reaches_the_enclave_and_its_answer_comes_back_byte_for_byte(tmp_path: Path) -> None:
    log = io.StringIO()
    with FakeEnclave(tmp_path / "e", keeps(lambda _: ANSWER)) as peer, parent(peer.address, log=log) as client:
        response = client.post("/attest/sealed", json={**REQUEST, "timeoutMs": 1000})
    assert (response.status_code, response.data) == (200, ANSWER)
    call = {"type": "sealed", "keyId": "ab" * 32, "sealed": SEALED, "timeoutMs": 800}
    assert peer.calls == [{**call, "hop": {"report": True}}]
    line = json.loads(log.getvalue())
    assert (line["event"], line["service"], line["success"]) == ("sealed", "vies", True)
    assert line.keys() == {"time", "event", "requestId", "service", "enclave", "success", "status", "ms"}
    assert SEALED not in log.getvalue()


@pytest.mark.parametrize(
    ("changed", "status", "code", "error"),
    [
        ({"service": "none"}, 404, "no_enclave", "No enclave configured under this name"),
        ({"service": None}, 400, "bad_request", "service: must be a string, not null"),
        ({"keyId": "AB" * 32}, 400, "bad_request", "keyId: must be 64 lower-case hex digits"),
        ({"keyId": "ab" * 31}, 400, "bad_request", "keyId: must be 64 lower-case hex digits"),
        ({"keyId": 1}, 400, "bad_request", "keyId: must be a string, not a number"),
        ({"sealed": "AP/+="}, 400, "bad_request", "sealed: is not standard base64 with padding"),
        ({"sealed": {}}, 400, "bad_request", "sealed: must be a string, not an object"),
        ({"timeoutMs": 0}, 400, "bad_request", "timeoutMs: must be a whole number from 1 to 120000"),
        ({"url": "https://ec.europa.eu/"}, 400, "bad_request", "'url': unknown field"),
    ],
)
def test_a_malformed_request_is_refused_by_name(
    changed: dict[str, Any], status: int, code: str, error: str, tmp_path: Path
) -> None:
    with FakeEnclave(tmp_path / "e", keeps()) as peer, parent(peer.address) as client:
        response = client.post("/attest/sealed", json={**REQUEST, **changed})
    answer = json_of(response)
    assert (response.status_code, answer["code"], answer["error"]) == (status, code, error)
    assert peer.calls == []


@pytest.mark.parametrize("missing", ["service", "keyId", "sealed"])
def test_a_missing_field_is_named(missing: str, tmp_path: Path) -> None:
    fields = {name: value for name, value in REQUEST.items() if name != missing}
    with FakeEnclave(tmp_path / "e", keeps()) as peer, parent(peer.address) as client:
        answer = json_of(client.post("/attest/sealed", json=fields))
    assert (answer["error"], peer.calls) == (f"{missing}: missing", [])


def test_sizes_and_media_types_are_bounded_as_for_a_fetch(tmp_path: Path) -> None:
    with FakeEnclave(tmp_path / "e", keeps()) as peer, parent(peer.address) as client:
        large = client.post("/attest/sealed", json={**REQUEST, "sealed": "A" * MAX_REQUEST_BYTES})
        text = client.post("/attest/sealed", data=json.dumps(REQUEST), content_type="text/plain")
    assert (large.status_code, text.status_code, peer.calls) == (413, 415, [])


def test_a_silent_enclave_is_a_504(tmp_path: Path) -> None:
    with FakeEnclave(tmp_path / "e", silent) as peer, parent(peer.address) as client:
        response = client.post("/attest/sealed", json={**REQUEST, "timeoutMs": 100})
    assert (response.status_code, json_of(response)["code"]) == (504, "deadline")


def test_a_credential_in_clear_is_refused_before_it_is_forwarded(tmp_path: Path) -> None:
    service = manifest.load(MANIFEST)
    log = io.StringIO()
    with FakeEnclave(tmp_path / "e", keeps()) as peer:
        config = Config(manifests=(service,), addresses={"test": (peer.address,)})
        with serving(config, log=log) as app:
            client = app.test_client()
            call = {"url": f"https://{VAULT}/x", "method": "GET", "headers": {"authorization": "planted"}}
            response = client.post("/attest/fetch", json=call)
            assert client.post("/attest/fetch", json={**call, "headers": {}}).status_code == 200
    assert (response.status_code, json_of(response)["code"]) == (403, "sealed.required")
    assert len(peer.calls) == 1
    assert "planted" not in log.getvalue() + response.text


def test_a_sealed_request_goes_through_the_parent_and_back(tmp_path: Path) -> None:
    with enclave() as running, FakeEnclave(tmp_path / "e", keeps(running.worker.answer)) as peer:
        config = Config(manifests=(manifest.load(MANIFEST),), addresses={"test": (peer.address,)})
        with serving(config) as app:
            client = sealer(running.worker)
            client.seal({"url": f"https://{VAULT}/hello", "method": "GET", "headers": {"X-Secret": "planted"}})
            body = {"service": "test", "keyId": client.key_id.hex(), "sealed": base64.b64encode(client.sealed).decode()}
            response = app.test_client().post("/attest/sealed", json=body)
    assert client.open(response.data)["rawBody"] == "/hello"
    assert b"planted" not in b"".join(peer.received) + response.data
