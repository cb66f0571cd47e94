"""What operations share: who may ask, parameters, headers, and the parent's errors with their codes."""

from devstack.openapi.parts import CHALLENGE, EVERY_ANSWER, TEXT, Part, header, hexadecimal, schema
from devstack.openapi.requested import CHALLENGE_PATTERN

SECURITY: Part = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "`Authorization: Bearer tytle_...` in the head of the request itself. Headers inside the JSON "
        "are the upstream's.",
    },
    "mutualTLS": {"type": "mutualTLS", "description": "A client certificate that the operator has listed."},
}


def _path(name: str, description: str, form: Part, example: str) -> Part:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": description,
        "schema": form,
        "example": example,
    }


def _query(
    name: str, description: str, form: Part, *, required: bool = False, example: str | int | None = None
) -> Part:
    said = {"name": name, "in": "query", "required": required, "description": description, "schema": form}
    return said if example is None else {**said, "example": example}


_UUID = "-".join(f"[0-9a-f]{{{digits}}}" for digits in (8, 4, 4, 4, 12))
_LEAF = "0b5b54718dadd833ec006f349488afd1a9dc0cca2d6e4c868294d2715f5a2b75"  # VERIFICATION.md, "The archive's log"

PARAMETERS: Part = {
    "ServiceName": _path("name", "The service.", {"type": "string", "pattern": "^[a-z0-9-]{1,32}$"}, "vies"),
    "Challenge": _query(
        "challenge",
        "Base64 of 16 to 64 bytes that the caller makes up; `-_` are accepted for `+/`.",
        {"type": "string", "pattern": CHALLENGE_PATTERN.replace("+/", "+/_-")},
        example=CHALLENGE,
    ),
    "AttestationId": _path(
        "attestationId",
        "`attestation.attestationId` of a reply.",
        {"type": "string", "pattern": f"^enc-{_UUID}$"},
        "enc-00000000-0000-4000-8000-000000000001",
    ),
    "Leaf": _query(
        "leaf", "The leaf's hash: `tytle-verify log leaf REPLY`.", hexadecimal(64), required=True, example=_LEAF
    ),
    "Size": _query("size", "Prove it in the first so many leaves; without it, in all.", schema("LeafCount")),
    "From": _query("from", "The older log's size.", schema("LeafCount"), required=True, example=0),
    "To": _query("to", "The newer log's size.", schema("LeafCount"), required=True, example=0),
}

HEADERS: Part = {
    "RequestId": {
        "required": True,
        "description": "The request's name in the parent's log: the `id` that its caller chose, or a UUID.",
        "schema": {"type": "string", "pattern": "^[!-~]{1,128}$"},
    },
    "NoStore": {
        "required": True,
        "description": "No answer may be stored by a cache.",
        "schema": {"const": "no-store"},
    },
    "Enclave": {
        "required": True,
        "description": "Service and CID of the enclave that answered, as the parent says.",
        "schema": {"type": "string", "pattern": "^[a-z0-9-]{1,32}/[0-9]{1,10}$"},
    },
    "EnclaveBoot": {
        "description": "The boot that answered, as the enclave said; the statement proves it.",
        "schema": hexadecimal(32),
    },
    "RetryAfter": {
        "required": True,
        "description": "Seconds, rounded up.",
        "schema": {"type": "integer", "minimum": 1, "maximum": 3600},
    },
    "Authenticate": {
        "required": True,
        "description": "RFC 6750, 3: with an error where a credential was shown.",
        "schema": {"enum": ["Bearer", 'Bearer error="invalid_token"']},
    },
    "Policy": {
        "required": True,
        "description": "Nothing is loaded from elsewhere, and no script runs but the page's own.",
        "schema": TEXT,
    },
}


def _error(description: str, codes: str, *, pattern: str = "", **headers: Part) -> Part:
    """Return an error's response. `codes` are those that it can have, with blanks between; `pattern` matches more."""
    code: Part = {"pattern": f"^({'|'.join(codes.split())}|{pattern})$"} if pattern else {"enum": codes.split()}
    form = {"allOf": [schema("Error"), {"properties": {"code": code}}]}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    content = {"application/json": {"schema": form}}
    return {"description": description, "headers": {**EVERY_ANSWER, **named}, "content": content}


_LATER = header("RetryAfter")

RESPONSES: Part = {
    "BadRequest": _error("A parameter is unknown, repeated or malformed.", "bad_request"),
    "OutOfRange": _error(
        "A parameter is unknown, repeated or malformed, or beyond the log.", "bad_request out_of_range"
    ),
    "BadQuestion": _error(
        "The body is not what it has to be; the code says where a rule for URL, method or headers is broken.",
        "bad_request",
        pattern=r"(url|method|header)\.[a-z-]+",
    ),
    "Unauthenticated": _error(
        "Nobody: no token or certificate, or one that is not known or has expired.",
        "unauthenticated",
        WWW_Authenticate=header("Authenticate"),
    ),
    "Forbidden": _error("The caller may not do this.", "scope.not-allowed service.not-allowed"),
    "QuestionForbidden": _error(
        "The caller may not ask this, or the service does not allow it; nothing was forwarded.",
        "scope.not-allowed service.not-allowed sealed.required mode.not-allowed",
    ),
    "NoEnclave": _error("No enclave serves this host or name.", "no_enclave not_found"),
    "NotFound": _error("There is no such thing, or it is not this caller's.", "not_found"),
    "Silent": _error("The rest of the request did not come for 10 s.", "request_timeout"),
    "TooLarge": _error("Over 10 MiB.", "too_large"),
    "NotJson": _error("Not JSON in UTF-8, or with a content coding.", "unsupported_media_type"),
    "TooMany": _error(
        "The caller's rate, or its number of questions under way.",
        "rate.exceeded concurrency.exceeded",
        Retry_After=_LATER,
    ),
    "Bug": _error("A defect of the parent's.", "internal_error"),
    "Unreachable": _error(
        "The enclave could not be reached, or answered with something else than a reply.",
        "enclave_unreachable bad_reply",
    ),
    "Busy": _error("No room at present.", "busy", Retry_After=_LATER),
    "BusyOrArchive": _error(
        "No room at present, or the archive's database does not answer.",
        "busy archive_unavailable",
        Retry_After=_LATER,
    ),
    "Deadline": _error("The caller's time is over.", "deadline"),
}
