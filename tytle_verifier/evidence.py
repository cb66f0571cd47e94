"""What lies in a file: a parent's JSON reply, a bare document as binary or base64, or an identity reply.

For the command line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tytle_verifier import jsontext, verdict
from tytle_verifier.chain import LinkCache
from tytle_verifier.derive import derive
from tytle_verifier.errors import DerivationError, InputError, PolicyError, VerificationError
from tytle_verifier.policy import Policy, refuse_debug
from tytle_verifier.report import IDENTITY_TITLES
from tytle_verifier.request import Query, Request
from tytle_verifier.sealed.verification import verify_identity
from tytle_verifier.verdict import Verdict
from tytle_verifier.verify import VerifiedReply, verify_document, verify_reply
from tytle_verifier.when import Time


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What the caller chose and holds, whatever the evidence turns out to be."""

    time: Time
    policy: Policy | None
    request: Request | Query | None = None
    body: bytes | None = None
    cache: LinkCache | None = None


def document_in(data: bytes) -> bytes | None:
    """Return the bare document in `data`, base64 taken off; None where `data` is JSON. Raises: InputError."""
    if not data.strip():
        raise InputError("no input", got=f"{len(data)} bytes", expected="a reply or a document")
    if data.lstrip()[:1] == b"{":
        return None
    if data[0] >= 0x80:
        return data
    try:
        return jsontext.from_base64("".join(data.decode("ascii").split()), "document")
    except UnicodeDecodeError as error:
        raise InputError("neither JSON, nor a document, nor base64") from error


def judge(data: bytes, choices: Choices) -> Verdict:
    """Verify whatever is in `data` against AWS's root. Raises: PolicyError where choices and evidence do not fit."""
    last_step = 9
    try:
        document = document_in(data)
        if document is None:
            return _judge_reply(data, choices)
        last_step = 6
        if choices.request is not None or choices.body is not None:
            raise PolicyError("a request or a body can be compared with a whole reply only, not with a bare document")
        return _judge_document(document, choices)
    except VerificationError as error:
        return verdict.of_refusal(error, last_step=last_step)


def judge_derivation(data: bytes, choices: Choices, bodies: Sequence[bytes]) -> Verdict:
    """Verify the reply in `data`, then derive its values from `bodies`. Raises: PolicyError, also for other bodies."""
    try:
        if document_in(data) is not None:
            raise PolicyError("a bare document holds no values: give a whole reply")
        verified = _verified(data, choices)
    except VerificationError as error:
        return verdict.of_refusal(error, last_step=9)
    try:
        return verdict.of_derivation(verified, derive(verified, bodies))
    except DerivationError as error:
        return verdict.of_derivation(verified, error)


def judge_identity(data: bytes, challenge: bytes, choices: Choices) -> Verdict:
    """Verify the answer to `GET /enclaves/NAME/identity` against AWS's root. Raises: PolicyError as `judge` does."""
    if choices.policy is None:
        raise PolicyError("an identity needs a policy: without one nothing says whose key it is")
    try:
        verified = verify_identity(data, policy=choices.policy, challenge=challenge, time=choices.time)
    except VerificationError as error:
        return verdict.of_refusal(error, last_step=8, titles=IDENTITY_TITLES)
    return verdict.of_identity(verified)


def _judge_document(document: bytes, choices: Choices) -> Verdict:
    checked = verify_document(document, policy=choices.policy, time=choices.time, cache=choices.cache)
    if choices.policy is None:
        try:
            refuse_debug(checked.document.pcrs)  # no option accepts debug mode, and no policy is no option
        except VerificationError as error:
            error.report = checked.report
            raise
    return verdict.of_document(checked)


def _judge_reply(data: bytes, choices: Choices) -> Verdict:
    return verdict.of_reply(_verified(data, choices))


def _verified(data: bytes, choices: Choices) -> VerifiedReply:
    if choices.policy is None:
        raise PolicyError("a reply needs a policy: without one nothing says whose code answered")
    return verify_reply(
        data,
        policy=choices.policy,
        time=choices.time,
        request=choices.request,
        body=choices.body,
        cache=choices.cache,
    )
