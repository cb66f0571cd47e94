"""A parent and its enclave, as a callback for `responses`: it answers any call with evidence under the kit's test PKI.

    with responses.RequestsMock() as mock:
        parent = Parent(mock, {URL: Upstream(body=b"...")})
        session(parent.adapter()).get(URL)

It signs what it is asked, so that a test changes one thing (with the kit's hooks) and the rest stays consistent. It
is asked in clear; `verifier_sealed` has one that is asked sealed.
"""

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import requests
import responses
import verifier_kit as kit
from verifier_cases import NOW, ROOT, policy

from tytle_verifier import Request, load_request
from tytle_verifier.adapter import AttestedAdapter, attest_only

PARENT = "http://127.0.0.1:5001"
ENDPOINT = f"{PARENT}/attest/fetch"
HOST = "https://ec.europa.eu/"
URL = "https://ec.europa.eu/taxation_customs/vies/rest-api/check-status"
SECRET = {"authorization", "cookie"}


@dataclass(frozen=True, kw_only=True)
class Upstream:
    """What the upstream answers; `failure` is what the enclave attests instead."""

    status: int = 200
    headers: tuple[tuple[str, bytes], ...] = (("Content-Type", b"application/json"),)
    body: bytes = b'{"vow":{"available":true}}'
    failure: tuple[str, str] | None = None


@dataclass
class Parent:
    """Answers POST /attest/fetch. `asked` is what arrived, `calls` the JSON; `hooks` are those of `kit.reply`."""

    mock: responses.RequestsMock
    upstreams: Mapping[str, Upstream | Callable[[Request], Upstream]] = field(default_factory=lambda: {URL: Upstream()})
    hooks: dict[str, Any] = field(default_factory=dict)
    asked: list[Request] = field(default_factory=list)
    sent: list[requests.PreparedRequest] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.mock.add_callback(responses.POST, ENDPOINT, callback=self._answer, content_type="application/json")

    @property
    def calls(self) -> list[dict[str, Any]]:
        return [json.loads(sent.body or "") for sent in self.sent]

    def adapter(self, **changes: Any) -> AttestedAdapter:
        made = {"parent": PARENT, "policy": policy(), "root": ROOT, "sealed": False, "clock": lambda: NOW, **changes}
        return AttestedAdapter(**made)

    def session(self, **changes: Any) -> requests.Session:
        return attest_only(requests.Session(), {HOST: self.adapter(**changes)})

    def _answer(self, prepared: requests.PreparedRequest) -> tuple[int, dict[str, str], bytes]:
        asked = load_request(prepared.body if isinstance(prepared.body, bytes) else b"")
        self.sent.append(prepared)
        self.asked.append(asked)
        upstream = self.upstreams[asked.url]
        return 200, {}, reply_to(asked, upstream(asked) if callable(upstream) else upstream, **self.hooks)


def reply_to(asked: Request, upstream: Upstream, **hooks: Any) -> bytes:
    """The kit's reply, saying that `upstream` answered what was `asked`. `hooks` run after that."""

    def on_statement(made: dict[str, Any]) -> None:
        _describe(made, asked, upstream)
        hooks.get("on_statement", kit.nothing)(made)

    def on_reply(whole: dict[str, Any]) -> None:
        text, encoding = _spelt(b"" if upstream.failure else upstream.body)
        whole.update(rawBody=text, bodyEncoding=encoding)
        if upstream.failure:
            whole["status"] = 504 if upstream.failure[0] == "timeout" else 502
        hooks.get("on_reply", kit.nothing)(whole)

    others = {name: hook for name, hook in hooks.items() if name not in ("on_statement", "on_reply")}
    made = _Body(upstream.body)
    return kit.reply(on_statement=on_statement, on_reply=on_reply, body=made, **others)


class _Body(bytes):
    """Bytes of an answer that need not be UTF-8: `on_reply` writes the real rawBody."""

    def decode(self, *_: Any, **__: Any) -> str:
        return ""


def _describe(made: dict[str, Any], asked: Request, upstream: Upstream) -> None:
    shown = [[name, None if name.lower() in SECRET else value.encode()] for name, value in asked.headers]
    exchange = made["exchanges"][-1]
    exchange["request"] = {
        "method": asked.method,
        "url": asked.url,
        "headers": shown,
        "body": kit.digest(asked.body),
    }
    made["challenge"] = asked.challenge
    if upstream.failure:
        kit.failed(made)
        exchange["failure"] = dict(zip(("kind", "detail"), upstream.failure, strict=True))
    else:
        exchange["response"] = {
            "status": upstream.status,
            "headers": [[name, value] for name, value in upstream.headers],
            "body": kit.digest(upstream.body),
            "framing": "content-length",
        }


def _spelt(body: bytes) -> tuple[str, str]:
    try:
        return bytes(body).decode(), "utf-8"
    except UnicodeDecodeError:
        return base64.b64encode(body).decode(), "base64"
