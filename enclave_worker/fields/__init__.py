"""Field elements: typed values as words for zero-knowledge circuits over BN254. Pure; written once, never read back.

The rule: a value that has no exact place in its word is refused, never cut or reduced; only a digest is taken modulo
the field's order. `versioned` is our own format, `records` the predecessor's, kept for circuits that were made for it.
"""
