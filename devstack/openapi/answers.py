"""The schemas of what enclaves answer, what the archive keeps, and what the parent says of itself."""

from devstack.openapi.parts import (
    COUNT,
    COUNT_OR_NULL,
    FALSE,
    TEXT,
    TEXT_OR_NULL,
    TRUE,
    YES_OR_NO,
    Part,
    array,
    closed_object,
    hexadecimal,
    open_object,
    schema,
)

NONE: Part = {"type": "null"}
ROUTE: Part = {"enum": ["fetch", "query", "sealed"]}
TEXTS: Part = {"type": "object", "additionalProperties": TEXT}


def _base64(description: str) -> Part:
    return {"allOf": [schema("Base64"), {"description": description}]}


ERROR: Part = {
    "Error": closed_object(
        {"success": FALSE, "error": {"type": "string", "minLength": 1}, "code": TEXT, "requestId": TEXT},
        description="An error of the parent. `error` is for people, `code` for programs.",
    )
}

OF_ENCLAVES: Part = {
    "Refusal": open_object(
        {
            "success": FALSE,
            "status": {"enum": [400, 403, 404, 409, 502, 503]},
            "error": TEXT,
            "code": {"type": "string", "description": "Where a rule refused, for programs."},
            "attestation": False,
        },
        optional="code attestation",
        description="The enclave's refusal, without attestation: nothing was fetched, or nothing may be handed out.",
    ),
    "Fetched": open_object(
        {
            "success": {"type": "boolean", "description": "Whether there is an answer or a result."},
            "status": {
                "type": "integer",
                "description": "The upstream's; 502 or 504 where there is no answer.",
                "minimum": 100,
                "maximum": 599,
            },
            "headers": TEXTS,
            "rawBody": TEXT,
            "bodyEncoding": {"enum": ["utf-8", "base64"]},
            "error": TEXT,
            "code": TEXT,
            "result": False,
            "attestation": schema("Attestation"),
        },
        optional="error code result",
        description="An attested answer, or an attested failure.",
    ),
    "Derived": open_object(
        {
            "success": TRUE,
            "status": {"const": 200},
            "headers": {"type": "object"},
            "rawBody": schema("Base64"),
            "bodyEncoding": {"const": "utf-8"},
            "result": {
                "type": "object",
                "description": "The statement's values.",
                "additionalProperties": {"type": ["string", "integer", "boolean", "null"]},
            },
            "bn254": schema("Base64"),
            "bn254Headers": TEXTS,
            "attestation": {"allOf": [schema("Attestation"), {"required": ["bn254Hash"]}]},
        },
        description="Attested values.",
    ),
    "Attestation": open_object(
        {
            "attestationId": TEXT,
            "responseHash": hexadecimal(64),
            "requestHash": hexadecimal(64),
            "apiEndpoint": TEXT,
            "apiMethod": TEXT,
            "timestamp": {"type": "integer", "description": "Unix seconds."},
            "nsmDocument": _base64("Signed by the Nitro Secure Module."),
            "pcrs": schema("Pcrs"),
            "nonce": TEXT_OR_NULL,
            "statement": _base64("What is attested, in deterministic CBOR."),
            "mode": {"enum": ["document", "batch", "session"]},
            "inclusion": open_object({"index": COUNT, "size": COUNT, "path": array(TEXT)}),
            "session": schema("Base64"),
            "bn254Hash": hexadecimal(64),
        },
        optional="inclusion session bn254Hash",
        description="The evidence. Fields beside `statement`, `nsmDocument`, `inclusion` and `session` prove nothing.",
    ),
    "Pcrs": {
        "type": "object",
        "description": "Measurements by name, in hex; one that is all zero is absent.",
        "propertyNames": {"pattern": "^pcr[0-9]{1,2}$"},
        "additionalProperties": hexadecimal(96),
    },
    "Sealed": closed_object({"sealed": schema("Base64")}, description="For whoever has the reply key."),
    "Identity": open_object(
        {
            "success": TRUE,
            "service": TEXT,
            "identity": schema("Base64"),
            "nsmDocument": schema("Base64"),
            "pcrs": schema("Pcrs"),
        }
    ),
}

OF_THE_ARCHIVE: Part = {
    "Hash": hexadecimal(64),
    "LeafCount": {"type": "integer", "minimum": 0, "maximum": 999_999_999_999_999_999},
    "LogHead": closed_object(
        {
            "size": COUNT,
            "root": schema("Hash"),
            "time": {"type": ["integer", "null"], "description": "When the last leaf was stored, ms since 1970."},
        }
    ),
    "Inclusion": closed_object({"index": COUNT, "size": COUNT, "root": schema("Hash"), "path": array(schema("Hash"))}),
    "Consistency": closed_object({"from": COUNT, "to": COUNT, "path": array(schema("Hash"))}),
    "Gone": closed_object(
        {
            "success": FALSE,
            "error": TEXT,
            "code": {"const": "gone"},
            "requestId": TEXT,
            "attestationId": TEXT,
            "sha256": schema("Hash"),
            "leaf": schema("Hash"),
            "proof": {"oneOf": [schema("Inclusion"), NONE]},
        }
    ),
}

OF_THE_PARENT: Part = {
    "Ready": closed_object({"ready": YES_OR_NO, "stopping": YES_OR_NO, "missing": array(TEXT)}),
    "Health": closed_object(
        {"healthy": YES_OR_NO, "degraded": YES_OR_NO, "enclaves": array(schema("Enclave")), "timestamp": COUNT}
    ),
    "Enclave": open_object(
        {
            "service": TEXT,
            "cid": COUNT,
            "hosts": array(TEXT),
            "state": {"type": "string", "description": "What nitro-cli says; without it, what follows from a ping."},
            "connectivity": {"enum": ["responsive", "unresponsive"]},
            "healthy": YES_OR_NO,
            "stateAgeMs": COUNT_OR_NULL,
            "debug": {"type": ["boolean", "null"]},
            "pingMs": COUNT_OR_NULL,
            "pingAgeMs": COUNT_OR_NULL,
            "boot": {"type": ["string", "null"], "pattern": "^[0-9a-f]{32}$"},
            "nsm": {"enum": ["fresh", "failing", "stale", "unknown"]},
            "nsmAgeMs": COUNT_OR_NULL,
            "rightService": YES_OR_NO,
            "ejected": YES_OR_NO,
            "draining": YES_OR_NO,
            "inFlight": COUNT,
            "idleConnections": COUNT,
        },
        description="What this process of the parent knows of one enclave.",
    ),
    "Status": closed_object(
        {
            "timestamp": COUNT,
            "source": {**TEXT_OR_NULL, "description": "Where this software's source is, as the operator says."},
            "services": array(schema("Service")),
            "outcomes": array(schema("Outcome"), "Questions since this parent started, summed over its processes."),
            "recent": schema("Recent"),
        }
    ),
    "Service": closed_object(
        {
            "name": TEXT,
            "hosts": array(TEXT),
            "releases": array(schema("Release")),
            "releasesProblem": {**TEXT_OR_NULL, "description": "Why the file of releases could not be read."},
            "enclaves": array(
                {
                    "allOf": [schema("Enclave")],
                    "required": ["claimed"],
                    "properties": {"claimed": {"oneOf": [schema("Claim"), NONE]}},
                }
            ),
        }
    ),
    "Release": closed_object(
        {"commit": TEXT, "pcrs": schema("Pcrs"), "revoked": YES_OR_NO},
        description="A release in services/NAME.pcrs.toml of this host.",
    ),
    "Claim": closed_object(
        {"pcrs": schema("Pcrs"), "boot": hexadecimal(32), "ageMs": COUNT},
        description="What the enclave's identity says, unverified.",
    ),
    "Outcome": closed_object({"service": TEXT, "route": ROUTE, "outcome": TEXT, "count": COUNT}),
    "Recent": closed_object(
        {
            "process": {"type": "integer", "description": "The one process of the parent whose questions these are."},
            "questions": array(
                closed_object({"time": COUNT, "service": TEXT, "route": ROUTE, "outcome": TEXT, "ms": COUNT})
            ),
        }
    ),
}

SCHEMAS: Part = {**ERROR, **OF_ENCLAVES, **OF_THE_ARCHIVE, **OF_THE_PARENT}
