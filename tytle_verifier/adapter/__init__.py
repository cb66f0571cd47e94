"""tytle_verifier.adapter: `requests` through the enclave, for any program that takes a session.

    session = attest_only(requests.Session(), {"https://ec.europa.eu/": AttestedAdapter(parent=PARENT, policy=POLICY)})
    response = session.get("https://ec.europa.eu/...")  # an ordinary Response, verified, or an exception
    attestation_of(response).reply                      # the evidence: archive it

The rule: a body, status, header or cookie that reaches the caller was verified (steps 0-9) against what the caller
asked; everything else is an exception of `requests` (see `errors`) that carries no part of the answer, but for what
`requests` itself quotes of a parent that does not speak HTTP. What the caller
sees is made from the signed statement, not from the JSON around it. This folder needs `requests`; the rest of
tytle_verifier does not.

Requests are sealed to an enclave whose identity was verified first (`sealing`); nothing that a parent says makes the
adapter send one in clear. `sealed=False` does, for recorded replies and for parents whose operator may read along.

Differences from a plain session, each explained where it is made:

- answers are read whole before they are handed out; `stream=True` works and saves no memory (`transport`);
- `proxies`, `verify` and `cert` concern the way to the parent; the enclave judges the upstream's TLS (`transport`);
- request bodies are read whole, up to 10 MiB; the session's default Accept-Encoding is not sent (`call`);
- the reason phrase is the standard one: it is not signed (`response`);
- cookies are kept and sent back as usual, and an enclave whose policy does not list Cookie refuses them: give such a
  session `session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))`;
- redirects are followed by the session, one attested call per hop; a plain `session.mount` lets a redirect (or a URL
  spelt with a port or a user name) leave unattested through the session's other adapters, `attest_only` does not.
"""

from tytle_verifier.adapter.errors import (
    ConnectionFailureAttested,
    DeadlinePassed,
    FailureAttested,
    IdentityNotVerified,
    KeyRetired,
    NoAnswer,
    NotSendable,
    NotVerified,
    Refused,
    TimeoutAttested,
    TlsFailureAttested,
    Unavailable,
)
from tytle_verifier.adapter.response import Attestation, attestation_of
from tytle_verifier.adapter.session import RefuseUnattested, attest_only
from tytle_verifier.adapter.transport import AttestedAdapter

__all__ = [
    "Attestation",
    "AttestedAdapter",
    "ConnectionFailureAttested",
    "DeadlinePassed",
    "FailureAttested",
    "IdentityNotVerified",
    "KeyRetired",
    "NoAnswer",
    "NotSendable",
    "NotVerified",
    "RefuseUnattested",
    "Refused",
    "TimeoutAttested",
    "TlsFailureAttested",
    "Unavailable",
    "attest_only",
    "attestation_of",
]
