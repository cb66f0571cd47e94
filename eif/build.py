"""Kernel, command line and ramdisks -> the bytes of an EIF, in the order of AWS's builder.

No time, path, user or machine goes in, not even into the metadata, which AWS's builder stamps with the time of day.
"""

import json
from collections.abc import Sequence
from itertools import accumulate

from eif.errors import BadInput
from eif.layout import (
    ARCH_ARM64,
    CRC_BYTES,
    HEADER,
    MAGIC,
    MAX_EIF_BYTES,
    MAX_SECTIONS,
    SECTION_HEADER,
    VERSION,
    Kind,
    Section,
    checksum,
)

MAX_CMDLINE_BYTES = 2047  # COMMAND_LINE_SIZE on x86 and arm64 is 2048 with its NUL
DEFAULT_MEMORY_BYTES = 1024 * 1024 * 1024  # `EifBuilder::new`; nitro-cli is always told the memory and CPUs
DEFAULT_CPUS = 2


def build(
    *, kernel: bytes, cmdline: str, ramdisks: Sequence[bytes], name: str, version: str, arm64: bool = False
) -> bytes:
    """Return an image, unsigned. `name` and `version` go into the metadata, which nobody measures.

    Raises:
        BadInput: something is empty or too large, or the command line is not one line of printable ASCII.
    """
    if not (cmdline.isascii() and cmdline.isprintable() and 0 < len(cmdline) <= MAX_CMDLINE_BYTES):
        raise BadInput(f"the command line must be 1 to {MAX_CMDLINE_BYTES} printable ASCII characters")
    if not kernel or not ramdisks or not all(ramdisks):
        raise BadInput("an image needs a kernel and at least one ramdisk, and none may be empty")
    if any(len(ramdisk) % 4 for ramdisk in ramdisks):
        raise BadInput("a ramdisk's length must be a multiple of 4: the kernel reads them as one (init/initramfs.c)")
    sections = (
        Section(kind=Kind.KERNEL, data=kernel),
        Section(kind=Kind.CMDLINE, data=cmdline.encode("ascii")),
        Section(kind=Kind.METADATA, data=metadata(name, version)),
        *(Section(kind=Kind.RAMDISK, data=ramdisk) for ramdisk in ramdisks),
    )
    return join(sections, arm64=arm64)


def join(sections: Sequence[Section], *, arm64: bool = False) -> bytes:
    """Return the file that holds these sections.

    Raises:
        BadInput: too many, or too large.
    """
    if len(sections) > MAX_SECTIONS:
        raise BadInput(f"{len(sections)} sections, the format has room for {MAX_SECTIONS}")
    sizes = [len(section.data) for section in sections]
    offsets = list(accumulate((SECTION_HEADER.size + size for size in sizes[:-1]), initial=HEADER.size))
    rest = [0] * (MAX_SECTIONS - len(sections))
    fields = (VERSION, ARCH_ARM64 if arm64 else 0, DEFAULT_MEMORY_BYTES, DEFAULT_CPUS, 0, len(sections))
    header = HEADER.pack(MAGIC, *fields, *offsets, *rest, *sizes, *rest, 0, 0)
    body = b"".join(SECTION_HEADER.pack(each.kind, 0, len(each.data)) + each.data for each in sections)
    if len(header) + len(body) > MAX_EIF_BYTES:
        raise BadInput(f"the image would have {len(header) + len(body)} bytes, more than {MAX_EIF_BYTES}")
    crc = checksum(header + body)
    return header[:-CRC_BYTES] + crc.to_bytes(CRC_BYTES, "big") + body


def metadata(name: str, version: str) -> bytes:
    """Return the metadata section: the keys that nitro-cli's `describe-eif` insists on, and no time."""
    content = {
        "ImageName": name,
        "ImageVersion": version,
        "BuildMetadata": {
            "BuildTime": "not recorded: images are reproducible",
            "BuildTool": "tytle-enclaves eif",
            "BuildToolVersion": "1",
            "OperatingSystem": "Linux",
            "KernelVersion": "not recorded",
        },
        "DockerInfo": None,
        "CustomMetadata": None,
    }
    return json.dumps(content, separators=(",", ":"), ensure_ascii=True).encode("ascii")
