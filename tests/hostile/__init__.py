"""Hostile upstreams: a server that plays scripts byte for byte, and the corpus of scripts with outcomes.

Rule: a case is data. What the server does is in its script, what a strict client must make of it is in
its expectation, and why is an RFC section beside it; neither knows the client.
"""
