"""What a verification came to, in one word, one line and one exit code (VERIFICATION.md, "The command")."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum

from tytle_verifier.derive import Derived
from tytle_verifier.errors import DerivationError, VerificationError, shown
from tytle_verifier.report import IDENTITY_TITLES, TITLES, Report
from tytle_verifier.sealed.verification import VerifiedIdentity
from tytle_verifier.statement import Failure, NoResult, Result
from tytle_verifier.verify import VerifiedDocument, VerifiedReply


class Exit(IntEnum):
    """Exit codes. A refusal at step N is `REFUSED + N`. 1 is what Python ends with: a crash is never a verdict."""

    VERIFIED = 0
    CRASHED = 1
    USAGE = 2
    UNUSABLE_INPUT = 3
    ATTESTED_FAILURE = 4
    MEASUREMENT_NOT_CHECKED = 5
    NOT_ALL_VERIFIED = 6
    CONTRADICTED = 7
    NOT_LOGGED = 8
    REFUSED = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """`word` for programs, `headline` for people; `error` is what refused the evidence, None if nothing did.

    `last_step` is the last step that it has: 9 for a reply, 8 for an identity, 6 for a bare document.
    `titles` are the steps' names. `derivation` is what came of deriving the values from raw bodies, None where that was
    not asked for, or the evidence was refused.
    """

    code: int
    word: str
    headline: str
    report: Report
    last_step: int
    error: VerificationError | None = None
    titles: tuple[str, ...] = TITLES
    derivation: Derived | DerivationError | None = None


def of_reply(verified: VerifiedReply) -> Verdict:
    """Return the verdict on a reply whose ten steps held. Only AWS's root gives the word `verified`."""
    word, code, what = _said(verified)
    headline = f"release {verified.release.commit[:12]} of {shown(verified.statement.service)} attests: {what}"
    if not verified.root.genuine:
        word, headline = f"test-{word}", f"this proves nothing about AWS hardware: {headline}"
    return Verdict(code=code, word=word, headline=headline, report=verified.report, last_step=9)


def _said(verified: VerifiedReply) -> tuple[str, Exit, str]:
    """Return word, exit code and half a sentence for what a genuine reply attests."""
    sent, result = verified.statement.answer.request, verified.statement.result
    asked = f"{shown(sent.method)} {shown(sent.url)}"
    if isinstance(verified.outcome, Failure):
        return "failure", Exit.ATTESTED_FAILURE, f"{asked} FAILED ({shown(verified.outcome.kind)})"
    if isinstance(result, NoResult):
        return "failure", Exit.ATTESTED_FAILURE, f"{shown(result.operation)} HAS NO RESULT ({shown(result.error)})"
    if isinstance(result, Result):
        values = ", ".join(f"{name} {value!r}" for name, value in result.values.items())
        return "verified", Exit.VERIFIED, f"{shown(result.operation)} gives {shown(values)}"
    return "verified", Exit.VERIFIED, f"{asked} was answered {verified.outcome.status}"


def of_derivation(verified: VerifiedReply, derivation: Derived | DerivationError) -> Verdict:
    """Return the verdict on a reply whose ten steps held, and whose values were derived, or contradicted."""
    made = replace(of_reply(verified), derivation=derivation)
    if isinstance(derivation, DerivationError):
        headline = f"{made.headline}; that does not follow from the bodies: {derivation}"
        word = "contradicted" if verified.root.genuine else "test-contradicted"
        return replace(made, code=Exit.CONTRADICTED, word=word, headline=headline)
    if derivation.operation is None:
        return made
    return replace(made, headline=f"{made.headline}; that follows from the bodies")


def of_document(verified: VerifiedDocument) -> Verdict:
    """Return the verdict on a bare document: steps 0-5, or 0-6 where a policy was given."""
    if verified.release is None:
        word, code = "partly", Exit.MEASUREMENT_NOT_CHECKED
        headline = "some Nitro enclave signed this document; which code ran is NOT checked"
    else:
        word, code = "document", Exit.VERIFIED
        headline = f"release {verified.release.commit[:12]} signed this document; no answer was checked"
    if not verified.root.genuine:
        word, headline = f"test-{word}", f"this proves nothing about AWS hardware: {headline}"
    return Verdict(code=code, word=word, headline=headline, report=verified.report, last_step=6)


def of_identity(verified: VerifiedIdentity) -> Verdict:
    """Return the verdict on an identity whose steps 0-8 held. Only AWS's root gives the word `identity`."""
    release = f"release {verified.release.commit[:12]} of {shown(verified.service)}"
    word, headline = "identity", f"{release} holds the key {verified.key.id.hex()}"
    if not verified.root.genuine:
        word, headline = f"test-{word}", f"this proves nothing about AWS hardware: {headline}"
    return Verdict(
        code=Exit.VERIFIED, word=word, headline=headline, report=verified.report, last_step=8, titles=IDENTITY_TITLES
    )


def of_refusal(error: VerificationError, *, last_step: int, titles: tuple[str, ...] = TITLES) -> Verdict:
    """Return the verdict on refused evidence."""
    report = error.report or Report(steps=())
    return Verdict(
        code=Exit.REFUSED + error.step,
        word="refused",
        headline=str(error),
        report=report,
        last_step=last_step,
        error=error,
        titles=titles,
    )
