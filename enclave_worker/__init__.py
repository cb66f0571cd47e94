"""The measured program: one enclave, one service, one image.

Rule of this room: everything here is covered by PCR0 and reads nothing of its surroundings but the folder it was
built into. Sockets are touched in `server.py` and `upstream/`, TLS in `upstream/` only. What it trusts (roots, NSM,
policy, clock) is handed to `worker.Worker` as arguments; only `__main__.py` chooses them.
"""
