"""`POST /attest/query`: what reaches the enclave, what comes back, and what is refused before it is forwarded."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from app.config import MAX_REQUEST_BYTES, Config
from policy import manifest
from tests.enclave_kit import HOST, enclave
from tests.fake_enclave import ANSWER, FakeEnclave, keeps, silent
from tests.parent import json_of, parent, serving
from tests.toy_service import OPERATIONS, TOML, shop

QUERY = {"service": "vies", "operation": "vies.check_vat", "params": {"countryCode": "PT", "vatNumber": "planted"}}


def test_a_query_reaches_the_enclave_and_its_reply_comes_back_byte_for_byte(tmp_path: Path) -> None:
    log = io.StringIO()
    with FakeEnclave(tmp_path / "e", keeps(lambda _: ANSWER)) as peer, parent(peer.address, log=log) as client:
        response = client.post("/attest/query", json={**QUERY, "id": "q7", "schema": "VIES", "timeoutMs": 1000})
    assert (response.status_code, response.data, response.headers["X-Request-Id"]) == (200, ANSWER, "q7")
    assert peer.calls == [{"id": "q7", **QUERY, "schema": "VIES", "timeoutMs": 800, "hop": {"report": True}}]
    line = json.loads(log.getvalue())
    assert (line["event"], line["service"], line["requestId"]) == ("query", "vies", "q7")
    assert "planted" not in log.getvalue()


@pytest.mark.parametrize(
    ("changed", "status", "code"),
    [
        ({"service": "none"}, 404, "no_enclave"),
        ({"operation": None}, 400, "bad_request"),
        ({"params": []}, 400, "bad_request"),
        ({"url": "https://ec.europa.eu/"}, 400, "bad_request"),
        ({"timeoutMs": 0}, 400, "bad_request"),
    ],
)
def test_a_malformed_query_is_refused_before_it_is_forwarded(
    changed: dict[str, Any], status: int, code: str, tmp_path: Path
) -> None:
    with FakeEnclave(tmp_path / "e", keeps()) as peer, parent(peer.address) as client:
        response = client.post("/attest/query", json={**QUERY, **changed})
    answer = json_of(response)
    assert (response.status_code, answer["code"], answer["success"], peer.calls) == (status, code, False, [])
    assert "planted" not in response.text


def test_sizes_media_types_and_silence_are_treated_as_for_a_fetch(tmp_path: Path) -> None:
    with FakeEnclave(tmp_path / "e", silent) as peer, parent(peer.address) as client:
        large = client.post("/attest/query", json={**QUERY, "params": {"a": "A" * MAX_REQUEST_BYTES}})
        text = client.post("/attest/query", data=json.dumps(QUERY), content_type="text/plain")
        late = client.post("/attest/query", json={**QUERY, "timeoutMs": 100})
    assert [each.status_code for each in (large, text, late)] == [413, 415, 504]


def test_a_query_for_an_upstream_that_wants_credentials_sealed_is_refused_before_it_is_forwarded(
    tmp_path: Path,
) -> None:
    with FakeEnclave(tmp_path / "e", keeps()) as peer:
        config = Config(manifests=(manifest.load(TOML),), addresses={"test": (peer.address,)})
        with serving(config) as app:
            client = app.test_client()
            query = {"service": "test", "operation": "test.vault", "params": {"id": "a1"}}
            refused = client.post("/attest/query", json=query)
            others = [
                client.post("/attest/query", json={**query, "operation": name}) for name in ("test.item", "test.none")
            ]
    assert (refused.status_code, json_of(refused)["code"]) == (403, "sealed.required")
    assert [each.status_code for each in others] == [200, 200]
    assert len(peer.calls) == 2


def test_a_mode_that_the_service_does_not_have_is_refused_before_it_is_forwarded(tmp_path: Path) -> None:
    toml = b'modes = ["document", "batch"]\n' + TOML
    with FakeEnclave(tmp_path / "e", keeps()) as peer:
        config = Config(manifests=(manifest.load(toml),), addresses={"test": (peer.address,)})
        with serving(config) as app:
            client = app.test_client()
            call = {"url": f"https://{HOST}/hello", "method": "GET"}
            query = {"service": "test", "operation": "test.item", "params": {"id": "a1"}}
            asked = (("/attest/fetch", call), ("/attest/query", query))
            refused = [client.post(path, json={**body, "mode": "session"}) for path, body in asked]
            taken = [client.post(path, json={**body, "mode": "batch"}) for path, body in asked]
    assert [(each.status_code, json_of(each)["code"]) for each in refused] == [(403, "mode.not-allowed")] * 2
    assert ([each.status_code for each in taken], [call["mode"] for call in peer.calls]) == ([200, 200], ["batch"] * 2)


def test_a_query_goes_through_the_parent_and_back(tmp_path: Path) -> None:
    with (
        enclave(shop, toml=TOML, operations=OPERATIONS) as running,
        FakeEnclave(tmp_path / "e", keeps(running.worker.answer)) as peer,
        serving(Config(manifests=(manifest.load(TOML),), addresses={"test": (peer.address,)})) as app,
    ):
        query = {"service": "test", "operation": "test.item", "params": {"id": "a1"}}
        answer = json_of(app.test_client().post("/attest/query", json=query))
    assert (answer["success"], answer["result"]["itemName"]) == (True, "Lamp")
