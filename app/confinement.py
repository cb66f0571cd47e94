"""What the operating system may not do with the memory of this process: write it to a disk, show it to its own user.

The parent's memory holds requests in clear. RLIMIT_CORE alone is not enough: the kernel does not ask it where a core
dump goes to a program (core(5), core_pattern with a pipe). A process that is not dumpable is never dumped, and no
other process of its user reads its memory or environment (prctl(2), PR_SET_DUMPABLE; ptrace(2)). Root still may.
"""

import ctypes
import resource
import sys

PR_GET_DUMPABLE, PR_SET_DUMPABLE = 3, 4  # Linux include/uapi/linux/prctl.h


class NotConfined(Exception):
    """The operating system did not do what it was asked."""

    advice = "Look for a seccomp filter that refuses prctl or setrlimit."


def confine() -> None:
    """Forbid core dumps for good, here and in every process that comes from this one.

    Dumpability is Linux's: a program that this process starts (`exec`) has its own again.

    Raises:
        NotConfined: it did not happen.
    """
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (OSError, ValueError) as exc:
        raise NotConfined("core dumps cannot be forbidden") from exc
    if sys.platform == "linux":
        kernel = ctypes.CDLL(None)
        if kernel.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 or kernel.prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0:
            raise NotConfined("the process cannot be made undumpable")
