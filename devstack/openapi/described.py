"""The description as a whole."""

from devstack.openapi import answers, components, operations, questions, requested
from devstack.openapi.parts import Part

ABOUT = """\
The parent is a courier: nothing that it says is proof. Proof is in `attestation`; VERIFICATION.md says how to verify.

Where the operator lists callers, every path wants one but `/`, `/health`, `/livez`, `/readyz` and `/openapi.json`. \
Where none are listed, the parent listens on loopback or a unix socket only, and whoever reaches it may ask.

Every error of the parent has the form `Error`. A request whose head is malformed or too long is refused in that form \
before its path is known: 400, 414, 417, 431, 501. An unknown path is 404, another method 405 with `Allow`. HEAD is \
answered where GET is, OPTIONS everywhere with `Allow`."""

API: Part = {
    "openapi": "3.1.0",
    "info": {
        "title": "Tytle enclaves: the parent",
        "version": "1.0.0",
        "summary": "Attested answers from AWS Nitro Enclaves, relayed by a parent that nobody has to trust.",
        "description": ABOUT,
        "license": {"name": "AGPL-3.0-only", "identifier": "AGPL-3.0-only"},
    },
    "servers": [{"url": "/"}],
    "security": [{"bearer": []}, {"mutualTLS": []}],
    "tags": [
        {"name": "questions", "description": "Asked of an enclave, whose answer is relayed byte for byte."},
        {"name": "archive", "description": "Stored answers, and the Merkle log over them. Without an archive: 404."},
        {
            "name": operations.TAG,
            "description": "For operators, load balancers and monitoring. Hearsay: the parent's own word.",
        },
    ],
    "paths": {**questions.PATHS, **operations.PATHS},
    "components": {
        "securitySchemes": components.SECURITY,
        "parameters": components.PARAMETERS,
        "headers": components.HEADERS,
        "responses": components.RESPONSES,
        "schemas": {**requested.SCHEMAS, **answers.SCHEMAS},
    },
}
