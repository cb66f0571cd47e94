"""Step 3: the path leaf -> reversed(cabundle) -> pinned root.

Trust starts from the root's bytes, which the caller chose, and never from the document. Revocation is not checked:
AWS publishes no CRL for this use and says so.
"""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from datetime import datetime
from itertools import pairwise
from threading import Lock

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec

from tytle_verifier.certificate import Certificate
from tytle_verifier.document import Document
from tytle_verifier.errors import ChainError
from tytle_verifier.roots import Root

_REGION = re.compile(r"[a-z]{2,}(-[a-z0-9]+)+")


class LinkCache:
    """Remembers which certificate signatures were found good, and nothing else.

    An entry says "this key signed this certificate", which no clock can change. Everything else -- names, constraints,
    and the validity of EVERY certificate of the path -- is judged again on every use, so a stale entry cannot
    outlive an expiry. Only links that hang on the pinned root get in. Bounded; safe between threads.
    """

    def __init__(self, *, max_links: int = 4096) -> None:
        """Hold at most `max_links` links of 32 bytes; the one used longest ago leaves first."""
        if max_links < 1:
            raise ValueError("max_links must be at least 1")
        self._max = max_links
        self._good: OrderedDict[bytes, None] = OrderedDict()
        self._lock = Lock()

    def check(self, issuer: Certificate, child: Certificate, name: str) -> None:
        """Verify that `issuer` signed `child`, at most once per link. Raises: ChainError."""
        key = hashlib.sha256(hashlib.sha256(issuer.der).digest() + hashlib.sha256(child.der).digest()).digest()
        with self._lock:
            if key in self._good:
                self._good.move_to_end(key)
                return
        check_link(issuer, child, name)
        with self._lock:
            self._good[key] = None
            if len(self._good) > self._max:
                self._good.popitem(last=False)


def check_link(issuer: Certificate, child: Certificate, name: str) -> None:
    """Verify that `issuer`'s key signed `child` with ecdsa-with-SHA384. Raises: ChainError."""
    try:
        child.parsed.verify_directly_issued_by(issuer.parsed)
    except (InvalidSignature, ValueError, TypeError) as error:
        raise ChainError(f"{name}: its issuer's key did not sign it", got=str(error) or "invalid signature") from error


def verify(
    document: Document,
    *,
    root: Root,
    instant: datetime,
    cache: LinkCache | None = None,
) -> ec.EllipticCurvePublicKey:
    """Return the leaf's P-384 key once the whole path to `root` holds at `instant`.

    Nothing else in `document` is looked at but its module_id, certificate and cabundle. Raises: ChainError.
    """
    leaf, cabundle = document.certificate, document.cabundle
    if cabundle[0].der != root.der:
        got = hashlib.sha256(cabundle[0].der).hexdigest()
        raise ChainError("cabundle[0] is not the pinned root", got=got, expected=root.name)
    path = [*cabundle, leaf]
    names = [*(f"cabundle[{i}]" for i in range(len(cabundle))), "leaf"]
    if len({c.der for c in path}) != len(path):
        raise ChainError("a certificate appears twice in the path")
    for below, (certificate, name) in enumerate(zip(reversed(path), reversed(names), strict=True)):
        _check_alone(certificate, name, instant)
        if below:
            _check_authority(certificate, name, below - 1)
    key = _check_leaf(leaf, document.module_id)
    link = check_link if cache is None else cache.check
    for (issuer, child), name in zip(pairwise(path), names[1:], strict=True):
        if child.issuer != issuer.subject:
            raise ChainError(f"{name}: its issuer is not the certificate before it")
        link(issuer, child, name)
    return key


def _check_alone(certificate: Certificate, name: str, instant: datetime) -> None:
    """Check what every certificate owes: version 3, ES384, P-384, known critical extensions, validity."""
    if not certificate.version_3:
        raise ChainError(f"{name}: version", expected="3")
    if not certificate.ecdsa_sha384:
        raise ChainError(f"{name}: signature algorithm", expected="ecdsa-with-SHA384")
    if certificate.key is None:
        raise ChainError(f"{name}: public key", expected="on P-384")
    if certificate.unknown_critical:
        raise ChainError(f"{name}: unknown critical extension", got=certificate.unknown_critical[0])
    if not certificate.not_before <= instant <= certificate.not_after:
        window = f"{certificate.not_before.isoformat()} to {certificate.not_after.isoformat()}"
        raise ChainError(f"{name}: not valid at the chosen time", got=instant.isoformat(), expected=window)


def _check_authority(certificate: Certificate, name: str, authorities_below: int) -> None:
    """Check what every CA owes; `authorities_below` counts the CAs between it and the leaf."""
    if not certificate.is_ca or not certificate.constraints_critical:
        raise ChainError(f"{name}: basic constraints", expected="critical, CA:TRUE")
    if certificate.path_length is not None and certificate.path_length < authorities_below:
        raise ChainError(f"{name}: path length", got=f"{authorities_below} CAs below", expected=certificate.path_length)
    if not certificate.key_cert_sign:
        raise ChainError(f"{name}: key usage", expected="keyCertSign")


def _check_leaf(leaf: Certificate, module_id: str) -> ec.EllipticCurvePublicKey:
    if leaf.is_ca is not False or leaf.path_length is not None:
        raise ChainError("leaf: basic constraints", expected="CA:FALSE without path length")
    if not leaf.digital_signature:
        raise ChainError("leaf: key usage", expected="digitalSignature")
    prefix, suffix = f"{module_id}.", ".aws"
    name = leaf.common_name
    region = name[len(prefix) : -len(suffix)] if name.startswith(prefix) and name.endswith(suffix) else ""
    if not _REGION.fullmatch(region):
        raise ChainError("leaf: common name", got=name, expected=f"{module_id}.<region>.aws")
    if leaf.key is None:
        raise ChainError("leaf: public key", expected="on P-384")
    return leaf.key
