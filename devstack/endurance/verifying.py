"""What a relying party of the system does with a reply: verify it strictly, and refuse what it has seen before."""

import os
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import tytle_verifier
from devstack.__main__ import policy_for
from devstack.endurance.calls import Answer, Ended, refusal
from devstack.endurance.questions import MODES, Question, Wrong
from devstack.endurance.system import System
from tytle_verifier import (
    AttestedFailure,
    LinkCache,
    NoResult,
    NotAttested,
    Policy,
    SealedClient,
    VerifiedReply,
    VerifierError,
)
from tytle_verifier.request import decode_either


class Verifier:
    """One for a whole run. Safe between threads."""

    def __init__(self, system: System) -> None:
        self.root = system.root
        self.cache = LinkCache()
        self.policies: dict[tuple[str, str], Policy] = {
            (name, mode): replace(policy_for(service), modes=frozenset({mode}), require_challenge=True)
            for name, service in system.manifests.items()
            for mode in MODES
        }
        self._seen: set[tuple[bytes, int]] = set()
        self._lock = threading.Lock()

    def check(
        self, question: Question, sent: bytes, received: bytes, *, boot: str | None = None, ahead: float = 0.0
    ) -> str:
        """Return how a call ended whose reply this is. `boot` is the one that the parent named, `ahead` how many
        seconds the clock of whoever verifies is ahead.

        Raises: Ended, for every other end than `verified`.
        """
        now = tytle_verifier.live()
        try:
            verified = tytle_verifier.verify_reply(
                received,
                policy=self.policies[question.service, question.mode],
                time=replace(now, now=now.now + timedelta(seconds=ahead)),
                root=self.root,
                request=decode_either(sent),
                cache=self.cache,
            )
        except NotAttested as exc:
            raise refusal(received) or Ended("UNVERIFIED", str(exc)) from exc
        except VerifierError as exc:
            raise Ended("UNVERIFIED", f"{exc!r:.500}") from exc
        return self.compare(verified, question.check, boot=boot)

    def compare(self, verified: VerifiedReply, check: Callable[[VerifiedReply], None], *, boot: str | None) -> str:
        """Return how a call ended whose answer was verified. Raises: Ended."""
        statement = verified.statement
        try:
            self._check_new(statement.boot, statement.seq)
            if boot is not None and boot != statement.boot.hex():
                raise Wrong("the parent named another boot")
            check(verified)
        except AttestedFailure:
            result = statement.result
            word = result.error if isinstance(result, NoResult) else getattr(verified.outcome, "kind", "status")
            raise Ended(f"attested {word}") from None
        except (Wrong, KeyError, ValueError) as exc:
            raise Ended("WRONG", f"{exc!r:.500}") from exc
        return "verified"

    def sealed_client(self, service: str, ask: Callable[[bytes], bytes]) -> SealedClient:
        """Return a client that seals to the enclave of a service; `ask` fetches its identity for a challenge."""
        policy = self.policies[service, MODES[0]]
        return SealedClient(
            policy=replace(policy, modes=frozenset()),
            ask=ask,
            clock=tytle_verifier.live,
            random=os.urandom,
            root=self.root,
        )

    def _check_new(self, boot: bytes, sequence: int) -> None:
        with self._lock:
            if (boot, sequence) in self._seen:
                raise Wrong(f"statement {sequence} of boot {boot.hex()} a second time")
            self._seen.add((boot, sequence))


def boot_in(answer: Answer) -> str | None:
    """Return the boot that the parent names beside an answer."""
    return answer.headers["X-Enclave-Boot"]
