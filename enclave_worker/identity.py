"""Who this worker is: service, manifest, boot and boot report, bound into an NSM document with the caller's challenge.

The identity is deterministic CBOR, returned verbatim; the document's `user_data` holds its SHA-256 and its `nonce` is
the caller's challenge. CDDL: ARCHITECTURE.md, "Identity".
"""

import base64
import hashlib
import time
from dataclasses import dataclass

from enclave_worker.attestation import Attestor
from enclave_worker.boot import Report
from enclave_worker.statement import Identity, deterministic
from wire import jsontext

PROFILE = "tytle/enclave-identity/v1"
ATTESTATION_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """An identity that can be shown again and again, each time under another challenge."""

    service: str
    encoded: bytes

    @classmethod
    def of(cls, identity: Identity, report: Report) -> "Card":
        """Return the card of a worker that has booted; outside an enclave the report is empty, and shown as such."""
        findings = [[finding.check, finding.found] for finding in report]
        fields = {
            "profile": PROFILE,
            "service": identity.service,
            "manifest": identity.manifest,
            "boot": identity.boot,
            "report": findings,
        }
        return cls(service=identity.service, encoded=deterministic(fields))

    def show(self, attestor: Attestor, challenge: bytes | None) -> bytes:
        """Return the reply to a request for the identity.

        Raises:
            QueueFull, AttestationFailed: the NSM is busy or broken.
        """
        user_data = deterministic({"profile": PROFILE, "identity": hashlib.sha256(self.encoded).digest()})
        deadline = time.monotonic() + ATTESTATION_SECONDS
        with attestor.reserve() as place:
            attested = place.attest(nonce=challenge, user_data=user_data, deadline=deadline)
        pcrs = {f"pcr{index}": value.hex() for index, value in attested.fields.pcrs.items() if any(value)}
        return jsontext.dump(
            {
                "success": True,
                "service": self.service,
                "identity": base64.b64encode(self.encoded).decode(),
                "nsmDocument": base64.b64encode(attested.document).decode(),
                "pcrs": pcrs,
            }
        )
