"""The strict HTTP client: TLS ends here, and only complete, unambiguous messages leave.

Rule of this folder: an answer is whole or it is a failure. HTTP/1.1 is read by our own `head`, `bodies` and `response`,
which take less than lenient parsers do: what they accept, h11 reads as the same message, and a test holds them to it.
Nothing is repaired, followed, decompressed or silently sent twice.
"""
