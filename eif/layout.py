"""The EIF container, version 4: a header of 548 bytes, then sections, each with a header of 12. All numbers big-endian.

Format: aws/aws-nitro-enclaves-image-format, `src/defs/mod.rs`. This reader accepts one form only: sections back to back
in the order of the header's table, no byte before, between or behind them, kernel before command line before ramdisks.
AWS's own builder writes that form. A looser file has two readings (AWS's tool walks the sections, QEMU follows the
table), and what is measured must be what runs.

Not measured by anybody, hence not to be relied on: the header (architecture flag, default memory and CPUs) and the
metadata section. CRC-32 finds accidents, not attacks.
"""

import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum

from eif.errors import MalformedEif

MAGIC = b".eif"
VERSION = 4  # 4 has the metadata section; QEMU refuses what is older
ARCH_ARM64 = 0x1  # the only header flag
MAX_SECTIONS = 32  # MAX_NUM_SECTIONS
MAX_EIF_BYTES = 2**32  # ours: an enclave has to hold the file several times over

# magic, version, flags, default memory in bytes, default CPUs, reserved, section count, offsets, sizes, unused, CRC
HEADER = struct.Struct(f">4sHHQQHH{MAX_SECTIONS}Q{MAX_SECTIONS}QII")
SECTION_HEADER = struct.Struct(">HHQ")  # type, flags, size in bytes
CRC_BYTES = 4  # the header's last field; the checksum covers everything else


class Kind(IntEnum):
    """`EifSectionType`."""

    KERNEL = 1
    CMDLINE = 2
    RAMDISK = 3
    SIGNATURE = 4
    METADATA = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One section's kind and content."""

    kind: Kind
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Eif:
    """The sections in the file's order, and `arm64`, which says for which processor they are."""

    sections: tuple[Section, ...]
    arm64: bool = False

    def of(self, kind: Kind) -> tuple[bytes, ...]:
        """Return the contents of all sections of this kind."""
        return tuple(section.data for section in self.sections if section.kind is kind)


def read(data: bytes) -> Eif:
    """Return the image in `data`.

    Raises:
        MalformedEif: a byte is missing, too many, or not as above, or the checksum is wrong.
    """
    if not HEADER.size <= len(data) <= MAX_EIF_BYTES:
        raise MalformedEif(f"{len(data)} bytes, expected {HEADER.size} to {MAX_EIF_BYTES}")
    magic, version, flags, _memory, _cpus, reserved, count, *tables, unused, crc = HEADER.unpack_from(data)
    _expect("magic", magic, MAGIC)
    _expect("version", version, VERSION)
    _expect("flags", flags & ~ARCH_ARM64, 0)
    _expect("reserved fields", (reserved, unused), (0, 0))
    if not 1 <= count <= MAX_SECTIONS:
        raise MalformedEif(f"{count} sections, expected 1 to {MAX_SECTIONS}")
    _expect("checksum", crc, checksum(data))
    offsets, sizes = tables[:MAX_SECTIONS], tables[MAX_SECTIONS:]
    _expect("unused table entries", {*offsets[count:], *sizes[count:]} - {0}, set())
    image = Eif(sections=_sections(data, offsets[:count], sizes[:count]), arm64=bool(flags))
    check_order(image.sections)
    return image


def checksum(data: bytes) -> int:
    """Return the CRC-32 (IEEE) of a whole file without its checksum field."""
    return zlib.crc32(memoryview(data)[HEADER.size :], zlib.crc32(data[: HEADER.size - CRC_BYTES]))


def check_order(sections: tuple[Section, ...]) -> None:
    """One kernel, then one command line, then at least one ramdisk; at most one signature and one metadata section.

    Raises:
        MalformedEif: it is not so.
    """
    kinds = [section.kind for section in sections]
    measured = [kind for kind in kinds if kind in (Kind.KERNEL, Kind.CMDLINE, Kind.RAMDISK)]
    ramdisks = kinds.count(Kind.RAMDISK)
    _expect("sections", [kind.name for kind in measured], ["KERNEL", "CMDLINE", *["RAMDISK"] * max(ramdisks, 1)])
    if kinds.count(Kind.SIGNATURE) > 1 or kinds.count(Kind.METADATA) > 1:
        raise MalformedEif("more than one signature or metadata section")


def _sections(data: bytes, offsets: list[int], sizes: list[int]) -> tuple[Section, ...]:
    found, position = [], HEADER.size
    for offset, size in zip(offsets, sizes, strict=True):
        _expect("offset of a section", offset, position)
        start = position + SECTION_HEADER.size
        position = start + size
        if position > len(data):
            raise MalformedEif(f"a section ends at byte {position} of {len(data)}")
        number, flags, length = SECTION_HEADER.unpack_from(data, offset)
        _expect("flags and size of a section", (flags, length), (0, size))
        if number not in {*Kind}:
            raise MalformedEif(f"section type {number} is unknown")
        found.append(Section(kind=Kind(number), data=data[start:position]))
    _expect("bytes behind the last section", len(data) - position, 0)
    return tuple(found)


def _expect(what: str, got: object, expected: object) -> None:
    if got != expected:
        raise MalformedEif(f"{what}: got {got!r}, expected {expected!r}")
