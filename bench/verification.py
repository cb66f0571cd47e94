"""(g) Verification of documents, cold and cached, against the naive verifier of the same documents.

The documents are AWS's own where the collection is at hand (`$ATTESTATION_DOCUMENTS` or ../shared), else a soft NSM's.
"""

import json
import os
import shutil
import sys
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from bench.processes import Processes
from bench.report import Ratio, Report
from bench.rounds import Settings, Subject, interleave
from devstack.soft_nsm import SoftNsm
from nsm import client

COLLECTED = Path(__file__).parent.parent.parent / "shared" / "attestation-documents"
SOFT_DOCUMENTS = 32


def measure(settings: Settings) -> Report:
    """Run the measurement."""
    settings = settings.fewer()
    with Processes() as processes:
        folder = processes.folder / "documents"
        folder.mkdir()
        which = _collect(folder)
        naive, cold, cached = interleave(processes, [_subject(way, folder) for way in NAMES], settings)
    return Report(
        letter="g",
        title="Verification of attestation documents",
        settings=settings,
        notes=(
            f"measured  tytle_verifier, steps 0-5 at the document's own time, on {which}; one process on one core.",
            "peer      a naive verifier: cbor2, then names, validity and signatures of the whole chain and the "
            "document's signature by cryptography; without the other rules of VERIFICATION.md.",
            "cached    verified links are remembered, leaf included; everything that a clock can change is checked "
            "again. The documents are the same in every pass, as one enclave's are within a leaf's three hours.",
        ),
        series=(naive, cold, cached),
        ratios=(
            Ratio("no cache / naive", cold.ratio_to(naive)),
            Ratio("cached / naive", cached.ratio_to(naive)),
            Ratio("cached / no cache", cached.ratio_to(cold)),
        ),
    )


NAMES = {"naive": "naive verifier (peer)", "cold": "tytle_verifier, no cache", "cached": "tytle_verifier, cached"}


def _subject(way: str, folder: Path) -> Subject:
    command = (sys.executable, "-m", "bench.verifying", way, str(folder))
    return Subject(name=NAMES[way], command=command, serving=())


def _collect(folder: Path) -> str:
    source = Path(os.environ.get("ATTESTATION_DOCUMENTS") or COLLECTED)
    if (source / "real.json").is_file():
        real = [e for e in json.loads((source / "real.json").read_text(encoding="utf-8")) if e["kind"] == "nsm"]
        for entry in real:
            shutil.copy(source / entry["file"], folder)
        _write_root(folder, (source / "aws_nitro_root_g1.pem").read_bytes())
        return f"{len(real)} documents signed by AWS"
    nsm = SoftNsm()
    for index in range(SOFT_DOCUMENTS):
        document = client.attest(nsm.exchange, nonce=bytes([index]) * 32).document
        (folder / f"{index:02}.bin").write_bytes(document)
    _write_root(folder, nsm.pki.root_pem.encode())
    return f"{SOFT_DOCUMENTS} documents of a soft NSM"


def _write_root(folder: Path, pem: bytes) -> None:
    root = x509.load_pem_x509_certificate(pem)
    (folder / "root.der").write_bytes(root.public_bytes(Encoding.DER))
