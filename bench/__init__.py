"""Benchmarks: `make bench`, or `python -m bench`.

Rule of this room: performance is a ratio against a named peer, measured in the same run on the same machine, in
interleaved rounds (A B A B), and reported as the median of the rounds' ratios with their range. A peer is what people
would write or run instead, set up as well as we know how. It is never a timed test: a slow machine fails nothing.
What is measured is real: gunicorn, TLS, sockets, signatures. What is left out is said in the output.
"""
