"""PCR0, 1, 2 and 8 of an image: what the hypervisor will report through /dev/nsm when it runs.

Each is one TPM-style extension of a register of 48 zero bytes by the SHA-384 of the bytes named here, joined without
any separator in the file's order (`EifBuilder::measure`, `EifHasher::tpm_extend_finalize_reset`):

PCR0  kernel, command line, every ramdisk
PCR1  kernel, command line, first ramdisk: what boots
PCR2  the other ramdisks: the application
PCR8  the DER certificate that signed the image, if it is signed

Because nothing separates the parts, PCR0 alone does not say where one ends; PCR1 and PCR2 say it for the ramdisks.
Pin all three. The signature itself is not checked here: nitro-cli does that, and a relying party pins PCR8.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha384

from eif.layout import Eif, Kind
from eif.signature import signing_certificate

PCR_BYTES = 48  # SHA-384


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurements:
    """Register values, 48 bytes each; `pcr8` is None for an image that is not signed (the register is then zero)."""

    pcr0: bytes
    pcr1: bytes
    pcr2: bytes
    pcr8: bytes | None

    def in_hex(self) -> dict[str, str]:
        """Return {"PCR0": ...} in lower-case hex, as nitro-cli prints it; PCR8 only where there is one."""
        values = {"PCR0": self.pcr0, "PCR1": self.pcr1, "PCR2": self.pcr2, "PCR8": self.pcr8}
        return {name: value.hex() for name, value in values.items() if value is not None}


def measure(image: Eif) -> Measurements:
    """Return what the registers will hold.

    Raises:
        MalformedEif: there is a signature section, and no certificate can be read from it.
    """
    boot = [*image.of(Kind.KERNEL), *image.of(Kind.CMDLINE)]
    first, *others = image.of(Kind.RAMDISK)
    signatures = image.of(Kind.SIGNATURE)
    return Measurements(
        pcr0=extended([*boot, first, *others]),
        pcr1=extended([*boot, first]),
        pcr2=extended(others),
        pcr8=extended([signing_certificate(signatures[0])]) if signatures else None,
    )


def extended(parts: Iterable[bytes]) -> bytes:
    """Return a zero register extended once by the SHA-384 of the joined parts."""
    content = sha384()
    for part in parts:
        content.update(part)
    return sha384(bytes(PCR_BYTES) + content.digest()).digest()
