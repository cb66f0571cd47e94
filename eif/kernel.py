"""A folder with a kernel for enclaves -> what an image needs of it.

Two kinds are known: AWS's, as aws-nitro-enclaves-cli installs it in /usr/share/nitro_enclaves/blobs (`bzImage` or, for
arm64, `Image`; `cmdline`; `nsm.ko`), and any other kernel with the drivers that /init loads beside it as NAME.ko.
AWS's `init` and `linuxkit` are not used.
"""

from dataclasses import dataclass
from pathlib import Path

from eif import tree
from eif.cpio import archive
from eif.errors import BadInput
from eif.init import DRIVERS, MOUNTS

# reboot=k: by the keyboard controller, which an enclave answers by ending. panic=-1: at once.
CMDLINE = "reboot=k panic=-1 console=ttyS0 random.trust_cpu=on"
INIT = Path(__file__).with_name("init.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """A kernel's bytes, its command line, and its drivers by file name."""

    image: bytes
    cmdline: str
    drivers: dict[str, bytes]
    arm64: bool


def load(folder: Path) -> Kernel:
    """Read a kernel folder.

    Raises:
        BadInput: there is no kernel, or more than one.
        OSError: a file cannot be read.
    """
    found = sorted({*folder.glob("bzImage"), *folder.glob("Image"), *folder.glob("vmlinuz*")})
    if len(found) != 1:
        raise BadInput(f"{folder} holds {len(found)} kernels (bzImage, Image or vmlinuz*), expected one")
    line = folder / "cmdline"
    drivers = {path.name: path for path in folder.glob("*.ko") if path.stem in DRIVERS}
    return Kernel(
        image=found[0].read_bytes(),
        cmdline=line.read_text(encoding="ascii").strip() if line.is_file() else CMDLINE,
        drivers={name: path.read_bytes() for name, path in drivers.items()},
        arm64=found[0].name == "Image",
    )


def boot_ramdisk(kernel: Kernel) -> bytes:
    """Return the first ramdisk: /init, the folders it mounts on, and the drivers in /drivers."""
    mount_points = [target.removeprefix("/") for _, target, _, _ in MOUNTS]
    drivers = {f"drivers/{name}": (data, False) for name, data in kernel.drivers.items()}
    return archive([*tree.folders(mount_points), *tree.files({"init": (INIT.read_bytes(), True), **drivers})])
