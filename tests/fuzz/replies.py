"""Replies, policies and identities (`tytle_verifier.verify_reply` and the readers around it).

1. Any bytes are a value or an error of the verifier's, nothing else, whose text is short and in one line.
2. An altered genuine reply is refused, or verifies with the same statement and the same body.
3. Of a verified reply the caller gets what is attested: its body has the digest and its values are the statement's.
4. An altered genuine identity is refused, or names the same key.

The first byte of an input names the reader; after some, the rest are edits of something genuine.
"""

import hashlib
import json
from collections.abc import Callable
from functools import cache

import tytle_verifier
from tests import verifier_kit as kit
from tests.fuzz import mutators
from tests.fuzz.draws import Draws
from tests.fuzz.target import Seeds, Target
from tytle_verifier import (
    Archive,
    LinkCache,
    Policy,
    Release,
    TestPkiRoot,
    VerifiedReply,
    VerifierError,
    policy_file,
    reply,
    request,
)
from tytle_verifier import log as verifier_log
from tytle_verifier.sealed import answer, container, identity
from tytle_verifier.statement import Response

LINKS = LinkCache()
ANY_POLICY = Policy(service="vies", releases=(Release(commit="0" * 40, pcrs=dict.fromkeys(range(3), b"\x01" * 48)),))
WORDS = (
    b"null",
    b"true",
    b"{}",
    b"[]",
    b'""',
    b"\\u0041",
    b"\\ud800",
    b" ",
    b",",
    b'"mode":"batch"',
    b"1e2",
    b"-1",
    b"A",
    b"=",
)
MARKS = (b'"rawBody":', b'"status":', b'"headers":', b'"statement":', b'"nsmDocument":', b'"nonce":', b'"inclusion":')


@cache
def _genuine() -> tuple[bytes, ...]:
    """Return replies in three modes, of an answer and of a failure, whose signatures are this process's."""
    others = (kit.sha256(b"1"), kit.sha256(b"2"))
    return kit.reply(), kit.reply(others=others), kit.reply(on_statement=kit.failed)


@cache
def _policy() -> Policy:
    release = Release(commit=kit.COMMIT, pcrs={i: kit.PCRS[i] for i in (0, 1, 2)}, manifest=kit.MANIFEST)
    return Policy(service="vies", releases=(release,))


def _verify(data: bytes) -> VerifiedReply:
    root = TestPkiRoot(kit.pki().root.der)
    return tytle_verifier.verify_reply(data, policy=_policy(), time=Archive(), root=root, cache=LINKS)


def _edited(data: bytes) -> None:
    """Edit a genuine reply near one of its members, which would else be hard to hit between 8 KiB of base64."""
    draws = Draws(data)
    genuine = draws.choice(_genuine())
    at = genuine.find(draws.choice(MARKS)) + draws.below(64)
    altered = (
        genuine[:at] + draws.edits(genuine[at : at + 64], WORDS) + genuine[at + 64 :]
        if draws.flag()
        else (draws.edits(genuine, WORDS))
    )
    verified = _verify(altered)
    known = _verify(genuine)
    assert (verified.statement, verified.body) == (known.statement, known.body)
    assert verified.document.pcrs == known.document.pcrs
    _what_is_handed_out_is_attested(verified)


def _what_is_handed_out_is_attested(verified: VerifiedReply) -> None:
    outcome = verified.statement.answer.outcome
    if isinstance(outcome, Response):
        assert hashlib.sha256(verified.body).digest() == outcome.body.sha256
        assert len(verified.body) == outcome.body.length
    else:
        assert verified.body == b""


def _reply(data: bytes) -> None:
    tytle_verifier.verify_reply(data, policy=ANY_POLICY, time=Archive())


def _identity(data: bytes) -> None:
    tytle_verifier.verify_identity(data, policy=ANY_POLICY, challenge=bytes(32), time=Archive())


def _sealed_answer(data: bytes) -> None:
    assert len(answer.decode(data)) <= answer.MAX_SEALED_BYTES


def _policy_file(data: bytes) -> None:
    read = policy_file.load(data)
    assert read.releases
    assert all(len(value) == 48 for release in read.releases for value in release.pcrs.values())
    assert all({0, 1, 2} <= release.pcrs.keys() for release in read.releases)


READERS: tuple[Callable[[bytes], object], ...] = (
    _edited,
    _reply,
    reply.decode,
    request.decode,
    request.decode_query,
    _policy_file,
    _identity,
    identity.decode_reply,
    _sealed_answer,
    lambda data: container.empty(data, container.REQUEST),
    verifier_log.leaf_of,
)


def one_input(data: bytes) -> None:
    """Read one input by the reader that its first byte names."""
    if not data:
        return
    try:
        READERS[data[0] % len(READERS)](data[1:])
    except VerifierError as error:
        assert str(error).isprintable()
        assert len(str(error)) < 2000


def seeds() -> Seeds:
    """Genuine ones, whole and edited; a request, a query, a policy file, a refusal."""
    for which, genuine in enumerate(_genuine()):
        yield f"edited-{which}", bytes([0, which, 0, 0, 0, 0])
        yield f"reply-{which}", b"\x01" + genuine
        yield f"decoded-{which}", b"\x02" + genuine
    yield "edited-body", b"\x00\x00\x00\x0c\x01\x01\x02\x08\x00\x01x"
    asked = {
        "url": kit.URL,
        "method": "POST",
        "headers": dict(kit.HEADERS),
        "body": "a",
        "challenge": kit.b64(bytes(16)),
    }
    query = {"service": "vies", "operation": "vies.check_vat", "params": {"countryCode": "PT"}, "mode": "batch"}
    policy = f'service = "vies"\n[[releases]]\ncommit = "{"0" * 40}"\n' + "".join(
        f'pcr{index} = "{"ab" * 48}"\n' for index in range(3)
    )
    refusal = {"success": False, "status": 409, "code": "sealed.unknown-key", "error": "no"}
    told = {"success": True, "service": "vies", "identity": "AA==", "nsmDocument": "AA==", "pcrs": {"pcr0": "00"}}
    yield "request", b"\x03" + json.dumps(asked).encode()
    yield "query", b"\x04" + json.dumps(query).encode()
    yield "policy", b"\x05" + policy.encode()
    yield "identity", b"\x06" + json.dumps(told).encode()
    yield "identity-decoded", b"\x07" + json.dumps(told).encode()
    yield "refusal", b"\x08" + json.dumps(refusal).encode()
    yield "sealed", b"\x08" + b'{"sealed":"AAAA"}'
    yield "container", b"\x09" + container.fill(b"{}", container.REQUEST)
    yield "leaf", b"\x0a" + _genuine()[0]


TARGET = Target(
    one_input=one_input,
    seeds=seeds,
    mutate=mutators.json_behind(1),
    words=(*WORDS, *MARKS, b'"attestation":', b'"statement":', b"[[releases]]\n", b"revoked", b"pcr0 = "),
    max_bytes=12_000,
)
