"""The replies to queries as JSON. `rawBody` is the base64 of the field elements, as the predecessor had it.

So the predecessor's formulas hold unchanged, and a verifier recomputes `responseHash` and `nonce` of any reply in one
way. `headers` is empty: the upstreams' are in the statement, for every call.
"""

import base64
import re
from typing import Any

from enclave_worker import reply
from enclave_worker.conclusion import Conclusion
from enclave_worker.reply import Evidence, Reply
from enclave_worker.upstream.exchange import Failure
from policy.rules import Allowed

FAILED_STATUS = 502  # RFC 9110 15.6.3: the upstream answered, and not with what was asked
_CAPITAL = re.compile(r"(?=[A-Z])")


def body_of(conclusion: Conclusion | Failure) -> bytes:
    """Return what `rawBody` says: the base64 text of the field elements, or nothing where there are none."""
    return base64.b64encode(conclusion.elements) if isinstance(conclusion, Conclusion) else b""


def attested(service: str, shown: Allowed, conclusion: Conclusion | Failure, evidence: Evidence) -> Reply:
    """Return the reply to a query whose last upstream call was `shown`, with its evidence."""
    body = body_of(conclusion)
    if isinstance(conclusion, Failure):
        return reply.of_attested(reply.failed(conclusion), reply.attestation(shown, evidence))
    result, text = conclusion.result, body.decode("ascii")
    fields: dict[str, Any] = {"success": result.error is None, "status": 200, "headers": {}, "rawBody": text}
    fields["bodyEncoding"] = "utf-8"
    if result.fields is None:
        fields |= {"status": FAILED_STATUS, "error": conclusion.problem, "code": result.error}
    else:
        headers = {header_name(service, name): plain for name, plain in conclusion.texts.items()}
        fields |= {"result": result.values, "bn254": text, "bn254Headers": headers}
    return reply.of_attested(fields, reply.attestation(shown, evidence, fields=result.fields))


def header_name(service: str, field: str) -> str:
    """Return the predecessor's name for a field's plaintext: `x-vies-address`, `x-stripe-data-hash`."""
    return f"x-{service.partition('-')[0]}-{_CAPITAL.sub('-', field).lower()}"
