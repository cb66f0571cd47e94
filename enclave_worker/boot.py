"""The boot of a worker inside an enclave: checks in a fixed order, each of which fails closed.

    1 entropy      the kernel draws from the NSM; 256 more bytes of the NSM's are mixed in, and it is reseeded with them
    2 clock        the kernel's clock agrees with the time in a signed document
    3 measurement  PCR0 is not zero, which it is in debug mode
    4 manifest     its digest is extended into PCR16, and PCR16 is locked
    5 process      no core dumps, no environment, an unprivileged uid, memory that others cannot read

What was found is the boot report, part of the identity that the worker shows. A worker that does not boot does not
listen.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from enclave_worker import system
from enclave_worker.system import SystemRefused
from nsm import client
from nsm.client import Exchange
from nsm.errors import NsmError
from policy.manifest import Manifest

NSM_RNG = "nsm-hwrng"  # Linux drivers/misc/nsm.c
MAX_CLOCK_DIFFERENCE_MS = 10_000  # a statement's time must mean something; AWS keeps the host's clock within a second
MANIFEST_PCR = 16  # the first that the enclave's own code may extend (AWS user guide, "Cryptographic attestation")
UID = 1000
PCR_BYTES = 48


class BootRefused(Exception):
    """The worker must not start. `check` names what failed."""

    advice = "Read the message; do not weaken the check."

    def __init__(self, check: str, problem: str) -> None:
        super().__init__(f"{check}: {problem}")
        self.check = check


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the boot report: which check, and what it found."""

    check: str
    found: str


Report = tuple[Finding, ...]


def boot(
    exchange: Exchange, manifest: Manifest, *, clock_ms: Callable[[], int], allow_debug: bool = False, uid: int = UID
) -> Report:
    """Run every check and return the report. `allow_debug` is for development images, never set in `__main__.py`.

    Raises:
        BootRefused: a check failed; nothing later was done.
    """
    checks: tuple[tuple[str, Callable[[], str]], ...] = (
        ("entropy", lambda: check_entropy(exchange)),
        ("clock", lambda: check_clock(exchange, clock_ms)),
        ("measurement", lambda: check_measurement(exchange, allow_debug=allow_debug)),
        ("manifest", lambda: seal_manifest(exchange, manifest.digest)),
        ("process", lambda: confine_process(uid)),
    )
    return tuple(Finding(check=name, found=_run(name, check)) for name, check in checks)


def check_entropy(exchange: Exchange) -> str:
    """Demand that the kernel's generator is the NSM's, and reseed it with more of the NSM's bytes."""
    rng = system.current_rng()
    if rng != NSM_RNG:
        raise SystemRefused(f"the kernel's generator is {rng!r}, expected {NSM_RNG!r}")
    data = client.get_random(exchange)
    system.mix_entropy(data)
    return f"{rng}, {len(data)} bytes mixed in, reseeded"


def check_clock(exchange: Exchange, clock_ms: Callable[[], int]) -> str:
    """Compare the enclave's clock with the time that the NSM signs."""
    difference = clock_ms() - client.attest(exchange).fields.timestamp_ms
    if abs(difference) > MAX_CLOCK_DIFFERENCE_MS:
        raise SystemRefused(f"the clock differs by {difference} ms from the NSM's, at most {MAX_CLOCK_DIFFERENCE_MS}")
    return f"{difference} ms from the NSM's"


def check_measurement(exchange: Exchange, *, allow_debug: bool) -> str:
    """Demand that PCR0 names an image."""
    pcr0 = client.describe_pcr(exchange, 0).data
    if any(pcr0):
        return f"PCR0 {pcr0.hex()}"
    if not allow_debug:
        raise SystemRefused("PCR0 is zero: the enclave was started in debug mode")
    return "PCR0 is zero: debug mode, allowed in this development image"


def seal_manifest(exchange: Exchange, digest: bytes) -> str:
    """Extend the manifest's digest into PCR16 and lock it, so that every document names the policy by itself."""
    before = client.describe_pcr(exchange, MANIFEST_PCR)
    if before.lock or any(before.data):
        raise SystemRefused(f"PCR{MANIFEST_PCR} has been used before")
    value = client.extend_pcr(exchange, MANIFEST_PCR, digest)
    expected = hashlib.sha384(bytes(PCR_BYTES) + digest).digest()
    if value != expected:
        raise SystemRefused(f"PCR{MANIFEST_PCR} is {value.hex()}, expected {expected.hex()}")
    client.lock_pcr(exchange, MANIFEST_PCR)
    after = client.describe_pcr(exchange, MANIFEST_PCR)
    if not after.lock or after.data != expected:
        raise SystemRefused(f"PCR{MANIFEST_PCR} was not locked")
    return f"PCR{MANIFEST_PCR} {expected.hex()}, locked"


def confine_process(uid: int) -> str:
    """Give up what the worker does not need: core dumps, environment, privileges, readable memory."""
    system.forbid_core_dumps()
    cleared = system.clear_environment()
    system.drop_privileges(uid)
    system.check_not_dumpable()
    return f"uid {uid}, no core dumps, not dumpable, {cleared} environment variables removed"


def _run(name: str, check: Callable[[], str]) -> str:
    try:
        return check()
    except (SystemRefused, NsmError) as exc:
        raise BootRefused(name, str(exc)) from exc
