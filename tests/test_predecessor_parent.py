"""The predecessor's parent, vector by vector (parent_http.json): the same answer, or a named deviation.

Replayed are all vectors of its last state, and those of its first state that say something else. A vector that is not
answered alike must stand in DEVIATIONS under a row of ARCHITECTURE.md, and one that stands there must really deviate.
Compared are status and body. Three differences are everywhere and not listed by name: no X-Powered-By and no ETag
(P8), fields added to errors and to /health (P13), and `application/json` without a charset (P14).
"""

import json
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from app.config import Config, from_environment
from tests.corpora import predecessor_vectors
from tests.fake_enclave import ANSWER, PING, PONG, FakeEnclave, Peer, frame
from tests.parent import CHECKOUT, json_of, serving
from tests.test_app_health import DETAILS
from wire.addresses import UnixAddress

DEVIATIONS = {
    "head: ok full + unknown field dropped": "P1",
    "head: forwarded message for minimal": "P12",
    "head: forwarded message for full": "P12",
    "head: array body": "P3",
    "head: json string body": "P3",
    "head: malformed json": "P3",
    "head: empty body json ct": "P3",
    "head: no content-type": "P2",
    "head: text/plain content-type": "P2",
    "head: application/vnd+json not parsed": "P2",
    "head: charset latin1": "P3",
    "head: unknown host": "P4",
    "head: invalid url": "P4",
    "head: url number": "P4",
    "head: url object": "P4",
    "head: monerium": "P11",
    "head: gnosis rpc": "P11",
    "head: numeric id 0 replaced": "P5",
    "head: body object forwarded as is": "P5",
    "head: read EAGAIN": "P6",
    "head: enclave reply badjson": "P6",
    "head: 10 MiB + 1": "P3",
    "head: GET attest": "P3",
    "head: unknown path": "P3",
    "head: case-insensitive path": "P7",
    "head: routes": "P11",
    "head: health partial": "P11",
    "head: health 16 only": "P11",
    "head: health none": "P9",
    "head: health bad json": "P9",
    "head: health nitro-cli fails": "P9",
    "head: metrics": "P10",
    "head: routes with VIES_CID=99 MONERIUM_PAYMENT_CID=19": "P11",
    "head: monerium enabled": "P6",
    "init: stripe": "P11",
    "init: sicae": "P11",
    "init: routes": "P11",
    "init: routes with VIES_CID=99 MONERIUM_PAYMENT_CID=19": "P11",
    "init: HEAD health": "P11",
    "init: health partial": "P11",
    "init: health 16 only": "P11",
    "init: monerium enabled": "P11",
    "init: socat refused": "P6",
    "init: enclave reply empty": "P6",
    "init: enclave reply short": "P6",
    "init: enclave reply trunc": "P6",
    "init: enclave reply badjson": "P6",
    "init: hang => timeout 30s": "P6",
    "init: health none": "P9",
    "init: health bad json": "P9",
    "init: health nitro-cli fails": "P9",
    "init: metrics": "P10",
}

OURS = {  # what is answered to the vectors that deviate with an error: status and code
    "ok full + unknown field dropped": (400, "bad_request"),
    "array body": (400, "bad_request"),
    "json string body": (400, "bad_request"),
    "malformed json": (400, "bad_request"),
    "empty body json ct": (400, "bad_request"),
    "no content-type": (415, "unsupported_media_type"),
    "text/plain content-type": (415, "unsupported_media_type"),
    "application/vnd+json not parsed": (415, "unsupported_media_type"),
    "charset latin1": (415, "unsupported_media_type"),
    "unknown host": (404, "no_enclave"),
    "invalid url": (400, "url.scheme"),
    "url number": (400, "bad_request"),
    "url object": (400, "bad_request"),
    "monerium": (502, "enclave_unreachable"),
    "gnosis rpc": (502, "enclave_unreachable"),
    "numeric id 0 replaced": (400, "bad_request"),
    "body object forwarded as is": (400, "bad_request"),
    "read EAGAIN": (504, "deadline"),
    "hang => timeout 30s": (504, "deadline"),
    "socat refused": (502, "enclave_unreachable"),
    "enclave reply empty": (502, "enclave_unreachable"),
    "enclave reply short": (502, "enclave_unreachable"),
    "enclave reply trunc": (502, "enclave_unreachable"),
    "enclave reply badjson": (502, "bad_reply"),
    "10 MiB + 1": (413, "too_large"),
    "GET attest": (405, "method_not_allowed"),
    "unknown path": (404, "not_found"),
    "case-insensitive path": (404, "not_found"),
    "monerium enabled": (502, "enclave_unreachable"),
}

EXPOSITION = "text/plain; version=0.0.4; charset=utf-8"  # Prometheus' text format: row P10

# What the enclave of a vector does, by the id of the request; None is to answer nothing for ever.
BEHAVIOURS: dict[str, bytes | None] = {
    "zero": b"\x00\x00\x00\x00",
    "huge": b"\x01\x00\x00\x01",
    "empty": b"",
    "refuse": b"",
    "short": b"\x00\x00",
    "trunc": b"\x00\x00\x00\x32" + b"x" * 7,
    "badjson": frame(b"nope"),
    "eagain": None,
    "hang": None,
}
WITHOUT_ENCLAVE = ("health none", "health bad json", "health nitro-cli fails")
ENVIRONMENTS = {
    "routes with VIES_CID=99 MONERIUM_PAYMENT_CID=19": {"VIES_CID": "99", "MONERIUM_PAYMENT_CID": "19"},
    "monerium enabled": {"MONERIUM_PAYMENT_CID": "19"},
}
# P13; the first state's /health had no connectivity either
ADDED = {"code", "requestId", "service", "connectivity", "degraded", *DETAILS}

VECTORS = {vector["name"]: vector for vector in predecessor_vectors("parent_http")}


def plain_name(name: str) -> str:
    """Return a vector's name without its state."""
    return name.partition(": ")[2]


def substance(vector: dict[str, Any]) -> Any:
    """Return what a vector says, without what changes from run to run or belongs to the transport."""
    expected = vector["expected"]
    if "req" in expected:
        return {**expected["req"], "id": "<id>"}
    return {key: value for key, value in expected.items() if key in ("status", "json", "textHead")}


def to_replay() -> list[str]:
    said = {plain_name(name): substance(vector) for name, vector in VECTORS.items() if name.startswith("head: ")}
    return [
        name
        for name, vector in VECTORS.items()
        if name.startswith("head: ") or said.get(plain_name(name)) != substance(vector)
    ]


REPLAYED = to_replay()
REQUESTS = [name for name in REPLAYED if "req" not in VECTORS[name]["expected"]]
MESSAGES = [name for name in REPLAYED if "req" in VECTORS[name]["expected"]]


class Replay:
    """A parent with the shipped services, and an enclave, for VIES, SICAE or Stripe, that does as the vector's did."""

    def __init__(self, folder: Path, vector: dict[str, Any]) -> None:
        self._folder = folder
        self._reply = json.dumps(vector["expected"].get("json")).encode() if "json" in vector["expected"] else ANSWER
        self._name = plain_name(vector["name"])
        self.calls: list[dict[str, Any]] = []

    def send(self, given: dict[str, Any]) -> TestResponse:
        with ExitStack() as stack:
            if self._name not in WITHOUT_ENCLAVE:
                its_name = {"stripe": "stripe-payment", "sicae": "sicae"}.get(self._name, "vies")
                enclave = stack.enter_context(FakeEnclave(self._folder / its_name, self._script))
            services = from_environment(ENVIRONMENTS.get(self._name, {}))
            sockets = {
                service.name: (UnixAddress(path=str(self._folder / service.name)),) for service in services.manifests
            }
            shown = services.addresses if self._name.startswith("routes") else sockets
            config = Config(manifests=services.manifests, addresses=shown, timeout_ms=300)
            app = stack.enter_context(serving(config))
            body = given["body"].encode()
            if body and given["bodyBytes"] > len(body):  # the vector gives only the beginning of a long body
                body += b"a" * (given["bodyBytes"] - len(body) - 2) + b'"}'
            response = app.test_client().open(
                given["path"], method=given["method"], data=body, headers=given["headers"]
            )
            if self._name not in WITHOUT_ENCLAVE:
                self.calls = enclave.calls
            return response

    def _script(self, peer: Peer) -> None:
        while (payload := peer.read()) is not None:
            if payload == PING:
                peer.reply(PONG)
                continue
            behaviour = BEHAVIOURS.get(json.loads(payload)["id"], frame(self._reply))
            if behaviour is None:
                continue
            peer.send(behaviour)
            if behaviour != frame(self._reply):
                return


def without_additions(ours: Any, theirs: Any) -> Any:
    """Return `ours` with a time of now as `<ms>`, and without the fields of ADDED that `theirs` has not."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        kept = {key: value for key, value in ours.items() if key in theirs or key not in ADDED}
        if isinstance(kept.get("timestamp"), int) and abs(kept["timestamp"] - time.time() * 1000) < 60_000:
            kept["timestamp"] = "<ms>"
        return {key: without_additions(value, theirs.get(key)) for key, value in kept.items()}
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        return [without_additions(*pair) for pair in zip(ours, theirs, strict=True)]
    return ours


def is_answered_alike(response: TestResponse, expected: dict[str, Any]) -> bool:
    if response.status_code != expected["status"]:
        return False
    if "json" in expected:
        return response.is_json and bool(without_additions(json_of(response), expected["json"]) == expected["json"])
    return response.get_data(as_text=True).startswith(expected["textHead"]) and expected["textHead"] == ""


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_is_answered_as_by_the_predecessor_or_deviates_by_name(tmp_path: Path, name: str) -> None:
    vector = VECTORS[name]
    response = Replay(tmp_path, vector).send(vector["input"])
    alike = is_answered_alike(response, vector["expected"])
    answer = f"{response.status_code} {response.get_data(as_text=True)[:300]}"
    assert alike or name in DEVIATIONS, f"neither answered alike nor listed: {answer}"
    assert not (alike and name in DEVIATIONS), f"listed, but answered alike: {answer}"
    assert not {"x-powered-by", "etag"} & {header.lower() for header, _ in response.headers}
    assert response.content_type == ("application/json" if plain_name(name) != "metrics" else EXPOSITION)
    if name in DEVIATIONS and plain_name(name) in OURS:
        assert (response.status_code, json_of(response)["code"]) == OURS[plain_name(name)]


@pytest.mark.parametrize("name", MESSAGES)
def test_the_enclave_is_sent_the_predecessor_s_message_and_besides_the_time_it_may_take(
    tmp_path: Path, name: str
) -> None:
    message = VECTORS[name]["expected"]["req"]
    given = message if message["id"] == "r1" else {key: message[key] for key in ("url", "method")}
    replay = Replay(tmp_path, VECTORS[name])
    body = json.dumps(given)
    replay.send(
        {
            "method": "POST",
            "path": "/attest/fetch",
            "headers": {"Content-Type": "application/json"},
            "body": body,
            "bodyBytes": len(body),
        }
    )
    assert DEVIATIONS[name] == "P12"
    more = {"id": "<id>", "timeoutMs": 240, "hop": {"report": True}}
    assert [{**call, "id": "<id>"} for call in replay.calls] == [{**message, **more}]
    assert list(replay.calls[0])[: len(message)] == list(message)


def test_every_deviation_belongs_to_a_vector_and_has_a_row_in_the_architecture() -> None:
    assert sorted(DEVIATIONS.keys() - set(REPLAYED)) == []
    text = (CHECKOUT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    named = {*DEVIATIONS.values(), "P8", "P13", "P14"}
    assert sorted(row for row in named if f"\n| {row} |" not in text) == []


def test_no_vector_of_the_last_state_is_left_out() -> None:
    assert [name for name in VECTORS if name.startswith("head: ") and name not in REPLAYED] == []
    assert len(REQUESTS) + len(MESSAGES) >= 50
