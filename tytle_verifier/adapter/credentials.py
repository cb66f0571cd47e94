"""Which headers carry credentials: what may not leave unsealed where the policy says `sealed = "required"`.

The table is VERIFICATION.md's, "Sealed requests". A credential under another name, in a URL or in a body is not seen
here: whoever has one there seals everything, which is the adapter's default.
"""

from __future__ import annotations

from typing import Final

from requests import PreparedRequest

from tytle_verifier.adapter.errors import NotSendable
from tytle_verifier.errors import shown
from tytle_verifier.policy import Policy
from tytle_verifier.request import Request

CREDENTIAL_HEADERS: Final = frozenset(
    {
        *("authorization", "proxy-authorization", "cookie"),  # RFC 9110 11.6.2 and 11.7.2, RFC 6265 5.4
        *("api-key", "apikey", "x-api-key", "x-goog-api-key", "ocp-apim-subscription-key", "x-functions-key"),
        *("x-auth-token", "x-access-token", "x-session-token", "x-amz-security-token", "private-token"),
        *("x-auth-key", "x-secret-key"),
    }
)


def demand_none(asked: Request, policy: Policy, request: PreparedRequest) -> None:
    """Refuse a request that would carry a credential unsealed against the policy. Raises: NotSendable.

    The error names the headers, and holds no value.
    """
    if policy.sealed != "required":
        return
    found = sorted(name for name, _ in asked.headers if name.lower() in CREDENTIAL_HEADERS)
    if found:
        raise NotSendable(f"the policy demands sealed requests for {shown(', '.join(found))}", request=request)
