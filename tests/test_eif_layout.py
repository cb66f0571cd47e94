"""The EIF container: what is built is read back; anything else is refused with one error."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eif import layout
from eif.build import build, join
from eif.errors import BadInput, MalformedEif
from eif.layout import HEADER, SECTION_HEADER, Kind, Section
from tests.eif_kit import CMDLINE, KERNEL, RAMDISKS, SECTIONS, image, with_crc

IMAGE = image()
COUNT_AT = 26  # magic 4, version 2, flags 2, memory 8, CPUs 8, reserved 2
OFFSETS_AT = 28
SIZES_AT = OFFSETS_AT + 8 * 32


def patched(at: int, value: bytes) -> bytes:
    return with_crc(IMAGE[:at] + value + IMAGE[at + len(value) :])


def without(*kinds: Kind) -> bytes:
    return join([section for section in SECTIONS if section.kind not in kinds])


def test_the_headers_have_the_sizes_that_aws_tests_for() -> None:
    assert (HEADER.size, SECTION_HEADER.size) == (548, 12)


def test_what_was_built_is_read_back() -> None:
    read = layout.read(IMAGE)
    assert read.sections == SECTIONS
    assert read.of(Kind.RAMDISK) == RAMDISKS
    assert not read.arm64


def test_the_same_inputs_give_the_same_bytes() -> None:
    assert image() == IMAGE


def test_arm64_is_the_lowest_header_flag() -> None:
    data = join(SECTIONS, arm64=True)
    assert data[6:8] == b"\0\1"
    assert layout.read(data).arm64


def test_metadata_and_signature_are_optional() -> None:
    assert layout.read(without(Kind.METADATA)).of(Kind.METADATA) == ()


MALFORMED = {
    "empty": b"",
    "header cut short": IMAGE[:547],
    "last byte missing": IMAGE[:-1],
    "a byte behind": IMAGE + b"\0",
    "a byte behind, checksum right": with_crc(IMAGE + b"\0"),
    "other magic": patched(0, b".elf"),
    "version 3": patched(4, b"\0\3"),
    "version 5": patched(4, b"\0\5"),
    "unknown flag": patched(6, b"\0\2"),
    "reserved field": patched(24, b"\0\1"),
    "unused field": patched(HEADER.size - 8, b"\0\0\0\1"),
    "wrong checksum": IMAGE[:544] + bytes(byte ^ 1 for byte in IMAGE[544:548]) + IMAGE[548:],
    "no section": patched(COUNT_AT, b"\0\0"),
    "33 sections": patched(COUNT_AT, b"\0\x21"),
    "one section too few": patched(COUNT_AT, b"\0\4"),
    "one section too many": patched(COUNT_AT, b"\0\6"),
    "unused offset": patched(OFFSETS_AT + 8 * 31, b"\0" * 7 + b"\1"),
    "unused size": patched(SIZES_AT + 8 * 31, b"\0" * 7 + b"\1"),
    "offset moved": patched(OFFSETS_AT, struct.pack(">Q", 549)),
    "offset beyond the end": patched(OFFSETS_AT, struct.pack(">Q", 2**63)),
    "size beyond the end": patched(SIZES_AT, struct.pack(">Q", 2**63)),
    "size differs from the table's": patched(548 + 4, struct.pack(">Q", 41)),
    "section flags": patched(548 + 2, b"\0\1"),
    "section type 0": patched(548, b"\0\0"),
    "section type 6": patched(548, b"\0\6"),
    "two kernels": join([SECTIONS[0], *SECTIONS]),
    "no kernel": without(Kind.KERNEL),
    "no command line": without(Kind.CMDLINE),
    "no ramdisk": without(Kind.RAMDISK),
    "command line before kernel": join([SECTIONS[1], SECTIONS[0], *SECTIONS[2:]]),
    "ramdisk before command line": join([SECTIONS[0], SECTIONS[3], SECTIONS[1]]),
    "two metadata sections": join([*SECTIONS, SECTIONS[2]]),
    "two signatures": join([*SECTIONS, *[Section(kind=Kind.SIGNATURE, data=b"")] * 2]),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_file_is_refused(name: str) -> None:
    with pytest.raises(MalformedEif):
        layout.read(MALFORMED[name])


@given(st.binary(max_size=1200))
def test_garbage_gives_an_image_or_the_error(data: bytes) -> None:
    for candidate in (data, IMAGE[:28] + data, with_crc(IMAGE[:548] + data) if len(data) > 12 else data):
        try:
            layout.read(candidate)
        except MalformedEif:
            continue


@given(st.integers(0, len(IMAGE) - 1), st.integers(1, 255))
def test_a_changed_byte_is_noticed(at: int, change: int) -> None:
    with pytest.raises(MalformedEif):
        layout.read(IMAGE[:at] + bytes([IMAGE[at] ^ change]) + IMAGE[at + 1 :])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cmdline": ""}, "command line"),
        ({"cmdline": "two\nlines"}, "command line"),
        ({"cmdline": "ünicode"}, "command line"),
        ({"cmdline": "x" * 2048}, "command line"),
        ({"kernel": b""}, "kernel"),
        ({"ramdisks": ()}, "ramdisk"),
        ({"ramdisks": (b"",)}, "ramdisk"),
        ({"ramdisks": (b"12345",)}, "multiple of 4"),
        ({"ramdisks": (b"1234",) * 30}, "33 sections"),
    ],
)
def test_what_cannot_be_an_image_is_not_built(change: dict[str, object], message: str) -> None:
    inputs: dict[str, object] = {
        "kernel": KERNEL,
        "cmdline": CMDLINE,
        "ramdisks": RAMDISKS,
        "name": "n",
        "version": "1",
    }
    with pytest.raises(BadInput, match=message):
        build(**{**inputs, **change})  # type: ignore[arg-type]
