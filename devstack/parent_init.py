#!/usr/bin/python3.11 -ISB
"""/init of the parent VM: makes a plain Linux of the parent image, starts what the image starts, and the stand-ins.

Mounts, drivers, `lo` up; then the image's own entry point, with folder, user, command and environment of the image's
configuration (`image.json`), and `devstack.parent_services` beside it. When either ends, so does the machine.
"""

import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

OVERLAY = "/opt/devstack"
sys.path.insert(0, OVERLAY)

from eif.init import MOUNTS, RB_AUTOBOOT, libc, load, mount, say  # noqa: E402 (the path is set above)

DRIVERS = ("vsock", "vmw_vsock_virtio_transport_common", "vmw_vsock_virtio_transport")  # virtio over PCI is built in
SIOCSIFFLAGS, IFF_UP = 0x8914, 1  # linux/sockios.h, linux/if.h
SERVICES = ("/usr/bin/python3", "-m", "devstack.parent_services")
NOBODY = 65534


def main() -> None:
    """Run once, as process 1."""
    try:
        boot()
        serve()
    except BaseException as error:  # noqa: BLE001 (the edge of the machine: whatever it is, it ends here)
        say(f"init: {type(error).__name__}: {error}")
    os.sync()
    libc.reboot(RB_AUTOBOOT)


def boot() -> None:
    """Make the machine ready, or raise."""
    for kind, target, flags, options in MOUNTS:
        mount(kind, target, flags, options)
    for name in DRIVERS:
        load(f"/drivers/{name}.ko")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", IFF_UP))


def serve() -> None:
    """Start both; return when one has ended."""
    image = json.loads(Path(OVERLAY, "image.json").read_text(encoding="utf-8"))
    user = int(image["User"])
    environment = dict(pair.split("=", 1) for pair in image.get("Env", [])) | {"SERVICES": "vies"}
    parent = subprocess.Popen(image["Entrypoint"], cwd=image["WorkingDir"], env=environment, user=user, group=user)
    beside = {"PYTHONPATH": f"{OVERLAY}:/opt/tytle", "PYTHONDONTWRITEBYTECODE": "1"}
    services = subprocess.Popen(SERVICES, cwd=OVERLAY, env=beside, user=NOBODY, group=NOBODY)
    while parent.poll() is None and services.poll() is None:
        time.sleep(0.5)
    say(f"init: parent ended with {parent.returncode}, stand-ins with {services.returncode}")


if __name__ == "__main__":
    main()
