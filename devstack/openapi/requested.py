"""The schemas of what callers send. Each is as strict as `wire/`, as far as a schema can be."""

from devstack.openapi.parts import TEXT, TEXT_OR_NULL, Part, closed_object, hexadecimal, schema

_FOUR, _THREE, _TWO = "[A-Za-z0-9+/]{4}", "[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=", "[A-Za-z0-9+/][AQgw]=="
BASE64_PATTERN = f"^(?:{_FOUR})*(?:{_THREE}|{_TWO})?$"  # canonical: no stray bits before the padding
CHALLENGE_PATTERN = f"^(?:(?:{_FOUR}){{6,21}}|(?:{_FOUR}){{5,20}}{_THREE}|(?:{_FOUR}){{5,21}}{_TWO})$"  # 16 to 64 bytes
NAME: Part = {"type": "string", "minLength": 1, "maxLength": 64}
SHARED: Part = {
    "challenge": schema("CallersChallenge"),
    "mode": schema("Mode"),
    "timeoutMs": schema("TimeoutMs"),
    "id": schema("Id"),
}

SCHEMAS: Part = {
    "Base64": {"type": "string", "pattern": BASE64_PATTERN},
    "CallersChallenge": {
        "type": ["string", "null"],
        "description": "Base64 of 16 to 64 bytes, repeated in the statement: the answer is no older than the question.",
        "pattern": CHALLENGE_PATTERN,
    },
    "Id": {
        "type": ["string", "null"],
        "description": "Names the request in the log and in the statement; where empty or null, a UUID is made.",
        "pattern": "^[!-~]{0,128}$",
    },
    "Mode": {
        "description": "How the answer is signed; null is `document`. A service may allow fewer.",
        "enum": ["document", "batch", "session", None],
    },
    "TimeoutMs": {
        "type": ["integer", "null"],
        "description": "How long the caller waits; 30000 unless the operator has set another time.",
        "minimum": 1,
        "maximum": 120_000,
    },
    "Fetch": closed_object(
        {
            "url": {
                "type": "string",
                "description": "Absolute, with a lower-case host; no user, address, fragment or dot segment.",
                "minLength": 1,
            },
            "method": {"type": "string", "pattern": "^[A-Z0-9!#$%&'*+.^_`|~-]{1,32}$"},
            "headers": {
                "type": ["object", "null"],
                "description": "Each name once, in any case.",
                "additionalProperties": TEXT,
            },
            "body": TEXT_OR_NULL,
            "bodyEncoding": {"description": "What `body` is.", "enum": ["utf-8", "base64"]},
            **SHARED,
        },
        optional="headers body bodyEncoding challenge mode timeoutMs id",
    ),
    "Query": closed_object(
        {
            "service": NAME,
            "operation": {**NAME, "description": "One that the service's manifest declares."},
            "params": {"type": "object", "description": "The operation's parameters, at most 8 levels deep."},
            "schema": {
                **NAME,
                "type": ["string", "null"],
                "description": "The schema of the answer: ours, or the predecessor's record.",
            },
            **SHARED,
        },
        optional="schema challenge mode timeoutMs id",
    ),
    "SealedCall": closed_object(
        {
            "service": TEXT,
            "keyId": hexadecimal(64, "SHA-256 of the enclave's public key."),
            "sealed": schema("Base64"),
            "timeoutMs": schema("TimeoutMs"),
        },
        optional="timeoutMs",
    ),
}
