"""What may be fetched: the URL, method and header grammars, the manifests of `services/`, and the decision.

Rule of this room: pure functions. No I/O, no clock, no environment, nothing but the standard library. The parent
calls this code to route and to fail early; the enclave calls the same code again and believes nothing that the
parent decided. What does not fit the grammar is refused, never repaired: the text that was checked is the text
that is sent and attested.
"""
