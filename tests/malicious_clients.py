"""The clients of a malicious parent, each with the policy that a careful user writes, and what they may end in.

A client asks one thing and ends in `Got` (what it would hand to its program) or in an exception. `excused` says which
exceptions are typed: the verifier's tree, and for what is no HTTP at all those of `requests`. `wrong` says what is
wrong with something accepted: the upstream's own record is the truth, and the verifier is not asked.
"""

import base64
import contextlib
import io
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from devstack.nsm_registers import IMAGE
from tests.malicious_parent import BY_ADDRESS, HEADERS, LOOKUP, MaliciousParent, lookup_body
from tests.malicious_world import ANSWER, World
from tytle_verifier import (
    Policy,
    Release,
    Response,
    SealedClient,
    TestPkiRoot,
    TlsDemands,
    VerifiedReply,
    VerifierError,
    cli,
    derive,
    evidence,
    live,
    verify_reply,
)
from tytle_verifier.adapter import AttestedAdapter, attest_only, attestation_of
from tytle_verifier.cli import main
from tytle_verifier.request import decode_either

NUMBER = {"countryCode": "PT", "vatNumber": "507172230"}
BODY = lookup_body(NUMBER["vatNumber"])
COMMIT = "c" * 40
URL = "https://ec.europa.eu/"
JSON = {"Content-Type": "application/json"}
SECONDS = 20


def policy(world: World, mode: str) -> Policy:
    return Policy(
        service="vies",
        releases=(Release(commit=COMMIT, pcrs=IMAGE, manifest=world.manifests["vies"].digest),),
        urls=(URL + "taxation_customs/vies/*",),
        methods=frozenset({"GET", "POST"}),
        modes=frozenset({mode}),
        require_challenge=True,
        max_age=timedelta(seconds=120),
        tls=TlsDemands(versions=frozenset({"TLSv1.3"})),
    )


def policy_file(world: World, mode: str) -> str:
    pcrs = "\n".join(f'pcr{index} = "{value.hex()}"' for index, value in IMAGE.items())
    return f"""
service = "vies"
urls = ["{URL}taxation_customs/vies/*"]
methods = ["GET", "POST"]
modes = ["{mode}"]
require_challenge = true
max_age_seconds = 120
[tls]
versions = ["TLSv1.3"]
[[releases]]
commit = "{COMMIT}"
manifest = "{world.manifests["vies"].digest.hex()}"
{pcrs}
"""


def root(world: World) -> TestPkiRoot:
    return TestPkiRoot(x509.load_pem_x509_certificate(world.pki.root_pem.encode()).public_bytes(Encoding.DER))


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One question, of a `kind` of "fetch" (a POST), "get" or "query": `data` is the JSON for the parent."""

    kind: str
    mode: str
    challenge: bytes
    data: bytes

    @property
    def way(self) -> str:
        """The parent's path for it."""
        return "/attest/query" if self.kind == "query" else "/attest/fetch"


def ask(kind: str, mode: str, challenge: bytes | None = None) -> Asked:
    challenge = challenge or secrets.token_bytes(32)
    said: dict[str, Any] = {"challenge": base64.b64encode(challenge).decode(), "mode": mode}
    if kind == "query":
        said |= {"service": "vies", "operation": "vies.check_vat_rest", "params": NUMBER}
    elif kind == "get":
        said |= {"url": BY_ADDRESS, "method": "GET"}
    else:
        said |= {"url": LOOKUP, "method": "POST", "headers": HEADERS, "body": BODY}
    return Asked(kind=kind, mode=mode, challenge=challenge, data=json.dumps(said).encode())


@dataclass(kw_only=True)
class Got:
    """What a client accepted. `response` is the adapter's; `reply` the JSON, which programs read once it verified."""

    asked: Asked
    verified: VerifiedReply
    reply: bytes | None = None
    response: requests.Response | None = None


Client = Callable[[Asked], Got]


@dataclass
class Clients:
    """The clients of one parent. `truth` is what the upstream is asked for each kind of question."""

    parent: MaliciousParent
    folder: Path
    monkeypatch: pytest.MonkeyPatch
    truth: dict[str, tuple[str, str, bytes]] = field(default_factory=dict)

    @property
    def world(self) -> World:
        return self.parent.world

    def post(self, path: str, data: bytes) -> bytes:
        with requests.Session() as session:
            session.trust_env = False
            return session.post(f"{self.parent.url}{path}", data, headers=JSON, timeout=SECONDS).content

    def identity(self, challenge: bytes) -> bytes:
        given = {"challenge": base64.urlsafe_b64encode(challenge).decode()}
        with requests.Session() as session:
            session.trust_env = False
            return session.get(f"{self.parent.url}/enclaves/vies/identity", params=given, timeout=SECONDS).content

    def library(self, asked: Asked) -> Got:
        """`verify_reply`, with the request."""
        return self.judged(asked, self.post(asked.way, asked.data))

    def judged(self, asked: Asked, reply: bytes) -> Got:
        verified = verify_reply(
            reply,
            policy=policy(self.world, asked.mode),
            time=live(),
            root=root(self.world),
            request=decode_either(asked.data),
        )
        _ = verified.result if asked.kind == "query" else verified.response
        return Got(asked=asked, verified=verified, reply=reply)

    def command(self, asked: Asked) -> Got:
        """`tytle-verify verify`, with our root in AWS's place, and what the same evidence is to the library."""
        reply = self.post(asked.way, asked.data)
        (self.folder / "reply.json").write_bytes(reply)
        (self.folder / "request.json").write_bytes(asked.data)
        (self.folder / "policy.toml").write_text(policy_file(self.world, asked.mode))
        code, printed = self._run("verify", "reply.json", "--request", "request.json")
        if code == 0:
            return self.judged(asked, reply)
        raise CommandRefused(code, printed)

    def _run(self, command: str, file: str, *more: str) -> tuple[int, str]:
        printed = io.StringIO()

        def verify(*args: Any, **kwargs: Any) -> VerifiedReply:
            return verify_reply(*args, root=root(self.world), **kwargs)

        with self.monkeypatch.context() as patch, contextlib.chdir(self.folder):
            patch.setattr(evidence, "verify_reply", verify)
            patch.setattr(cli.sys, "stdout", printed)
            patch.setattr(cli.sys, "stderr", printed)
            code = main([command, file, *more, "--policy", "policy.toml", "--live"])
        return code, printed.getvalue()

    def adapter(self, asked: Asked, *, sealed: bool = False) -> Got:
        """`AttestedAdapter`: it makes its own challenge, which is taken for the question's."""
        made = AttestedAdapter(
            parent=self.parent.url,
            policy=policy(self.world, asked.mode),
            root=root(self.world),
            mode=asked.mode,
            sealed=sealed,
            random=lambda _: asked.challenge,
        )
        with attest_only(requests.Session(), {URL: made}) as session:
            session.trust_env = False
            session.headers.clear()
            if asked.kind == "get":
                response = session.get(BY_ADDRESS, timeout=SECONDS)
            else:
                response = session.post(LOOKUP, data=BODY, headers=HEADERS, timeout=SECONDS)
            cookies = [cookie.name for cookie in session.cookies]
        if cookies or response.history:
            raise AssertionError(f"cookies {cookies} or redirects of the parent's")
        return Got(asked=asked, verified=attestation_of(response).verified, response=response)

    def sealed_adapter(self, asked: Asked) -> Got:
        return self.adapter(asked, sealed=True)

    def sealed_client(self, asked: Asked) -> Got:
        """`SealedClient`, for a fetch or a query."""
        client = SealedClient(
            policy=policy(self.world, asked.mode),
            ask=self.identity,
            clock=live,
            random=secrets.token_bytes,
            root=root(self.world),
        )
        call = client.seal(asked.data)
        return self.judged(asked, call.open(self.post("/attest/sealed", call.data)))

    def wrong(self, got: Got, since: int) -> list[str]:
        """Return what is wrong with an accepted answer; `since` is how many answers there were when it was asked."""
        said, asked = got.verified.statement, got.asked
        found = [] if said.challenge == asked.challenge else ["another challenge"]
        found += [] if said.boot in self.boots else ["no pinned enclave"]
        found += [] if _mode(got.verified) == asked.mode else ["another mode"]
        bodies = []
        for exchange in said.exchanges:
            headers = dict(getattr(exchange.outcome, "headers", ()))
            number = int(headers.get(ANSWER, b"-1"))
            if not since <= number < len(self.world.record.answers):
                return [*found, f"answer {number} is not of this question, which began at {since}"]
            request, response = self.world.record.answers[number]
            bodies.append(response.body)
            if (request.method, request.path, request.body) != self.truth[asked.kind]:
                found.append(f"the upstream was asked something else: {request.method} {request.path}")
        found += _wrong_shown(got)
        return found + (_wrong_query(got, bodies) if asked.kind == "query" else _wrong_fetch(got, bodies[-1]))

    boots: frozenset[bytes] = frozenset()


def _mode(verified: VerifiedReply) -> str:
    """Return the mode that the evidence itself shows: its document's fields differ."""
    document = verified.document
    return "session" if document.public_key is not None else "batch" if document.nonce is None else "document"


def _wrong_shown(got: Got) -> list[str]:
    """Compare the reply's own words, which are signed nowhere, with what is attested."""
    if got.reply is None:
        return []
    shown, statement = json.loads(got.reply), got.verified.statement
    outcome = statement.answer.outcome
    if shown.get("bodyEncoding") == "base64":
        shown["rawBody"] = base64.b64decode(shown["rawBody"]).decode()
    told: dict[str, Any] = {"success": True, "rawBody": got.verified.body.decode()}
    if got.asked.kind == "query":
        told |= {"result": dict(got.verified.result.values), "headers": {}, "bn254": told["rawBody"], "status": 200}
    elif isinstance(outcome, Response):
        headers = {name.lower(): value.decode("latin-1") for name, value in outcome.headers}
        told |= {"status": outcome.status, "headers": headers, "result": None, "bn254": None, "code": None}
    return [f"the reply shows another {name}" for name, value in told.items() if shown.get(name) != value]


def _wrong_fetch(got: Got, body: bytes) -> list[str]:
    found = [] if got.verified.body == body else ["another body"]
    if got.verified.response.status != 200:
        found.append("another status")
    response = got.response
    if response is None:
        return found
    url = BY_ADDRESS if got.asked.kind == "get" else LOOKUP
    if (response.status_code, response.content, response.url) != (200, body, url):
        found.append("the adapter shows another answer")
    if response.headers.keys() & {"set-cookie", "x-tampered"} or ANSWER not in response.headers:
        found.append("the adapter shows other headers")
    return found


def _wrong_query(got: Got, bodies: list[bytes]) -> list[str]:
    values: Mapping[str, object] = got.verified.result.values
    derived = derive(got.verified, bodies)
    found = [] if derived.values == dict(values) else ["the values do not follow"]
    asked = {name: values.get(name) for name in NUMBER}
    return found if asked == NUMBER else [*found, f"values of another number: {asked}"]


class CommandRefused(Exception):
    """The command said no; its exit code and what it printed."""

    def __init__(self, code: int, printed: str) -> None:
        super().__init__(code, printed)
        self.code, self.printed = code, printed


def excused(error: Exception) -> bool:
    """Say whether an exception is one that a client may end in."""
    if isinstance(error, CommandRefused):
        typed = error.code in (3, 4) or 10 <= error.code <= 19
        words = error.printed
        return typed and "VERIFIED:" not in words.replace("NOT VERIFIED", "") and words.isascii()
    return isinstance(error, VerifierError | requests.RequestException)
