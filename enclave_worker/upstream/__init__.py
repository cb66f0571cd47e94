"""The strict HTTP client: TLS ends here, and only complete, unambiguous messages leave.

Rule of this folder: an answer is whole or it is a failure. RFC 9112 is parsed by `h11`; `strict.py` refuses what h11
forgives. Nothing is repaired, followed, decompressed or silently sent twice.
"""
