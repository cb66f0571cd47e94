#!/usr/bin/python3.11 -ISB
"""/init: the first program in an enclave. Mounts, loads drivers, starts the worker, and ends the enclave with it.

In order: /dev, /proc, /sys, /tmp, /run; drivers of /drivers, where there are any; /dev/nsm and AF_VSOCK must work;
root becomes read-only; one heartbeat to the host; the worker, with an empty environment, as a child. When the worker
ends, or anything here fails, the machine is reset, and with it the enclave is over: nothing is ever started again here.

No argument is read, no variable, no file but the drivers. There is no shell and no way in. -I and -S leave Python
without environment, user folders and site packages, -B without written bytecode.
"""

import ctypes
import os
import socket
import stat
import sys

WORKER = ("/usr/bin/python3.11", "-IB", "-m", "enclave_worker")  # the same words as ENTRYPOINT in Dockerfile.enclave

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32  # linux/mount.h
MOUNTS = (
    ("devtmpfs", "/dev", MS_NOSUID | MS_NOEXEC, None),
    ("proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, None),
    ("sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, None),
    ("tmpfs", "/tmp", MS_NOSUID | MS_NODEV | MS_NOEXEC, b"size=16m,mode=1777"),  # noqa: S108 (a mount point)
    ("tmpfs", "/run", MS_NOSUID | MS_NODEV | MS_NOEXEC, b"size=1m,mode=0755"),
)
# Each needs those before it. AWS's kernel has all but nsm built in; whether one is needed, boot() finds out by use.
DRIVERS = ("virtio_mmio", "vsock", "vmw_vsock_virtio_transport_common", "vmw_vsock_virtio_transport", "nsm")
SYS_FINIT_MODULE = {"x86_64": 313, "aarch64": 273}  # asm/unistd.h
RB_AUTOBOOT = 0x01234567  # linux/reboot.h. Not power-off: enclaves have no ACPI and would hang; a reset ends them.

PARENT_CID, HEARTBEAT_PORT, HEARTBEAT = 3, 9000, b"\xb7"  # init.c of aws/aws-nitro-enclaves-sdk-bootstrap
HEARTBEAT_SECONDS = 5.0

libc = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    """Run once, as process 1."""
    try:
        boot()
        say(f"init: worker ended with status {status_of(start(WORKER))}")
    except BaseException as error:  # noqa: BLE001 (the edge of the machine: whatever it is, it ends here)
        say(f"init: {type(error).__name__}: {error}")
    os.sync()
    libc.reboot(RB_AUTOBOOT)


def boot() -> None:
    """Make the machine ready for the worker, or raise."""
    for kind, target, flags, options in MOUNTS:
        mount(kind, target, flags, options)
    for name in DRIVERS:
        load(f"/drivers/{name}.ko")
    if not stat.S_ISCHR(os.stat("/dev/nsm").st_mode):
        raise OSError("/dev/nsm is no device")
    socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM).close()
    mount("rootfs", "/", MS_REMOUNT | MS_RDONLY, None)
    say(f"init: {heartbeat()}")


def mount(kind: str, target: str, flags: int, options: bytes | None) -> None:
    """mount(2). EBUSY is fine: some kernels have mounted /dev already."""
    if libc.mount(kind.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), options) != 0:
        number = ctypes.get_errno()
        if (kind, os.strerror(number)) != ("devtmpfs", "Device or resource busy"):
            raise OSError(number, os.strerror(number), target)


def load(path: str) -> None:
    """finit_module(2), if the file is there."""
    if not os.path.exists(path):
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    if libc.syscall(ctypes.c_long(SYS_FINIT_MODULE[os.uname().machine]), descriptor, b"", 0) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), path)
    os.close(descriptor)


def heartbeat() -> str:
    """Tell nitro-cli that the enclave has booted: one byte there, the same byte back.

    A host that does not want it is no reason to stop: nitro-cli ends an enclave whose heartbeat it misses, the emulated
    host has no use for one, and a hostile host gains nothing by either.
    """
    try:
        with socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM) as sock:
            sock.settimeout(HEARTBEAT_SECONDS)
            sock.connect((PARENT_CID, HEARTBEAT_PORT))
            sock.sendall(HEARTBEAT)
            return "heartbeat answered" if sock.recv(1) == HEARTBEAT else "heartbeat answered wrongly"
    except OSError as error:
        return f"no heartbeat: {error}"


def start(command: tuple[str, ...]) -> int:
    """Start the worker with no environment, in a session of its own; return its process id."""
    return os.posix_spawn(command[0], command, {}, setsid=True)


def status_of(worker: int) -> int:
    """Reap every child until the worker ends; return its exit status, negative for a signal."""
    while True:
        child, status = os.wait()
        if child == worker:
            return os.waitstatus_to_exitcode(status)


def say(line: str) -> None:
    """Write a line to the console, which a production enclave does not have."""
    sys.stderr.write(line + "\n")


if __name__ == "__main__":
    main()
