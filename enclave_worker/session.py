"""Session mode: a P-256 key of this boot, vouched for by one NSM document, signs instead of the NSM.

The document binds the key (`public_key`, SPKI in DER) and, in `user_data`, what it is for: service, manifest and boot.
It is asked for before the upstream is, and anew long before its leaf certificate expires; the key stays. As long as a
document holds, no answer is lost because another one could not be had. What the key signs is the same user data map
that a document would carry, in a COSE_Sign1 under ES256 (RFC 9052, RFC 9053 2.1).
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from enclave_worker.attestation import AttestationError, AttestationFailed, Attestor, QueueFull, check_clock
from enclave_worker.boot import MAX_CLOCK_DIFFERENCE_MS
from enclave_worker.shown import show
from enclave_worker.statement import Identity, deterministic
from nsm.client import Attested

PROFILE = "tytle/attested-session/v1"
PROTECTED = b"\xa1\x01\x26"  # {1: -7}: ES256
MAX_AGE_MS = 3_600_000  # ours: a third of the life of AWS's leaf certificates
MAX_RENEWAL_SECONDS = 1.0  # ours: how long a call waits for another document while one holds; an NSM takes milliseconds
_COORDINATE_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """`message` is the COSE_Sign1; `attested` holds the document that vouches for the key, `shown` is its JSON."""

    attested: Attested
    shown: bytes
    message: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class _Voucher:
    attested: Attested
    shown: bytes
    renew_ms: int  # from then on it is time for another
    last_ms: int  # from then on it is used no longer, also while another is being asked for
    ahead_ms: int  # of `time.monotonic()`, which nobody sets, the enclave's clock was then

    def is_fresh(self, now_ms: int) -> bool:
        return now_ms < self.renew_ms and self.holds(now_ms)

    def holds(self, now_ms: int) -> bool:
        return now_ms < self.last_ms and abs(_ahead(now_ms) - self.ahead_ms) <= MAX_CLOCK_DIFFERENCE_MS


class Session:
    """The session key and its current document. Safe to use from many threads."""

    def __init__(self, attestor: Attestor, identity: Identity) -> None:
        self._attestor = attestor
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._public = self._key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self._purpose = deterministic(
            {"profile": PROFILE, "service": identity.service, "manifest": identity.manifest, "boot": identity.boot}
        )
        self._voucher: _Voucher | None = None
        self._renewing = threading.Lock()

    def prepare(self, *, clock_ms: Callable[[], int], deadline: float) -> None:
        """See to it that there is a document for the key, before anything is asked of an upstream.

        One that is old is renewed, or kept for as long as it holds.

        Raises:
            AttestationFailed, QueueFull: there is none, and none could be had; or the one that came shows that the
                enclave's clock is wrong.
        """
        voucher = self._voucher
        if voucher is None or not voucher.is_fresh(clock_ms()):
            self._renew(clock_ms, deadline)

    def sign(self, user_data: bytes, *, clock_ms: Callable[[], int], deadline: float) -> Signed:
        """Return `user_data` signed. `clock_ms` is the enclave's, `deadline` an instant on `time.monotonic()`.

        Raises:
            AttestationFailed: the document that was prepared holds no longer, and no other could be had.
        """
        try:
            voucher = self._holding(clock_ms()) or self._renew(clock_ms, deadline)
        except QueueFull as exc:  # not "at capacity", which means that nothing was asked yet
            raise AttestationFailed(f"the session's document: {exc}") from exc
        structure = cbor2.dumps(["Signature1", PROTECTED, b"", user_data])
        r, s = decode_dss_signature(self._key.sign(structure, ec.ECDSA(hashes.SHA256())))
        signature = r.to_bytes(_COORDINATE_BYTES, "big") + s.to_bytes(_COORDINATE_BYTES, "big")
        message = cbor2.dumps([PROTECTED, {}, user_data, signature])
        return Signed(attested=voucher.attested, shown=voucher.shown, message=message)

    def _holding(self, now_ms: int) -> _Voucher | None:
        voucher = self._voucher
        return voucher if voucher is not None and voucher.holds(now_ms) else None

    def _renew(self, clock_ms: Callable[[], int], deadline: float) -> _Voucher:
        """Return what can be signed under from now on: a fresh document, or for want of one what still holds."""
        holding = self._holding(clock_ms())
        patience = 0.0 if holding else max(0.0, deadline - time.monotonic())
        if not self._renewing.acquire(timeout=patience):
            if holding is None:
                raise AttestationFailed("the session's document did not come in time")
            return holding  # somebody asks for another; this one does until it comes
        try:
            voucher = self._voucher  # somebody else may have been faster
            if voucher is not None and voucher.is_fresh(clock_ms()):
                return voucher
            return self._renewed(clock_ms, deadline)
        finally:
            self._renewing.release()

    def _renewed(self, clock_ms: Callable[[], int], deadline: float) -> _Voucher:
        try:
            attested = self._ask(_renewal_deadline(deadline) if self._holding(clock_ms()) else deadline)
            voucher = _voucher(attested, now_ms := clock_ms())
        except AttestationError:
            holding = self._holding(clock_ms())
            if holding is None:
                raise
            return holding
        try:
            check_clock(now_ms, attested)
        except AttestationFailed:
            self._voucher = None  # by the same clock the old one holds
            raise
        self._voucher = voucher
        return voucher

    def _ask(self, deadline: float) -> Attested:
        with self._attestor.reserve() as place:
            return place.attest(nonce=None, user_data=self._purpose, public_key=self._public, deadline=deadline)


def _renewal_deadline(deadline: float) -> float:
    """Return how long to wait for what can be done without: most of the time is the upstream's."""
    now = time.monotonic()
    return now + min(MAX_RENEWAL_SECONDS, max(0.0, deadline - now) / 2)


def _voucher(attested: Attested, now_ms: int) -> _Voucher:
    signed_ms = attested.fields.timestamp_ms
    left_ms = _expires_ms(attested.fields.certificate) - signed_ms
    return _Voucher(
        attested=attested,
        shown=show(attested),
        renew_ms=signed_ms + min(MAX_AGE_MS, left_ms // 2),
        last_ms=signed_ms + min(2 * MAX_AGE_MS, left_ms * 3 // 4),
        ahead_ms=_ahead(now_ms),
    )


def _expires_ms(certificate: bytes) -> int:
    try:
        return int(x509.load_der_x509_certificate(certificate).not_valid_after_utc.timestamp() * 1000)
    except ValueError as exc:
        raise AttestationFailed("the certificate of the session's document cannot be read") from exc


def _ahead(now_ms: int) -> int:
    return now_ms - round(time.monotonic() * 1000)
