"""Is this the enclave that the policy accepts, and is this its key? Steps 0-8 for an identity reply.

Steps 0-6 are those of its document. 7: the document's user_data commits to the identity and to the key in it.
8: service, manifest, challenge, suite, key and `until` against policy and caller. An identity has no step 9.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime

from tytle_verifier.chain import LinkCache
from tytle_verifier.document import Document
from tytle_verifier.errors import BindingError, StatementError, VerificationError, shown
from tytle_verifier.policy import Policy, Release
from tytle_verifier.report import Report, Step
from tytle_verifier.request import check_challenge
from tytle_verifier.roots import AWS_ROOT, Root
from tytle_verifier.sealed import identity as identities
from tytle_verifier.sealed import suite
from tytle_verifier.sealed.identity import Identity
from tytle_verifier.sealed.suite import PublicKey
from tytle_verifier.verify import VerifiedDocument, verify_document
from tytle_verifier.when import Live, Time, from_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedIdentity:
    """An enclave whose document and identity held (steps 0-8), and the key that what is meant for it is sealed to.

    `boot` (16 bytes) is the worker process that holds the key: statements of answers name it too. `boot_report` is what
    that process found when it booted, as far as pinned code is believed; empty outside an enclave.
    """

    document: Document
    root: Root
    release: Release
    service: str
    manifest: bytes
    boot: bytes
    boot_report: tuple[tuple[str, str], ...]
    key: PublicKey = field(repr=False)
    until: datetime
    report: Report


def verify_identity(
    reply: bytes,
    *,
    policy: Policy,
    challenge: bytes,
    time: Time,
    root: Root = AWS_ROOT,
    cache: LinkCache | None = None,
) -> VerifiedIdentity:
    """Verify the answer to `GET /enclaves/NAME/identity?challenge=`, steps 0-8.

    `challenge` is the 16..64 bytes that were sent with the question. NOT checked: what the boot report says, `service`
    and `pcrs` beside the identity, and, unless the time is live, whether the key was still in use. Raises:
    VerificationError (NotAttested where the reply is an error), PolicyError for such a challenge.
    """
    check_challenge(challenge)
    given = identities.decode_reply(bytes(reply))
    checked = verify_document(given.document, time=time, root=root, policy=policy, cache=cache)
    asked = _Asked(policy=policy, release=_release(checked), challenge=challenge, time=time)
    steps = list(checked.report.steps)
    try:
        identity = _step_7_binding(checked.document, given.identity, steps)
        key = _step_8_identity(identity, checked.document, asked, steps)
    except VerificationError as error:
        error.report = Report(steps=tuple(steps))
        raise
    return VerifiedIdentity(
        document=checked.document,
        root=root,
        release=asked.release,
        service=identity.service,
        manifest=identity.manifest,
        boot=identity.boot,
        boot_report=identity.report,
        key=key,
        until=from_ms(identity.until_ms),
        report=Report(steps=tuple(steps)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What step 8 compares an identity with."""

    policy: Policy
    release: Release
    challenge: bytes
    time: Time


def _step_7_binding(document: Document, data: bytes, steps: list[Step]) -> Identity:
    if document.user_data is None:
        raise BindingError("the document has no user_data", expected="a map that commits to the identity")
    signed = identities.decode_user_data(document.user_data)
    digest = hashlib.sha256(data).digest()
    if digest != signed.identity:
        raise BindingError("identity SHA-256", got=digest, expected=signed.identity)
    identity = identities.decode(data)
    key_id = hashlib.sha256(identity.key).digest()
    if key_id != signed.key:
        raise BindingError("key SHA-256", got=key_id, expected=signed.key)
    line = f"identity of {len(data)} bytes and its key are those that the document signs"
    steps.append(Step(number=7, compared=(line, "identity is deterministic CBOR"), identity=True))
    return identity


def _step_8_identity(identity: Identity, document: Document, asked: _Asked, steps: list[Step]) -> PublicKey:
    origin = _check_origin(identity, asked.policy, asked.release)
    challenge = _check_challenge(document, asked.challenge)
    key = _check_key(identity)
    lines = (
        origin,
        challenge,
        f"boot {identity.boot.hex()}",
        *(f"boot report: {shown(check)}: {shown(found)}" for check, found in identity.report),
        f"key {key.id.hex()}, {identity.suite}",
        _check_until(identity.until_ms, asked.time),
    )
    unchecked = {
        "manifest digest: the release pins none": asked.release.manifest is None,
        "whether the key is still in use: only live time can tell": not isinstance(asked.time, Live),
        "boot report: as the enclave's code says": bool(identity.report),
        "service and pcrs beside the identity": True,
    }
    left = tuple(line for line, applies in unchecked.items() if applies)
    steps.append(Step(number=8, compared=lines, not_checked=left, identity=True))
    return key


def _check_origin(identity: Identity, policy: Policy, release: Release) -> str:
    if identity.service != policy.service:
        raise StatementError("service", got=identity.service, expected=policy.service)
    if release.manifest is None:
        return f"service {shown(identity.service)}"
    if identity.manifest != release.manifest:
        raise StatementError("manifest digest", got=identity.manifest, expected=release.manifest)
    return f"service {shown(identity.service)}, manifest {identity.manifest.hex()[:16]}..."


def _check_challenge(document: Document, challenge: bytes) -> str:
    if document.nonce != challenge:
        raise StatementError("challenge", got=document.nonce or "none", expected=challenge)
    return f"challenge {challenge.hex()[:16]}... ({len(challenge)} bytes)"


def _check_key(identity: Identity) -> PublicKey:
    if identity.suite != suite.NAME:
        raise StatementError("sealing suite", got=identity.suite, expected=suite.NAME)
    try:
        return suite.public_key(identity.key)
    except ValueError as error:
        raise StatementError("sealing key", got=str(error), expected="a key that can be sealed to") from error


def _check_until(until_ms: int, time: Time) -> str:
    """Refuse a key that is past. Clocks may disagree by the skew, which is less than retired keys are still taken."""
    until = from_ms(until_ms)
    if isinstance(time, Live) and time.surely_past(until):
        raise StatementError("sealing.until is past", got=until.isoformat(), expected="later than the verifier's now")
    return f"until {until.isoformat()}"


def _release(checked: VerifiedDocument) -> Release:
    if checked.release is None:  # verify_document with a policy always finds one, or raises
        raise StatementError("release", got="none", expected="one of the policy")
    return checked.release
