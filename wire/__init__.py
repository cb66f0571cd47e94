"""Bytes between the parent and the worker: addresses, frames, messages.

Rule of this room: frames and messages are computed without I/O; only `sockets.py` touches a socket. Both ends
read with the same grammar, and the worker trusts nothing that the parent has already checked. The format is
described in ARCHITECTURE.md, "Frames".
"""
