"""What the operating system of the enclave is asked and told at start. Every function returns what it found, or raises.

Linux only. The folders are arguments for tests; in an image they are the defaults.
"""

import fcntl
import os
import resource
import struct
from collections.abc import Callable
from pathlib import Path

RNG_CURRENT = Path("/sys/class/misc/hw_random/rng_current")
ENTROPY_POOL = Path("/dev/urandom")
PROC_SELF = Path("/proc/self")

RNDADDENTROPY = 0x40085203  # linux/random.h: _IOW('R', 3, int[2]); takes struct rand_pool_info
RNDRESEEDCRNG = 0x5207  # linux/random.h: _IO('R', 7)

Ioctl = Callable[[int, int, bytes], object]


class SystemRefused(Exception):
    """The operating system is not in the state that the worker needs. The message says got and expected."""

    advice = "Boot the image in a Nitro enclave, with the kernel that its release names."


def current_rng(path: Path = RNG_CURRENT) -> str:
    """Return the name of the kernel's hardware random number generator.

    Raises:
        SystemRefused: the kernel has none, or sysfs is not mounted.
    """
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise SystemRefused(f"{path} cannot be read: the kernel has no hardware random number generator") from exc


def mix_entropy(data: bytes, path: Path = ENTROPY_POOL, *, ioctl: Ioctl = fcntl.ioctl) -> None:
    """Mix `data` into the kernel's entropy pool, credited in full, and have the generator draw its next key from there.

    What is only written reaches the generator when it is reseeded anyway, up to minutes later, and so does what is
    credited to one that is ready (drivers/char/random.c; before Linux 5.12 the second call reseeds from itself). Both
    calls need CAP_SYS_ADMIN. `ioctl` is for tests.

    Raises:
        SystemRefused: the pool cannot be opened, or the kernel refuses.
    """
    pool_info = struct.pack("ii", 8 * len(data), len(data)) + data  # entropy in bits, size in bytes, the bytes
    try:
        with path.open("r+b", buffering=0) as pool:
            ioctl(pool.fileno(), RNDADDENTROPY, pool_info)
            ioctl(pool.fileno(), RNDRESEEDCRNG, b"")
    except OSError as exc:
        raise SystemRefused(f"{path} takes no entropy: {exc.strerror}") from exc


def forbid_core_dumps() -> None:
    """Set the limit for core files to zero, for good."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if resource.getrlimit(resource.RLIMIT_CORE) != (0, 0):
        raise SystemRefused("core dumps cannot be forbidden")


def clear_environment() -> int:
    """Remove every environment variable; return how many there were. Proxies, traces and library paths hide there."""
    count = len(os.environ)
    os.environ.clear()
    return count


def keep_to_one_cpu() -> int:
    """Run on one CPU from now on, this thread and those that it will start; return its number.

    Python runs one thread at a time. On several CPUs each change of threads wakes another CPU with cold caches, which
    cost a quarter of the worker's CPU time. Any CPU will do: by process id, so that workers of one host spread.
    """
    cpus = sorted(os.sched_getaffinity(0))
    chosen = cpus[os.getpid() % len(cpus)]
    os.sched_setaffinity(0, {chosen})
    return chosen


def drop_privileges(uid: int) -> None:
    """Become `uid` with the group of the same number and no others, for good.

    Raises:
        SystemRefused: it did not happen, or could be undone.
    """
    try:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    except OSError as exc:
        raise SystemRefused(f"cannot become uid {uid}: {exc.strerror}") from exc
    if os.getresuid() != (uid, uid, uid) or os.getresgid() != (uid, uid, uid) or os.getgroups() not in ([], [uid]):
        raise SystemRefused(f"uid and groups are {os.getresuid()}, {os.getgroups()}, expected {uid} alone")


def check_not_dumpable(proc: Path = PROC_SELF) -> None:
    """Check that no other process of this uid may read our memory.

    The kernel clears the dumpable flag when a process gives up its uid (prctl(2), PR_SET_DUMPABLE), and then gives its
    files in /proc to root (proc(5)); that is what is looked at.

    Raises:
        SystemRefused: the process is dumpable, or /proc is not mounted.
    """
    try:
        owner = (proc / "environ").stat().st_uid
    except OSError as exc:
        raise SystemRefused(f"{proc} cannot be read: {exc.strerror}") from exc
    if owner != 0:
        raise SystemRefused(f"the process is dumpable: {proc}/environ belongs to uid {owner}, expected 0")
