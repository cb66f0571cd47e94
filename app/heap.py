"""How the C library keeps memory that Python has given back: for a process of many threads that live long.

As shipped, glibc opens a heap for each of many threads, and after the first large answer it keeps as much at the end of
each. A parent then climbs for as long as it lives, to what all its threads held at their largest. Without glibc nothing
is done.
"""

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # malloc.h
HEAPS = 2  # threads take turns by Python's lock anyway
LARGE_BYTES = 2 << 20  # from here on a block is a mapping of its own, which goes back to the system when it is freed
# (with 1 MiB, what gunicorn receives at once of a body was one each time: bench/README.md, "Memory")


def keep_small() -> bool:
    """Set the C library so, for heaps that are yet to be opened. Returns whether it took it."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # not glibc
        return False
    wanted = ((_M_ARENA_MAX, HEAPS), (_M_MMAP_THRESHOLD, LARGE_BYTES), (_M_TRIM_THRESHOLD, LARGE_BYTES))
    taken = [mallopt(name, value) for name, value in wanted]
    return all(taken)
