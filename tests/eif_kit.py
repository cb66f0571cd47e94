"""Small images for tests, and a cpio reader written from the format's description, not from our writer."""

from dataclasses import dataclass

from eif.build import build, metadata
from eif.layout import CRC_BYTES, HEADER, Kind, Section, checksum

KERNEL = b"kernel" * 7
CMDLINE = "console=ttyS0"
RAMDISKS = (b"init" * 3, b"app!" * 5)
SECTIONS = (
    Section(kind=Kind.KERNEL, data=KERNEL),
    Section(kind=Kind.CMDLINE, data=CMDLINE.encode()),
    Section(kind=Kind.METADATA, data=metadata("test", "1")),
    *(Section(kind=Kind.RAMDISK, data=ramdisk) for ramdisk in RAMDISKS),
)


def image() -> bytes:
    return build(kernel=KERNEL, cmdline=CMDLINE, ramdisks=RAMDISKS, name="test", version="1")


def with_crc(data: bytes) -> bytes:
    """Return `data` with the checksum that belongs to it, so that the next check is reached."""
    at = HEADER.size - CRC_BYTES
    return data[:at] + checksum(data).to_bytes(CRC_BYTES, "big") + data[at + CRC_BYTES :]


def numbers(data: bytes) -> bytes:
    """Return CBOR's array of the bytes of `data` as numbers, as serde writes `Vec<u8>`."""
    head = b"\x98" + bytes([len(data)]) if len(data) < 256 else b"\x99" + len(data).to_bytes(2, "big")
    return head + b"".join(bytes([byte]) if byte < 24 else bytes([24, byte]) for byte in data)


def signature_section(pem: bytes) -> bytes:
    return b"\x81\xa2\x73signing_certificate" + numbers(pem) + b"\x69signature" + numbers(b"not looked at" * 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    ino: int
    mode: int
    uid: int
    gid: int
    nlink: int
    mtime: int
    devices: tuple[int, int, int, int]
    name: str
    data: bytes


def members(archive: bytes) -> list[Member]:
    """Read a newc archive up to its trailer (cpio(5): 6 bytes of magic, 13 numbers of 8 hex digits)."""
    found, at = [], 0
    while True:
        assert archive[at : at + 6] == b"070701"
        fields = [int(archive[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(13)]
        ino, mode, uid, gid, nlink, mtime, size, *devices, name_size, check = fields
        assert check == 0
        name = archive[at + 110 : at + 110 + name_size]
        assert name.endswith(b"\0")
        start = (at + 110 + name_size + 3) // 4 * 4
        if name == b"TRAILER!!!\0":
            return found
        member = Member(
            ino=ino, mode=mode, uid=uid, gid=gid, nlink=nlink, mtime=mtime, devices=tuple(devices),  # type: ignore[arg-type]
            name=name[:-1].decode(), data=archive[start : start + size],
        )  # fmt: skip
        found.append(member)
        at = (start + size + 3) // 4 * 4
