"""The emulated Nitro host, and images for it: where it lies, this machine as its parent, the test image.

The host is no part of this project: `emulator` says where it lies. `with_roots` makes the test image: the production
image plus one ramdisk with one file, so that kernel, init, code and policy are the very bytes of production, and PCR1
is production's. No image can be told to trust another root.
"""

import os
import shutil
from pathlib import Path

import certifi

from eif import cpio, layout, tree
from eif.build import join

SHARED = Path(__file__).parent.parent.parent / "shared" / "nitro-qemu"
ROOTS = "opt/tytle/packages/certifi/cacert.pem"  # what certifi.where() says inside the image


def emulator() -> Path | None:
    """Return the emulated host's folder: $NITRO_QEMU, or ../shared/nitro-qemu; None where it is absent."""
    folder = Path(os.environ.get("NITRO_QEMU") or SHARED)
    return folder.resolve() if (folder / "nitro_host.py").is_file() else None


def with_roots(image: bytes, roots_pem: str) -> bytes:
    """Return the test image: `image` that trusts `roots_pem` besides the public certificate authorities."""
    return with_file(image, ROOTS, Path(certifi.where()).read_bytes() + roots_pem.encode("ascii"))


def with_file(image: bytes, path: str, data: bytes) -> bytes:
    """Return `image` with a further ramdisk that puts one file in place; Linux unpacks ramdisks in order."""
    found = layout.read(image)
    ramdisk = cpio.archive(tree.files({path: (data, False)}))
    return join([*found.sections, layout.Section(kind=layout.Kind.RAMDISK, data=ramdisk)], arm64=found.arm64)


def as_parent(host: Path, folder: Path) -> Path:
    """Return the emulated host with this machine's connections coming from CID 3, as a parent's do.

    The host's switch has them come from CID 2, and the worker turns away whoever is not CID 3.
    """
    folder.joinpath("bin").mkdir(parents=True)
    for name in ("kernel", "pc-bios", "bin/qemu-system-x86_64"):
        folder.joinpath(name).symlink_to(host / name)
    for name in ("nitro_host.py", "make_pki.py"):  # copies: they look for the rest beside them
        shutil.copy(host / name, folder)
    switch = (host / "bin" / "vsockd.py").read_text(encoding="utf-8")
    if switch.count("Conn(s.g, 2, ") != 1:
        raise RuntimeError("this emulated host's switch is not the one this was written for")
    folder.joinpath("bin", "vsockd.py").write_text(switch.replace("Conn(s.g, 2, ", "Conn(s.g, 3, "), encoding="utf-8")
    return folder
