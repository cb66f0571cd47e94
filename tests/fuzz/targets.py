"""Every target, by its name."""

from tests.fuzz import (
    callers,
    documents,
    frames,
    handlers,
    log,
    manifests,
    messages,
    nsm,
    replies,
    reports,
    sealed,
    statements,
    upstream,
    urls,
)
from tests.fuzz.target import Target

TARGETS: dict[str, Target] = {
    "frames": frames.TARGET,
    "messages": messages.TARGET,
    "reports": reports.TARGET,
    "urls": urls.TARGET,
    "manifests": manifests.TARGET,
    "upstream": upstream.TARGET,
    "nsm": nsm.TARGET,
    "statements": statements.TARGET,
    "documents": documents.TARGET,
    "replies": replies.TARGET,
    "sealed": sealed.TARGET,
    "handlers": handlers.TARGET,
    "log": log.TARGET,
    "callers": callers.TARGET,
}
