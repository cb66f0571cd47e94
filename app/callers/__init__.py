"""Who may ask, and how that is proved: a bearer token, or a client certificate.

Rule of this room: a token is known here by its SHA-256 alone, in files and in memory, and no message holds one. What is
not proved is nobody: there is no default caller where callers are configured.
"""
