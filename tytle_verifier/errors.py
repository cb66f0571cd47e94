"""Every way in which this room says no (VERIFICATION.md, "The library").

One tree. `VerificationError` blames the evidence and carries the number of the step that refused it;
`PolicyError` blames what the relying party itself supplied; `NotOpened` is what others say of a sealed call. Nothing
else is raised on purpose, whatever the bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from tytle_verifier.report import Report

MAX_SHOWN_CHARACTERS = 160  # ours: evidence is hostile, an error message quotes only its beginning


def shown(value: object) -> str:
    """Return `value` as one short line of printable ASCII: bytes as hex, others as repr, cut at 160 characters.

    ASCII, because evidence is hostile and a terminal obeys more than letters.
    """
    text = value.hex() if isinstance(value, bytes) else value if isinstance(value, str) else repr(value)
    line = "".join(c if c.isascii() and c.isprintable() else ascii(c)[1:-1] for c in text[:MAX_SHOWN_CHARACTERS])
    fits = len(line) <= MAX_SHOWN_CHARACTERS and len(text) <= MAX_SHOWN_CHARACTERS
    return line if fits else f"{line[:MAX_SHOWN_CHARACTERS]}... ({len(text)} long)"


def _clause(problem: str, got: str | None, expected: str | None) -> str:
    compared = [f"got {got}"] if got is not None else []
    compared += [f"expected {expected}"] if expected is not None else []
    return ": ".join([problem, *([", ".join(compared)] if compared else [])])


class VerifierError(Exception):
    """Root of the tree; `advice` says what the person in front of the screen can do."""

    advice: ClassVar[str] = "Do not use the answer."


class PolicyError(VerifierError, ValueError):
    """The relying party's own input (policy, clock, request, root) is empty, malformed or contradictory."""

    advice = "Correct the policy, request or options; nothing has been said about the evidence yet."


class VerificationError(VerifierError):
    """The evidence was refused at `step` (0-9, the numbers of VERIFICATION.md).

    `got` and `expected` are short printable texts or None. `report` holds the steps that were passed before; it is
    None where a decoder was called alone. No evidence hangs on the error: what is refused is not handed back.
    """

    step: ClassVar[int] = 0

    def __init__(self, problem: str, *, got: object = None, expected: object = None) -> None:
        """Describe the `problem` in one clause; `got` and `expected` are quoted by `shown`."""
        self.problem = shown(problem)
        self.got = None if got is None else shown(got)
        self.expected = None if expected is None else shown(expected)
        self.report: Report | None = None
        super().__init__(self.problem)

    def __str__(self) -> str:
        """Return one line: step, problem, got, expected."""
        return f"step {self.step}: {self.detail}"

    @property
    def detail(self) -> str:
        """The line without its step."""
        return _clause(self.problem, self.got, self.expected)


class NotOpened(VerifierError):
    """Hearsay: the enclave, or the parent in its name, says that a sealed call was not opened. Nothing proves it.

    `status` is an HTTP status, `code` a word for programs or None, `said` the explanation, one short printable line.
    """

    advice = "Nothing vouches for this: the call may have been carried out all the same."

    def __init__(self, status: int, code: str | None, said: str) -> None:
        self.status = status
        self.code = None if code is None else shown(code)
        self.said = shown(said)
        super().__init__(status, code, said)

    def __str__(self) -> str:
        """Return one line."""
        return f"not opened ({self.status}{f' {self.code}' if self.code else ''}): {self.said}"


class UnknownKey(NotOpened):
    """Hearsay: the key that a call was sealed to is said to be none of the enclave's (any more). It is forgotten."""

    advice = "The key was rotated or the enclave restarted: seal the next call, which asks for the identity again."


class IdentityBusy(VerifierError):
    """Another thread's question for the enclave's identity took longer than this one could wait; nothing was sent."""

    advice = "The parent or the enclave is slow or unreachable: ask again."


class AttestedFailure(VerifierError):
    """Not a refusal: the evidence verified, and what the enclave attests is that no complete answer came."""

    advice = "The outage is genuine; there is no answer to use. Ask again."


class DerivationError(VerifierError):
    """Not a refusal of steps 0-9, all of which held: what is attested does not follow from the upstreams' raw bodies.

    Either the enclave's code reads these bodies wrongly, or this verifier does; `got` is what follows from the bodies,
    `expected` what is attested. Both are short printable texts or None.
    """

    advice = "Do not use the values, and report both: the release's code and this verifier contradict each other."

    def __init__(self, problem: str, *, got: object = None, expected: object = None) -> None:
        """Describe the `problem` in one clause; `got` and `expected` are quoted by `shown`."""
        self.problem = shown(problem)
        self.got = None if got is None else shown(got)
        self.expected = None if expected is None else shown(expected)
        super().__init__(_clause(self.problem, self.got, self.expected))


class LogError(VerifierError):
    """Not a refusal of steps 0-9, and nothing about the answer: the archive's log does not show what it should.

    `got` and `expected` are short printable texts or None.
    """

    advice = "Keep the heads and proofs that you hold: they show what the operator's log said before."

    def __init__(self, problem: str, *, got: object = None, expected: object = None) -> None:
        """Describe the `problem` in one clause; `got` and `expected` are quoted by `shown`."""
        self.problem = shown(problem)
        self.got = None if got is None else shown(got)
        self.expected = None if expected is None else shown(expected)
        super().__init__(_clause(self.problem, self.got, self.expected))


class InputError(VerificationError):
    """Step 0: not a reply or document of an acceptable size and shape."""

    step = 0
    advice = "Check that the file is the parent's whole JSON reply, or a document as binary or base64."


class NotAttested(InputError):
    """Step 0: a well-formed answer of the parent that carries no attestation at all (an error, a refusal)."""

    advice = "The parent answered without evidence: ask again, and treat what it says as hearsay."


class SealedAnswerError(InputError):
    """Step 0: not the answer that was sealed to this call: altered, another call's, or not sealed at all."""

    advice = "The answer was altered or exchanged on the way; the request may have been carried out all the same."


class CoseError(VerificationError):
    """Step 1: not a strict COSE_Sign1 under ES384."""

    step = 1
    advice = "The document is damaged, or not made by the Nitro Secure Module."


class DocumentError(VerificationError):
    """Step 2: the payload is not an enclave attestation document within its limits."""

    step = 2
    advice = "The document is damaged, or describes something other than an enclave (a NitroTPM, for example)."


class ChainError(VerificationError):
    """Step 3: no valid certificate path from the leaf to the pinned root at the chosen time."""

    step = 3
    advice = "A leaf lives three hours: verify stored evidence in archive mode. Otherwise it is not AWS's."


class SignatureError(VerificationError):
    """Step 4: the leaf's key did not sign these bytes."""

    step = 4
    advice = "The document was altered after it was signed."


class TimeError(VerificationError):
    """Step 5: signed outside the leaf's validity, too old, or in the future."""

    step = 5
    advice = "Ask for a fresh answer; check this machine's clock; use archive mode only to audit the past."


class MeasurementError(VerificationError):
    """Step 6: the enclave ran code that the policy does not list."""

    step = 6
    advice = "Compare with the published releases; an unknown PCR0 is unknown code."


class DebugModeError(MeasurementError):
    """Step 6: PCR0, PCR1 and PCR2 are zero, so the host could read the enclave's memory. Always refused."""

    advice = "The enclave was started with --debug-mode. It proves nothing; there is no option to accept it."


class BindingError(VerificationError):
    """Step 7: the statement is not what the document's user_data commits to."""

    step = 7
    advice = "The statement was altered, or belongs to another document."


class StatementError(VerificationError):
    """Step 8: the statement contradicts the policy, the reply, or what the caller holds."""

    step = 8
    advice = "The enclave attests something else than this reply shows or this policy allows."


class LegacyError(VerificationError):
    """Step 9: a field of the predecessor's format does not follow from what is attested."""

    step = 9
    advice = "The parent altered an unsigned convenience field: distrust the whole reply."
