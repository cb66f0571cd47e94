"""How the values of each operation follow from the upstreams' raw bodies (DERIVATIONS.md).

A second implementation, written from the specification and not from the enclave's handlers, so that each catches the
other's mistakes. Pure: bytes and a verified statement in, values or a code out. Any bytes give one of them, or an error
of this package; nothing here reads a file, a clock or the network.
"""

from tytle_verifier.derive.comparison import Derived, derive

__all__ = ["Derived", "derive"]
