"""Takes the worker's place inside an enclave, becomes the worker, and leaves somebody behind who watches it as root.

Runs there, not here. The worker is the image's own `__main__.py`, which lies beside this file as `production.py`.
What is found is one line, `WORKER {...}`, once the worker listens and nobody is connected to it.
"""

import contextlib
import ctypes
import json
import os
import socket
import sys
import time
from pathlib import Path
from typing import Any

from nsm import client
from nsm.device import Device
from nsm.errors import Refused

WAIT_SECONDS = 60.0
MANIFEST_PCR = 16
SYS_PIDFD_GETFD = 438  # asm-generic/unistd.h; takes another process's descriptor
WORKER = os.getpid()
PROC = Path("/proc", str(WORKER))


def status() -> dict[str, str]:
    lines = (PROC / "status").read_text().splitlines()
    return {name: " ".join(value.split()) for name, _, value in (line.partition(":") for line in lines)}


def core_limits() -> list[str]:
    (line,) = [line for line in (PROC / "limits").read_text().splitlines() if line.startswith("Max core file size")]
    return line.split()[4:6]


def descriptors() -> dict[int, str]:
    held = {}
    for entry in (PROC / "fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the worker closes some while it boots
            held[int(entry.name)] = os.readlink(entry)
    return held


def sockets_of_all_families() -> int:
    """Linux counts here every socket that a process made, of whatever family (net/socket.c, socket_seq_show)."""
    return int(Path("/proc/net/sockstat").read_text().splitlines()[0].removeprefix("sockets: used "))


def describe(descriptor: int) -> dict[str, object]:
    copy = ctypes.CDLL(None).syscall(SYS_PIDFD_GETFD, os.pidfd_open(WORKER), descriptor, 0)
    with socket.socket(fileno=copy) as sock:
        return {
            "family": sock.family.name,
            "type": sock.type.name,
            "listens": sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN),
            "address": sock.getsockname(),
        }


def manifest_register() -> dict[str, object]:
    with Device() as device:
        found = client.describe_pcr(device.exchange, MANIFEST_PCR)
        try:
            refused = client.extend_pcr(device.exchange, MANIFEST_PCR, b"another policy").hex()
        except Refused as error:
            refused = error.code.name
        return {"value": found.data.hex(), "locked": found.lock, "extension": refused}


def listening() -> bool:
    """Whether the worker has given up its rights and listens, while there is no other socket in the enclave."""
    held = [number for number, target in descriptors().items() if target.startswith("socket:")]
    if status()["Uid"].split()[0] == "0" or len(held) != 1 or sockets_of_all_families() != 1:
        return False
    with contextlib.suppress(OSError, ValueError):  # closed meanwhile, so it was another one
        return bool(describe(held[0])["listens"])
    return False


def watch() -> None:
    end = time.monotonic() + WAIT_SECONDS
    while not listening() and time.monotonic() < end:
        time.sleep(0.1)
    Path("/proc/sys/kernel/printk").write_text("1 1 1 1")  # the kernel may not write into our line
    held = descriptors()
    state = status()
    found: dict[str, Any] = {
        "command": (PROC / "cmdline").read_text().split("\0")[:-1],
        "status": {name: state[name] for name in ("Uid", "Gid", "Groups", "CapPrm", "CapEff", "CapInh", "CapAmb")},
        "core": core_limits(),
        "environment": (PROC / "environ").read_bytes().hex(),
        "owner": (PROC / "environ").stat().st_uid,
        "descriptors": sorted(target.partition(":")[0] for target in held.values()),
        "sockets": sockets_of_all_families(),
        "socket": [describe(number) for number, target in held.items() if target.startswith("socket:")],
        "manifest": manifest_register(),
    }
    print("WORKER " + json.dumps(found), flush=True)


if os.fork() == 0:
    if os.fork() == 0:  # init reaps whoever has lost its parent
        os.setsid()
        watch()
    os._exit(0)
os.wait()
os.execv(sys.executable, [sys.executable, "-IB", "-m", "enclave_worker.production"])  # noqa: S606 (no shell is there)
