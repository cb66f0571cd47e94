"""The two kinds of root a chain may end in: AWS's, pinned by its bytes, and a root of a test PKI.

There is no option, variable or file that changes what `AWS_ROOT` is: the certificate is part of this package and is
compared with the digest below each time it is read. GovCloud and the China partitions have other roots; their
documents are refused. A test PKI has a class of its own so that no code takes one for the other: every report and
verdict names it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import ClassVar, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding

from tytle_verifier import certificate
from tytle_verifier.errors import DocumentError, PolicyError

AWS_ROOT_SHA256: Final = "641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b"  # of the DER bytes


@dataclass(frozen=True, slots=True)
class AwsRoot:
    """CN=aws.nitro-enclaves, G1, valid 2019-10-28 to 2049-10-28. Takes no arguments: there is only one."""

    genuine: ClassVar[bool] = True

    @property
    def der(self) -> bytes:
        """The DER bytes, digest checked. Raises: PolicyError if the installed file is not AWS's root."""
        return _aws_root()

    @property
    def name(self) -> str:
        """How reports call it."""
        return f"AWS Nitro Enclaves root G1 ({AWS_ROOT_SHA256[:8]}...{AWS_ROOT_SHA256[-4:]})"


@dataclass(frozen=True, slots=True)
class TestPkiRoot:
    """The root of a test PKI: `der` is one self-signed P-384 CA certificate.

    What verifies under it says nothing about AWS hardware, and `genuine` is False in everything it verifies.
    Raises: PolicyError if it is not such a certificate, or is AWS's own.
    """

    __test__: ClassVar[bool] = False  # a name that starts with Test is not a test case
    genuine: ClassVar[bool] = False
    der: bytes

    def __post_init__(self) -> None:
        if hashlib.sha256(self.der).hexdigest() == AWS_ROOT_SHA256:
            raise PolicyError("AWS's root is not a test root: use AWS_ROOT")
        _check_self_signed(self.der)

    @property
    def name(self) -> str:
        """How reports call it."""
        return f"TEST PKI root {hashlib.sha256(self.der).hexdigest()[:8]}... (says nothing about AWS hardware)"


Root = AwsRoot | TestPkiRoot
AWS_ROOT: Final = AwsRoot()


@cache
def _aws_root() -> bytes:
    pem = resources.files("tytle_verifier").joinpath("aws_nitro_root_g1.pem").read_bytes()
    der = x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)
    if hashlib.sha256(der).hexdigest() != AWS_ROOT_SHA256:
        raise PolicyError("the installed aws_nitro_root_g1.pem is not AWS's root: reinstall this package")
    _check_self_signed(der)
    return der


def _check_self_signed(der: bytes) -> None:
    try:
        root = certificate.load(der, name="root")
        root.parsed.verify_directly_issued_by(root.parsed)
    except (DocumentError, ValueError, TypeError, InvalidSignature) as error:
        raise PolicyError(f"not a self-signed root certificate: {error}") from error
    if root.key is None or not root.is_ca:
        raise PolicyError("a root must be a CA with a key on P-384")
