"""Who this worker is: service, manifest, boot, boot report and sealing key, bound into an NSM document.

The identity is deterministic CBOR, returned verbatim; the document's `user_data` holds its SHA-256 and that of the
sealing key, its `nonce` is the caller's challenge. CDDL: ARCHITECTURE.md, "Boot and identity".
"""

import base64
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from enclave_worker import reply
from enclave_worker.attestation import Attestor, check_clock
from enclave_worker.boot import Report
from enclave_worker.reply import Reply
from enclave_worker.sealed.envelope import SUITE_NAME
from enclave_worker.sealed.keys import SealingKey
from enclave_worker.statement import Identity, deterministic

PROFILE = "tytle/enclave-identity/v1"
ATTESTATION_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """An identity that can be shown again and again, each time under another challenge. `lasting` never changes."""

    service: str
    lasting: dict[str, Any]

    @classmethod
    def of(cls, identity: Identity, report: Report) -> "Card":
        """Return the card of a worker that has booted; outside an enclave the report is empty, and shown as such."""
        findings = [[finding.check, finding.found] for finding in report]
        lasting = {
            "profile": PROFILE,
            "service": identity.service,
            "manifest": identity.manifest,
            "boot": identity.boot,
            "report": findings,
        }
        return cls(service=identity.service, lasting=lasting)

    def show(
        self, attestor: Attestor, challenge: bytes | None, key: SealingKey, *, clock_ms: Callable[[], int]
    ) -> Reply:
        """Return the reply to a request for the identity, with the key to seal to. `clock_ms` is the enclave's.

        Raises:
            QueueFull, AttestationFailed: the NSM is busy or broken, or does not agree with the clock: such an enclave
                would carry requests out and withhold the answers.
        """
        sealing = {"suite": SUITE_NAME, "key": key.public, "until": key.until_ms}
        encoded = deterministic({**self.lasting, "sealing": sealing})
        bound = {"profile": PROFILE, "identity": hashlib.sha256(encoded).digest(), "key": key.id}
        deadline = time.monotonic() + ATTESTATION_SECONDS
        with attestor.reserve() as place:
            attested = place.attest(nonce=challenge, user_data=deterministic(bound), deadline=deadline)
        check_clock(clock_ms(), attested)
        pcrs = {f"pcr{index}": value.hex() for index, value in attested.fields.pcrs.items() if any(value)}
        return reply.of(
            {
                "success": True,
                "service": self.service,
                "identity": base64.b64encode(encoded).decode(),
                "nsmDocument": base64.b64encode(attested.document).decode(),
                "pcrs": pcrs,
            }
        )
