"""The paths that ask an enclave, and the archive's."""

from devstack.openapi.parts import (
    CHALLENGE,
    RELAYED,
    Part,
    answer,
    body,
    operation,
    parameters,
    schema,
)

ASKED = {
    "400": "BadQuestion",
    "403": "QuestionForbidden",
    "404": "NoEnclave",
    "408": "Silent",
    "413": "TooLarge",
    "415": "NotJson",
    "502": "Unreachable",
    "504": "Deadline",
}
ARCHIVED = {**ASKED, "503": "BusyOrArchive"}
STORED = {"400": "BadRequest", "404": "NotFound", "503": "BusyOrArchive"}
PROVED = {**STORED, "400": "OutOfRange"}
SAID = "What the enclave said."
URL = "https://ec.europa.eu/taxation_customs/vies/rest-api/ms/PT/vat/507172230"

FETCH = operation(
    "attestFetch",
    "questions",
    "Have an enclave fetch a URL, and attest what came back.",
    description="200 whenever an enclave answered: with an attested answer, an attested failure, or a refusal without "
    "attestation. At most 10 MiB of JSON.",
    requestBody=body(
        "Fetch", "vies", "A VAT number, asked of VIES", {"url": URL, "method": "GET", "challenge": CHALLENGE}
    ),
    answers={"200": answer(SAID, schema("Fetched"), schema("Refusal"), headers=RELAYED)},
    refusals=ARCHIVED,
)

QUERY = operation(
    "attestQuery",
    "questions",
    "Ask a service for values, attested together with every upstream call that they follow from.",
    description="200 whenever an enclave answered. `success` false with an attestation: the upstream was asked, and "
    "there is no result. At most 10 MiB of JSON.",
    requestBody=body(
        "Query",
        "vies",
        "The same as values",
        {
            "service": "vies",
            "operation": "vies.check_vat_rest",
            "params": {"countryCode": "PT", "vatNumber": "507172230"},
            "challenge": CHALLENGE,
        },
    ),
    answers={"200": answer(SAID, schema("Derived"), schema("Fetched"), schema("Refusal"), headers=RELAYED)},
    refusals=ARCHIVED,
)

SEALED = operation(
    "attestSealed",
    "questions",
    "Hand over a fetch or a query that only the enclave can read.",
    description='How to seal it: VERIFICATION.md, "Sealed requests". The answer comes sealed too; a refusal of what '
    "could not be opened comes in clear.",
    requestBody=body(
        "SealedCall",
        "form",
        "The form alone: no enclave has this key",
        {"service": "vies", "keyId": "00" * 32, "sealed": "AAAA"},
    ),
    answers={"200": answer(SAID, schema("Sealed"), schema("Refusal"), headers=RELAYED)},
    refusals=ASKED,
)

IDENTITY = operation(
    "enclaveIdentity",
    "questions",
    "Ask an enclave of a service who it is, under a challenge.",
    description="Which of several enclaves answers is in `X-Enclave`. What proves anything is `nsmDocument`: "
    "`tytle-verify identity`.",
    parameters=parameters("ServiceName", "Challenge"),
    answers={"200": answer(SAID, schema("Identity"), schema("Refusal"), headers=RELAYED)},
    refusals={"400": "BadRequest", "404": "NoEnclave", "502": "Unreachable", "504": "Deadline"},
)

ATTESTATION = operation(
    "storedAttestation",
    "archive",
    "A stored answer, byte for byte as it was handed out.",
    description="To whoever asked for it, or has the scope `archive`; what a caller may not read is answered as what "
    "does not exist.",
    parameters=parameters("AttestationId"),
    answers={
        "200": answer("The reply.", schema("Derived"), schema("Fetched")),
        "410": answer("Retention removed the bytes; the log still has the leaf.", schema("Gone")),
    },
    refusals=STORED,
)

HEAD = operation(
    "logHead",
    "archive",
    "How many leaves the log has, and their root.",
    answers={"200": answer("The head.", schema("LogHead"))},
    refusals=STORED,
)

PROOF = operation(
    "logProof",
    "archive",
    "The proof that a leaf is in the log (RFC 9162, 2.1.3).",
    parameters=parameters("Leaf", "Size"),
    answers={"200": answer("The proof.", schema("Inclusion"))},
    refusals=PROVED,
)

CONSISTENCY = operation(
    "logConsistency",
    "archive",
    "The proof that an older log is the beginning of a newer one (RFC 9162, 2.1.4).",
    parameters=parameters("From", "To"),
    answers={"200": answer("The proof.", schema("Consistency"))},
    refusals=PROVED,
)

PATHS: Part = {
    "/attest/fetch": {"post": FETCH},
    "/attest/query": {"post": QUERY},
    "/attest/sealed": {"post": SEALED},
    "/enclaves/{name}/identity": {"get": IDENTITY},
    "/attestations/{attestationId}": {"get": ATTESTATION},
    "/log/head": {"get": HEAD},
    "/log/proof": {"get": PROOF},
    "/log/consistency": {"get": CONSISTENCY},
}
