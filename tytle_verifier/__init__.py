"""tytle_verifier: the relying party. Checks attested answers offline, against what it decided beforehand.

The room's rule: it shares no code with what it verifies, trusts no byte it is given, and reads no clock, environment,
file or network by itself (`clock` and the command line are the edges). A check returns the checked value or raises.

    from tytle_verifier import Archive, load_policy, verify_reply

    verified = verify_reply(reply_bytes, policy=load_policy(policy_bytes), time=Archive())
    verified.response.status, verified.body, verified.report.not_checked

The specification is VERIFICATION.md; steps have the same numbers there, in `verify`, in errors and on the command line.
"""

from tytle_verifier.chain import LinkCache
from tytle_verifier.clock import live
from tytle_verifier.derive import Derived, derive
from tytle_verifier.document import Document, Rules
from tytle_verifier.errors import (
    AttestedFailure,
    BindingError,
    ChainError,
    CoseError,
    DebugModeError,
    DerivationError,
    DocumentError,
    IdentityBusy,
    InputError,
    LegacyError,
    LogError,
    MeasurementError,
    NotAttested,
    NotOpened,
    PolicyError,
    SealedAnswerError,
    SignatureError,
    StatementError,
    TimeError,
    UnknownKey,
    VerificationError,
    VerifierError,
)
from tytle_verifier.policy import Policy, Release, TlsDemands
from tytle_verifier.policy_file import load as load_policy
from tytle_verifier.report import Report, Step
from tytle_verifier.request import Query, Request
from tytle_verifier.request import decode as load_request
from tytle_verifier.request import decode_query as load_query
from tytle_verifier.roots import AWS_ROOT, AwsRoot, Root, TestPkiRoot
from tytle_verifier.sealed import SealedCall, SealedClient, VerifiedIdentity, verify_identity
from tytle_verifier.statement import (
    Digest,
    Exchange,
    Failure,
    NoResult,
    Response,
    Result,
    SentRequest,
    Statement,
    Upstream,
)
from tytle_verifier.verify import VerifiedDocument, VerifiedReply, verify_document, verify_reply
from tytle_verifier.when import Archive, At, Live, Time

__all__ = [
    "AWS_ROOT",
    "Archive",
    "At",
    "AttestedFailure",
    "AwsRoot",
    "BindingError",
    "ChainError",
    "CoseError",
    "DebugModeError",
    "DerivationError",
    "Derived",
    "Digest",
    "Document",
    "DocumentError",
    "Exchange",
    "Failure",
    "IdentityBusy",
    "InputError",
    "LegacyError",
    "LinkCache",
    "Live",
    "LogError",
    "MeasurementError",
    "NoResult",
    "NotAttested",
    "NotOpened",
    "Policy",
    "PolicyError",
    "Query",
    "Release",
    "Report",
    "Request",
    "Response",
    "Result",
    "Root",
    "Rules",
    "SealedAnswerError",
    "SealedCall",
    "SealedClient",
    "SentRequest",
    "SignatureError",
    "Statement",
    "StatementError",
    "Step",
    "TestPkiRoot",
    "Time",
    "TimeError",
    "TlsDemands",
    "UnknownKey",
    "Upstream",
    "VerificationError",
    "VerifiedDocument",
    "VerifiedIdentity",
    "VerifiedReply",
    "VerifierError",
    "derive",
    "live",
    "load_policy",
    "load_query",
    "load_request",
    "verify_document",
    "verify_identity",
    "verify_reply",
]
