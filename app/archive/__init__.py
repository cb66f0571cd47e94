"""The evidence archive, optional: replies as they were handed out, and an append-only Merkle log over them.

Rule of this folder: nothing here delays or changes an answer. A reply is queued as bytes and saved by a thread; what
cannot be saved is counted and logged, never dropped in silence. Sealed answers never come here: their route has no
archive. SQL is spoken in `storage.py` alone; the format is in `entry.py` and `tree.py`, and in VERIFICATION.md, "The
archive's log".
"""
