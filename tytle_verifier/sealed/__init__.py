"""tytle_verifier.sealed: requests that only one verified enclave can read, and answers that only their asker can.

    client = SealedClient(policy=policy, ask=ask, clock=live, random=secrets.token_bytes)
    call = client.seal(request_json)           # the body of POST /attest/fetch; asks for the identity when needed
    reply = call.open(post(call.data))         # the body of POST /attest/sealed and its answer; then verify_reply

The rule: nothing is sealed to a key that no verified document vouches for, nothing is sealed twice, and nothing here
sends: `ask` does, with a challenge and no secret. The specification is VERIFICATION.md, "Sealed requests". Needed in
memory and never erased, because Python cannot: the request, its answer and the reply key.

Keys, and what HPKE draws, come from the generator of `cryptography`; a caller's `random` makes challenges and no keys.
"""

from tytle_verifier.sealed.client import Identities, SealedClient
from tytle_verifier.sealed.envelope import SealedCall, seal
from tytle_verifier.sealed.verification import VerifiedIdentity, verify_identity

__all__ = ["Identities", "SealedCall", "SealedClient", "VerifiedIdentity", "seal", "verify_identity"]
