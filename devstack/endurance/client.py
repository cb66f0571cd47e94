"""One client: asks one question after another, in a thread, and has each end written down."""

import base64
import json
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

import requests

from devstack import stripe, vies
from devstack.endurance import questions
from devstack.endurance.archive import Reader
from devstack.endurance.calls import AUTHORIZATION, Connection, Ended, refusal
from devstack.endurance.invented import LARGE, Numbers
from devstack.endurance.ledger import Ledger
from devstack.endurance.questions import TIMEOUT_MS, Catalogue, Question
from devstack.endurance.system import System
from devstack.endurance.verifying import Verifier, boot_in
from tytle_verifier import NotOpened, VerificationError, VerifiedReply, VerifierError, verify_identity
from tytle_verifier import live as now
from tytle_verifier.adapter import (
    AttestedAdapter,
    FailureAttested,
    NoAnswer,
    NotVerified,
    attest_only,
    attestation_of,
)

SHORT_PAUSE, LONG_PAUSE = 0.15, 3.0  # seconds, at most; long ones leave a kept connection idle, and make it stale
LONG_PAUSES = 0.04  # of all
FRESH = 0.1  # of all calls are made on a new connection
TO_ARCHIVE = 0.2  # of all plain answers are looked for in the archive later
SEALED = ("stripe-payment", "monerium-payment", "vies")
ADAPTED = {"stripe-payment": f"https://{stripe.HOST}/", "vies": f"https://{vies.HOST}/"}


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of call: how many of a hundred it is, and what makes one."""

    share: int
    ask: Callable[[], None]


class Client(threading.Thread):
    """Asks until `stop` is set. What it does follows from `seed`, as far as its own choices go."""

    def __init__(
        self, system: System, *, ledger: Ledger, verifier: Verifier, numbers: Numbers, seed: str, stop: threading.Event
    ) -> None:
        super().__init__(name=f"client {seed}")
        self._ledger, self._verifier, self._stopping = ledger, verifier, stop
        self._chance = random.Random(seed)  # noqa: S311  chooses questions, no secret
        self._catalogue = Catalogue(numbers, self._chance)
        self._numbers = numbers
        self._connection = Connection(system.port)
        self._archive = Reader(self._connection, ledger)
        self._sealing = {name: verifier.sealed_client(name, self._asker(name)) for name in SEALED}
        self._sessions = {name: self._session(system, name) for name in ADAPTED}
        self._kinds = self._made_of()

    def _made_of(self) -> list[Kind]:
        plain, catalogue = self._plain, self._catalogue
        return [
            Kind(22, lambda: plain(catalogue.vat_by_rest())),
            Kind(10, lambda: plain(catalogue.vat_by_path())),
            Kind(3, lambda: plain(catalogue.large())),
            Kind(4, lambda: plain(catalogue.form())),
            Kind(12, lambda: plain(catalogue.vat_query())),
            Kind(6, lambda: plain(catalogue.uk_query())),
            Kind(7, lambda: plain(catalogue.company_query())),
            Kind(5, lambda: plain(catalogue.refused())),
            Kind(4, lambda: self._sealed(catalogue.vat_by_rest())),
            Kind(3, lambda: self._sealed(catalogue.uk_query())),
            Kind(6, lambda: self._sealed(catalogue.charge_query())),
            Kind(6, lambda: self._sealed(catalogue.order_query())),
            Kind(4, self._adapted_charge),
            Kind(3, self._adapted_vat),
            Kind(3, self._identity),
            Kind(2, self._health),
        ]

    def run(self) -> None:
        """Ask."""
        weights = [kind.share for kind in self._kinds]
        while not self._stopping.is_set():
            self._chance.choices(self._kinds, weights)[0].ask()
            self._archive.read_due()
            if self._chance.random() < FRESH:
                self._connection.close()
            most = LONG_PAUSE if self._chance.random() < LONG_PAUSES else SHORT_PAUSE
            self._stopping.wait(self._chance.uniform(0, most))
        self._connection.close()
        for session in self._sessions.values():
            session.close()

    def _noting(self, kind: str, service: str, call: Callable[[], str]) -> None:
        """Make a call and write down how it ended."""
        began = time.monotonic()
        try:
            outcome, text = call(), ""
        except Ended as exc:
            outcome, text = exc.outcome, exc.text
        except Exception as exc:  # noqa: BLE001  whatever it is, it may not be, and the run goes on
            outcome, text = "CRASHED", f"{exc!r:.500}"
        self._ledger.end(kind, service, outcome, began=began, text=text)

    def _plain(self, question: Question) -> None:
        def call() -> str:
            sent = question.draw()
            if question.refused is not None:
                return self._refused(question, sent)
            asked = time.monotonic()
            answer = self._connection.post(question.path, sent)
            outcome = self._verifier.check(question, sent, answer.data, boot=boot_in(answer))
            if self._chance.random() < TO_ARCHIVE:
                self._archive.later(answer.data, asked=asked)
            return outcome

        self._noting(question.kind, question.service, call)

    def _refused(self, question: Question, sent: bytes) -> str:
        """Ask what has to be refused."""
        try:
            answer = self._connection.post(question.path, sent)
        except Ended as exc:
            if exc.outcome.startswith(f"error {question.refused} "):
                return exc.outcome.replace("error", "refused")
            raise
        end = refusal(answer.data)
        if end is None:
            raise Ended("WRONG", f"not refused: {answer.data[:300]!r}")
        if not end.outcome.startswith(f"error {question.refused} "):
            raise end
        return end.outcome.replace("error", "refused")

    def _sealed(self, question: Question) -> None:
        self._noting(f"{question.kind}, sealed", question.service, lambda: self._through(question))

    def _through(self, question: Question) -> str:
        sent = question.draw()
        try:
            sealed = self._sealing[question.service].seal(sent)
        except VerificationError as exc:
            raise Ended("UNVERIFIED", f"identity: {exc!r:.500}") from exc
        answer = self._connection.post("/attest/sealed", sealed.data)
        try:
            received = sealed.open(answer.data)
        except NotOpened as exc:
            raise Ended(f"error {exc.status} {exc.code or 'enclave'}", str(exc)) from exc
        except VerifierError as exc:
            raise Ended("UNVERIFIED", f"sealed: {exc!r:.500}") from exc
        return self._verifier.check(question, sent, received, boot=boot_in(answer))

    def _asker(self, service: str) -> Callable[[bytes], bytes]:
        """Return what fetches a service's identity for a challenge."""

        def ask(challenge: bytes) -> bytes:
            data = self._connection.get(identity_path(service, challenge)).data
            if end := refusal(data):
                raise end
            return data

        return ask

    def _identity(self) -> None:
        service = self._chance.choice(SEALED)

        def call() -> str:
            challenge = random.SystemRandom().randbytes(questions.CHALLENGE_BYTES)
            data = self._asker(service)(challenge)
            policy, root = self._verifier.policies[service, "document"], self._verifier.root
            try:
                verify_identity(data, policy=policy, challenge=challenge, time=now(), root=root)
            except VerifierError as exc:
                raise Ended("UNVERIFIED", f"{exc!r:.500}") from exc
            return "verified"

        self._noting("identity", service, call)

    def _health(self) -> None:
        def call() -> str:
            said = json.loads(self._connection.get("/livez").data)
            questions.demand("livez", bool(said), True)
            return "verified"

        self._noting("livez", "", call)

    def _adapted_charge(self) -> None:
        large = self._chance.random() < 0.15
        name = f"{LARGE if large else 'ch_'}{self._numbers.next():020d}"
        url = f"{ADAPTED['stripe-payment']}v1/charges/{name}"
        headers = {"Authorization": f"Bearer {stripe.KEY}"}
        self._adapted("stripe adapter", "stripe-payment", url, headers, questions.charge_as_sent(name))

    def _adapted_vat(self) -> None:
        number = f"{self._numbers.next():012d}"
        url = f"{questions.REST}/ms/PT/vat/{number}"
        self._adapted("vies adapter", "vies", url, {}, questions.vat_at("PT", number))

    def _adapted(
        self, kind: str, service: str, url: str, headers: dict[str, str], check: Callable[[VerifiedReply], None]
    ) -> None:
        def call() -> str:
            try:
                response = self._sessions[service].get(url, headers=headers, timeout=TIMEOUT_MS / 1000)
            except FailureAttested as exc:
                return self._verifier.compare(exc.attestation.verified, check, boot=None)
            except NotVerified as exc:
                raise Ended("UNVERIFIED", f"{exc!r:.500}") from exc
            except NoAnswer as exc:
                status, code = getattr(exc, "status", "none"), getattr(exc, "code", None) or "enclave"
                raise Ended(f"error {status} {code}", str(exc)) from exc
            except requests.RequestException as exc:
                raise Ended(f"connection {type(exc).__name__} adapter", str(exc)) from exc
            return self._verifier.compare(attestation_of(response).verified, check, boot=None)

        self._noting(kind, service, call)

    def _session(self, system: System, service: str) -> requests.Session:
        adapter = AttestedAdapter(
            parent=system.url,
            policy=self._verifier.policies[service, "document"],
            root=self._verifier.root,
            parent_headers=AUTHORIZATION,
        )
        return attest_only(requests.Session(), {ADAPTED[service]: adapter})


def identity_path(service: str, challenge: bytes) -> str:
    """Return where a service's identity is asked for."""
    return f"/enclaves/{service}/identity?challenge={quote(base64.b64encode(challenge).decode(), safe='')}"
