"""The verification, steps 0 to 9. The numbers are those of VERIFICATION.md, of the errors and of the command line.

    0 inputs and size limits          5 time
    1 COSE_Sign1, ES384               6 measurements
    2 document fields and limits      7 the statement is in the signed tree
    3 certificate chain to the root   8 the statement against policy and caller
    4 signature by the leaf           9 legacy fields

Steps 1-5 prove that some Nitro enclave signed some bytes; only 6-9 say whose code it was and what it said. Pure
functions of their arguments: no clock, no file, no network, no environment.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from cryptography.hazmat.primitives.asymmetric import ec

from tytle_verifier import answer, chain, cose, inclusion, legacy, modes, session
from tytle_verifier import document as documents
from tytle_verifier import reply as replies
from tytle_verifier import statement as statements
from tytle_verifier.answer import Accepted, Held
from tytle_verifier.chain import LinkCache
from tytle_verifier.cose import Sign1
from tytle_verifier.document import Document, Rules
from tytle_verifier.errors import (
    AttestedFailure,
    BindingError,
    InputError,
    PolicyError,
    VerificationError,
    shown,
)
from tytle_verifier.policy import Policy, Release, measure
from tytle_verifier.reply import Attestation, Reply
from tytle_verifier.report import Notebook, Report
from tytle_verifier.request import Query, Request
from tytle_verifier.roots import AWS_ROOT, Root
from tytle_verifier.statement import Failure, NoResult, Response, Result, Statement
from tytle_verifier.when import Live, Time, chain_instant, check_age, check_not_ahead, check_signed_at

MAX_DOCUMENT_BYTES = 20_480  # ours: AWS's largest payload (16384) and the envelope around it, with room


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedDocument:
    """A document whose steps 1-5 held under `root`, and step 6 too where `release` is not None.

    With `release` None this is "some Nitro enclave": its user_data is as good as unknown code. Where `root` is a
    TestPkiRoot it is not even that. Two different byte strings may be the same document (see cose.verify).
    """

    document: Document
    root: Root
    release: Release | None
    report: Report


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedReply:
    """A reply whose steps 0-9 all held.

    `body` is the attested response body, empty where the fetch failed; of a query, its field elements in base64.
    """

    document: Document
    root: Root
    release: Release
    statement: Statement
    body: bytes
    report: Report

    @property
    def outcome(self) -> Response | Failure:
        """What the enclave attests of its last call: an answer, or that none came."""
        return self.statement.answer.outcome

    @property
    def response(self) -> Response:
        """The attested answer to a fetch; of a query, that of its last call, whose body is not `body`.

        Raises: AttestedFailure where the fetch failed, or the query has no result.
        """
        result = self.statement.result
        if isinstance(self.outcome, Failure):
            raise AttestedFailure(f"attested failure: {self.outcome.kind}: {self.outcome.detail}")
        if isinstance(result, NoResult):
            raise AttestedFailure(f"attested: {result.operation} has no result: {result.error}")
        return self.outcome

    @property
    def result(self) -> Result:
        """The attested values of a query.

        Raises: AttestedFailure where there are none; PolicyError where this is the answer to a fetch.
        """
        _ = self.response
        if not isinstance(self.statement.result, Result):
            raise PolicyError("this is the answer to a fetch: it has no result")
        return self.statement.result


def verify_document(
    document: bytes,
    *,
    time: Time,
    root: Root = AWS_ROOT,
    policy: Policy | None = None,
    rules: Rules | None = None,
    cache: LinkCache | None = None,
) -> VerifiedDocument:
    """Verify an attestation document: steps 0-5, and 6 where a `policy` is given.

    `document` is the COSE_Sign1 bytes (not base64). NOT checked without a policy: which code ran, debug mode.
    Never checked here: what user_data, nonce and public_key mean; revocation. Raises: VerificationError.
    """
    run = _Run(time=time, root=root, max_age=policy.max_age if policy else None, rules=rules or Rules(), cache=cache)
    with run.reporting():
        read = run.steps_0_to_5(bytes(document))  # a bytearray could change under our hands
        release = run.step_6_measurements(read, policy) if policy else None
    return VerifiedDocument(document=read, root=root, release=release, report=run.notebook.report())


def verify_reply(
    reply: bytes,
    *,
    policy: Policy,
    time: Time,
    root: Root = AWS_ROOT,
    request: Request | Query | None = None,
    body: bytes | None = None,
    rules: Rules | None = None,
    cache: LinkCache | None = None,
) -> VerifiedReply:
    """Verify a parent's JSON reply: steps 0-9.

    `request` is what the caller asked and `body` a response body it holds; where they are None, the report says
    what went unchecked. Verified is also a fetch that failed: use `.response`. Raises: VerificationError, and
    PolicyError where request and policy expect different challenges.
    """
    held = Held(request=request, body=body, challenge=answer.expected_challenge(policy, request))
    run = _Run(time=time, root=root, max_age=policy.max_age, rules=rules or Rules(), cache=cache)
    with run.reporting():
        given = run.step_0_reply(bytes(reply))
        in_session = given.attestation.mode == modes.SESSION
        document = run.steps_0_to_5(given.attestation.document, in_session=in_session)
        release = run.step_6_measurements(document, policy)
        statement = run.step_7_binding(document, given.attestation)
        run.step_8_statement(statement, given, document, Accepted(policy=policy, release=release), held)
        run.step_9_legacy(statement, given, document)
    return VerifiedReply(
        document=document,
        root=root,
        release=release,
        statement=statement,
        body=given.body,
        report=run.notebook.report(),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """One verification: what the caller chose, and the notebook in which each step that holds is written down."""

    time: Time
    root: Root
    max_age: timedelta | None
    rules: Rules
    cache: LinkCache | None
    notebook: Notebook = field(default_factory=Notebook)

    @contextmanager
    def reporting(self) -> Iterator[None]:
        """Hang the steps passed so far on the error that ends the verification."""
        try:
            yield
        except VerificationError as error:
            error.report = self.notebook.report()
            raise

    def steps_0_to_5(self, data: bytes, *, in_session: bool = False) -> Document:
        """The cryptographic level: the document is AWS's, unaltered, and of the chosen time.

        One that a session began with may be older: its answers have their own time, compared in step 8.
        """
        self.step_0_document(data)
        message = self.step_1_cose(data)
        document = self.step_2_fields(message)
        key = self.step_3_chain(document)
        self.step_4_signature(message, key)
        self.step_5_time(document, in_session=in_session)
        return document

    def step_0_reply(self, data: bytes) -> Reply:
        reply = replies.decode(data)
        self.notebook.passed(0, f"reply of {len(data)} bytes, statement of {len(reply.attestation.statement)}")
        return reply

    def step_0_document(self, data: bytes) -> None:
        if not 1 <= len(data) <= MAX_DOCUMENT_BYTES:
            raise InputError("document size", got=f"{len(data)} bytes", expected=f"1..{MAX_DOCUMENT_BYTES}")
        self.notebook.passed(0, f"document of {len(data)} bytes")

    def step_1_cose(self, data: bytes) -> Sign1:
        message = cose.decode(data)
        self.notebook.passed(1, "protected header exactly ES384, unprotected header empty, nothing after it")
        return message

    def step_2_fields(self, message: Sign1) -> Document:
        document = documents.decode(message.payload, self.rules)
        limit = f"user_data and nonce at most {self.rules.max_optional_bytes} bytes"
        self.notebook.passed(2, f"module {shown(document.module_id)}, {len(document.pcrs)} PCRs", limit)
        return document

    def step_3_chain(self, document: Document) -> ec.EllipticCurvePublicKey:
        instant = chain_instant(self.time, document.signed_at)
        key = chain.verify(document, root=self.root, instant=instant, cache=self.cache)
        valid = f"{len(document.cabundle) + 1} certificates valid at {instant.isoformat()}"
        self.notebook.passed(3, self.root.name, valid, not_checked=("revocation (AWS offers none here)",))
        return key

    def step_4_signature(self, message: Sign1, key: ec.EllipticCurvePublicKey) -> None:
        cose.verify(message, key)
        self.notebook.passed(4, f"ECDSA P-384 with SHA-384 over {len(message.payload)} payload bytes as received")

    def step_5_time(self, document: Document, *, in_session: bool) -> None:
        leaf = document.certificate
        signed = f"signed {document.signed_at.isoformat()}, within the leaf's validity"
        check_signed_at(document.signed_at, leaf.not_before, leaf.not_after)
        if isinstance(self.time, Live):
            if in_session:  # the leaf is valid now (step 3): that bounds the document's age
                age = check_not_ahead(self.time, document.signed_at)
            else:
                age = check_age(self.time, document.signed_at, self.max_age)
            self.notebook.passed(5, signed, age)
        else:
            claim = f"freshness and replay: {type(self.time).__name__.lower()} time claims neither"
            self.notebook.passed(5, signed, not_checked=(claim,))

    def step_6_measurements(self, document: Document, policy: Policy) -> Release:
        release = measure(document, policy)
        pinned = sorted({*release.pcrs, *policy.pcrs})
        line = f"PCR {', '.join(map(str, pinned))} are those of release {release.commit[:12]}"
        others = [str(index) for index, value in document.pcrs.items() if any(value) and index not in pinned]
        unpinned = (f"PCR {', '.join(others)}: not zero, not in the policy",) if others else ()
        self.notebook.passed(6, line, "not debug mode, release not revoked", not_checked=unpinned)
        return release

    def step_7_binding(self, document: Document, given: Attestation) -> Statement:
        signed = modes.signed_user_data(document, given)
        if given.inclusion.size != signed.size:
            raise BindingError("inclusion size", got=given.inclusion.size, expected=signed.size)
        root = inclusion.root_of(inclusion.leaf_hash(given.statement), given.inclusion)
        if root != signed.root:
            raise BindingError("tree root", got=root, expected=signed.root)
        statement = statements.decode(given.statement)
        vouched = (session.of(document).check(statement),) if given.mode == modes.SESSION else ()
        stated = statement.result.fields if isinstance(statement.result, Result) else None
        if signed.fields is not None and stated != signed.fields:
            raise BindingError("user_data.fields", got=signed.fields, expected="the statement's result.fields")
        leaf = f"mode {given.mode}: leaf {given.inclusion.index} of {signed.size}, root {root.hex()[:16]}..."
        self.notebook.passed(7, *vouched, leaf, "statement is deterministic CBOR")
        return statement

    def step_8_statement(
        self, statement: Statement, reply: Reply, document: Document, accepted: Accepted, held: Held
    ) -> None:
        lines = [
            answer.check_origin(statement, accepted),
            *answer.check_mode(reply.attestation.mode, accepted.policy),
            *self._clock(statement, reply, document, accepted.release),
            *answer.check_challenge(statement, accepted.policy, held),
            *(answer.check_exchange(exchange, accepted.policy) for exchange in statement.exchanges),
            *answer.check_request(statement, held),
            *answer.check_shown(statement, reply, accepted.policy),
            *answer.check_held_body(statement.answer, held),
        ]
        self.notebook.passed(8, *lines, not_checked=answer.unchecked(statement, reply, accepted, held))

    def _clock(self, statement: Statement, reply: Reply, document: Document, release: Release) -> tuple[str, ...]:
        if reply.attestation.mode == modes.SESSION:
            within = session.check_time(statement, document, release)
            return (within, *session.check_fresh(statement, self.time, self.max_age))
        return (answer.check_clock(statement, document.timestamp_ms),)

    def step_9_legacy(self, statement: Statement, reply: Reply, document: Document) -> None:
        unsigned = "attestationId: only its form; the courier may choose it"
        self.notebook.passed(9, *legacy.check(reply, statement, document), not_checked=(unsigned,))
