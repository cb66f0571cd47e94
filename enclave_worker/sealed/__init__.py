"""Sealed requests: what the parent carries and cannot read. HPKE (RFC 9180) to a key that lives in this enclave only.

The rule: from bytes that are not what a client of this service sealed to a current key, a short while ago and for the
first time, comes one of five refusals and nothing else. Format: VERIFICATION.md, "Sealed requests".
"""
