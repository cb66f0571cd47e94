"""The paths for operators, load balancers and monitoring."""

from devstack.openapi.parts import (
    COUNT,
    EVERY_ANSWER,
    TEXT,
    TRUE,
    Part,
    answer,
    array,
    closed_object,
    header,
    operation,
    schema,
)

TAG = "operation"

LIVEZ = operation(
    "livez",
    TAG,
    "Whether the process answers.",
    gated=False,
    answers={"200": answer("It does.", closed_object({"alive": TRUE}))},
)

READYZ = operation(
    "readyz",
    TAG,
    "Whether every service has an enclave that is healthy and not drained.",
    gated=False,
    answers={
        "200": answer("It has.", schema("Ready")),
        "503": answer("It has not, or the process is stopping.", schema("Ready")),
    },
)

HEALTH = operation(
    "health",
    TAG,
    "What is known of each enclave.",
    description="Found out in the background; each finding has its age beside it.",
    gated=False,
    answers={
        "200": answer("Every service has a healthy enclave.", schema("Health")),
        "503": answer("A service has none.", schema("Health")),
    },
)

ROUTE = closed_object({"cid": COUNT, "port": COUNT, "hosts": array(TEXT)})
ROUTES = operation(
    "routes",
    TAG,
    "Which enclave serves which hosts.",
    answers={"200": answer("CID, port and hosts of each enclave.", closed_object({"routes": array(ROUTE)}))},
)

STATUS = operation(
    "status",
    TAG,
    "What the page at `/` shows. Wants the scope `metrics`.",
    description="Enclaves, the measurements that they claim, listed releases, and how questions ended.",
    answers={"200": answer("The state of this parent.", schema("Status"))},
)

METRICS = operation(
    "metrics",
    TAG,
    "Metrics of all processes of this parent, for Prometheus. Wants the scope `metrics`.",
    answers={
        "200": {
            "description": "In Prometheus' text format, or in OpenMetrics where that is asked for.",
            "headers": EVERY_ANSWER,
            "content": {"text/plain": {"schema": TEXT}, "application/openmetrics-text": {"schema": TEXT}},
        }
    },
)

PAGE = operation(
    "page",
    TAG,
    "A page for people: what `/status` says, and how to verify.",
    gated=False,
    answers={
        "200": answer(
            "The page.",
            TEXT,
            headers={**EVERY_ANSWER, "Content-Security-Policy": header("Policy")},
            media_type="text/html",
        )
    },
)

DESCRIPTION = operation(
    "description",
    TAG,
    "This description.",
    gated=False,
    answers={"200": answer("This description.", {"type": "object", "required": ["openapi", "paths"]})},
)

PATHS: Part = {
    "/livez": {"get": LIVEZ},
    "/readyz": {"get": READYZ},
    "/health": {"get": HEALTH},
    "/routes": {"get": ROUTES},
    "/status": {"get": STATUS},
    "/metrics": {"get": METRICS},
    "/": {"get": PAGE},
    "/openapi.json": {"get": DESCRIPTION},
}
