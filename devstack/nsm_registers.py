"""The 32 platform configuration registers of a soft NSM: values, locks, and what a document contains of them.

Sources: as in `soft_nsm`.
"""

import hashlib
from collections.abc import Mapping

from nsm.errors import ErrorCode, Refused

PCR_COUNT = 32
LOCKED_AT_START = 16  # PCR0..15, AWS nsm-check.rs, and the 16 entries of every document AWS signed
PCR_BYTES = 48
IMAGE = {index: hashlib.sha384(b"soft NSM PCR%d" % index).digest() for index in range(3)}  # PCR0..2 by default


class Registers:
    """The 32 registers and their locks."""

    def __init__(self, module_id: str, pcrs: Mapping[int, bytes], *, debug: bool) -> None:
        for index, value in pcrs.items():
            if not 0 <= index < PCR_COUNT or len(value) != PCR_BYTES:
                raise ValueError(f"PCR{index} of {len(value)} bytes; expected 0..{PCR_COUNT - 1} of {PCR_BYTES}")
        values = {index: bytes(PCR_BYTES) for index in range(PCR_COUNT)}
        values |= _default_measurements(module_id) | dict(pcrs)
        if debug:
            values |= {index: bytes(PCR_BYTES) for index in range(3)}
        self._values = values
        self._locked = set(range(LOCKED_AT_START))

    def value(self, index: int) -> bytes:
        """Return register `index`. Raises: Refused (InvalidIndex)."""
        self._check(index)
        return self._values[index]

    def locked(self, index: int) -> bool:
        """Return whether register `index` is read-only. Raises: Refused (InvalidIndex)."""
        self._check(index)
        return index in self._locked

    def extend(self, index: int, data: bytes) -> bytes:
        """Replace a register by SHA384(old value || data); return it. Raises: Refused (InvalidIndex, ReadOnlyIndex)."""
        self._check_writable(index)
        self._values[index] = hashlib.sha384(self._values[index] + data).digest()
        return self._values[index]

    def lock(self, index: int) -> None:
        """Make a register read-only. Raises: Refused (InvalidIndex, ReadOnlyIndex)."""
        self._check_writable(index)
        self._locked.add(index)

    def lock_first(self, count: int) -> None:
        """Make the registers 0 .. count - 1 read-only. Raises: Refused (InvalidIndex)."""
        if count > PCR_COUNT:
            raise Refused(ErrorCode.InvalidIndex)
        self._locked |= set(range(count))

    def attested(self) -> dict[int, bytes]:
        """The registers that a document contains, in ascending order: the locked ones."""
        return {index: self._values[index] for index in sorted(self._locked)}

    def _check(self, index: int) -> None:
        if index >= PCR_COUNT:
            raise Refused(ErrorCode.InvalidIndex)

    def _check_writable(self, index: int) -> None:
        self._check(index)
        if index in self._locked:
            raise Refused(ErrorCode.ReadOnlyIndex)


def _default_measurements(module_id: str) -> dict[int, bytes]:
    instance_id = module_id.partition("-enc")[0].encode("ascii")
    # PCR4: so in every collected document that AWS signed, debug mode included. PCR3 is zero without a role.
    return IMAGE | {4: hashlib.sha384(bytes(PCR_BYTES) + instance_id).digest()}
