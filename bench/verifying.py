"""One process that verifies the same documents over and over: `python -m bench.verifying WAY DOCUMENTS SECONDS`.

DOCUMENTS is a folder of COSE_Sign1 files and `root.der`. WAY is `naive` (what one writes with cbor2 and cryptography:
decode, check names, validity and signatures of the whole chain, check the document's signature), `cold` or `cached`
(tytle_verifier, all its rules, without and with its cache of verified links).
"""

import hashlib
import sys
import time
from array import array
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from bench.figures import Figures, summary
from tytle_verifier import AWS_ROOT, Archive, LinkCache, Root, TestPkiRoot, verify_document
from tytle_verifier.roots import AWS_ROOT_SHA256

Verify = Callable[[bytes], object]


def naive(document: bytes, root: bytes) -> None:
    """Verify one document at its own time the straightforward way. Raises: ValueError or InvalidSignature."""
    protected, _, payload, signature = cbor2.loads(document)
    fields = cbor2.loads(payload)
    when = datetime.fromtimestamp(fields["timestamp"] / 1000, tz=UTC)
    path = [x509.load_der_x509_certificate(der) for der in [*fields["cabundle"], fields["certificate"]]]
    if fields["cabundle"][0] != root:
        raise ValueError("another root")
    for certificate in path:
        if not certificate.not_valid_before_utc <= when <= certificate.not_valid_after_utc:
            raise ValueError("not valid then")
    for issuer, child in pairwise(path):
        child.verify_directly_issued_by(issuer)
    key = path[-1].public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise TypeError("not an elliptic curve key")
    r, s = int.from_bytes(signature[:48], "big"), int.from_bytes(signature[48:], "big")
    signed = cbor2.dumps(["Signature1", protected, b"", payload])
    key.verify(encode_dss_signature(r, s), signed, ec.ECDSA(hashes.SHA384()))


def ways(root: bytes) -> dict[str, Verify]:
    """Return the three ways to verify a document."""
    pinned: Root = AWS_ROOT if hashlib.sha256(root).hexdigest() == AWS_ROOT_SHA256 else TestPkiRoot(root)
    cache = LinkCache()
    return {
        "naive": lambda document: naive(document, root),
        "cold": lambda document: verify_document(document, time=Archive(), root=pinned),
        "cached": lambda document: verify_document(document, time=Archive(), root=pinned, cache=cache),
    }


def measure(verify: Verify, documents: list[bytes], seconds: float) -> Figures:
    """Verify all documents once to warm up, then over and over for `seconds`."""
    for document in documents:
        verify(document)
    took = array("d")
    began, began_cpu = time.monotonic(), time.process_time()
    while time.monotonic() - began < seconds:
        for document in documents:
            start = time.perf_counter()
            verify(document)
            took.append(time.perf_counter() - start)
    elapsed = time.monotonic() - began
    used = time.process_time() - began_cpu
    return summary(took, errors=0, answered=len(took), seconds=elapsed, cpu_seconds=used)  # a failure ends the process


def main(way: str, folder: str, seconds: str) -> None:
    """Measure one way and print its figures."""
    documents = [path.read_bytes() for path in sorted(Path(folder).glob("*.bin"))]
    verify = ways(Path(folder, "root.der").read_bytes())[way]
    measure(verify, documents, float(seconds)).print()


if __name__ == "__main__":
    main(*sys.argv[1:])
