"""What is deployed: which enclaves, with how much memory, and the proxies that they need. Pure values.

One host is one plan; every host of a group is the same.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from deploy.errors import BadPlan
from policy.manifest import LEAST_CID, MOST_CID, Manifest, Upstream

MEMORY_PER_EIF = 4  # AWS user guide: an enclave needs at least four times the size of its image file
LEAST_MEMORY_MIB = 512  # ours: 128 calls of 1 MiB beside image, kernel and worker; booted tests use 768
HUGE_PAGE_MIB = 2  # allocator/src/resources/huge_pages.rs: what is no multiple of a page cannot be reserved
CPUS_PER_ENCLAVE = 2  # whole cores only, and a core is two vCPUs on the types of INSTANCE_SIZES
PARENT_CPUS = 2  # AWS user guide, multiple enclaves: two vCPUs stay with the parent where threads are on
MAX_ENCLAVES = 4  # AWS user guide: four enclaves from one parent instance
PROXY_WORKERS = 128  # connections of one enclave to one upstream: app/doctor.py, NEEDED_PROXY_WORKERS
INSTANCE_SIZES = {4: "m5.xlarge", 8: "m5.2xlarge", 16: "m5.4xlarge"}  # by vCPUs; 16, 32 and 64 GiB

_ENV = re.compile(r"[a-z][a-z0-9]{0,15}")  # it becomes part of the names of parameters and resources
_REGISTRY = re.compile(r"[a-z0-9][a-z0-9.:/_-]{0,200}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Enclave:
    """One enclave of a host: its service, its CID, and how much memory (MiB) it gets."""

    service: Manifest
    cid: int
    memory_mib: int

    @property
    def name(self) -> str:
        """Return the name that nitro-cli and the unit have."""
        return f"tytle-{self.service.name}-{self.cid}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """One vsock-proxy: an upstream, and how many connections all enclaves of its service make together."""

    upstream: Upstream
    workers: int

    @property
    def remote_port(self) -> int:
        """Return the TCP port of the upstream: URLs name no other (policy/url.py)."""
        return 443 if self.upstream.tls else 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What one host runs. `env` names the deployment, `registry` where Kubernetes finds its images."""

    env: str
    registry: str
    enclaves: tuple[Enclave, ...]

    @property
    def services(self) -> tuple[Manifest, ...]:
        """Return each service once, in the order of the CIDs."""
        return tuple({enclave.service.name: enclave.service for enclave in self.enclaves}.values())

    @property
    def proxies(self) -> tuple[Proxy, ...]:
        """Return the proxies of all services."""
        return tuple(
            Proxy(upstream=upstream, workers=PROXY_WORKERS * len(self.of(service)))
            for service in self.services
            for upstream in service.upstreams
        )

    @property
    def cpus(self) -> int:
        """Return how many vCPUs a host needs."""
        return PARENT_CPUS + CPUS_PER_ENCLAVE * len(self.enclaves)

    @property
    def instance_type(self) -> str:
        """Return the smallest of the usual types that is enough."""
        return next(name for cpus, name in sorted(INSTANCE_SIZES.items()) if cpus >= self.cpus)

    def of(self, service: Manifest) -> tuple[Enclave, ...]:
        """Return the enclaves of one service."""
        return tuple(enclave for enclave in self.enclaves if enclave.service.name == service.name)


def memory_mib(eif_bytes: int) -> int:
    """Return the memory (MiB) for an image of this size."""
    needed = max(LEAST_MEMORY_MIB * 1024**2, MEMORY_PER_EIF * eif_bytes)
    page = HUGE_PAGE_MIB * 1024**2
    return -(-needed // page) * HUGE_PAGE_MIB


def make(
    services: Iterable[Manifest],
    *,
    env: str,
    registry: str,
    eif_bytes: Mapping[str, int],
    cids: Mapping[str, tuple[int, ...]],
    memory: Mapping[str, int],
) -> Plan:
    """Return the plan of a host with these services.

    `eif_bytes` has the size of each service's image; `cids` the CIDs of a service that has others than its manifest's
    (two for a rolling update); `memory` (MiB) is more than the image alone would need.

    Raises:
        BadPlan: no or too many enclaves, a CID twice or out of range, a size that is missing, less memory than needed.
    """
    chosen = sorted(services, key=lambda service: service.cid)
    _check_names(chosen, env, registry, cids, memory)
    enclaves = tuple(
        Enclave(service=service, cid=cid, memory_mib=_memory(service.name, eif_bytes, memory))
        for service in chosen
        for cid in cids.get(service.name, (service.cid,))
    )
    _check_enclaves(enclaves)
    return Plan(env=env, registry=registry, enclaves=enclaves)


def _check_names(
    services: list[Manifest], env: str, registry: str, cids: Mapping[str, object], memory: Mapping[str, object]
) -> None:
    if not _ENV.fullmatch(env):
        raise BadPlan(f"env: got {env!r}, expected a letter and at most 15 letters and digits, in lower case")
    if not _REGISTRY.fullmatch(registry):
        raise BadPlan(f"registry: got {registry!r}, expected a host and perhaps a path")
    known = {service.name for service in services}
    for name in (*cids, *memory):
        if name not in known:
            raise BadPlan(f"{name!r} is none of the services that are deployed: {sorted(known)}")


def _check_enclaves(enclaves: tuple[Enclave, ...]) -> None:
    if not 1 <= len(enclaves) <= MAX_ENCLAVES:
        raise BadPlan(f"got {len(enclaves)} enclaves, expected 1 to {MAX_ENCLAVES}: a host runs no more")
    numbers = [enclave.cid for enclave in enclaves]
    if len(set(numbers)) != len(numbers):
        raise BadPlan(f"a CID is used twice: {numbers}")
    if not all(LEAST_CID <= cid <= MOST_CID for cid in numbers):
        raise BadPlan(f"a CID is out of range: {numbers}, expected {LEAST_CID} to {MOST_CID}")


def _memory(name: str, eif_bytes: Mapping[str, int], memory: Mapping[str, int]) -> int:
    if name not in eif_bytes:
        raise BadPlan(f"there is no measurements.json of {name!r} among the images")
    least = memory_mib(eif_bytes[name])
    wanted = memory.get(name, least)
    if wanted < least or wanted % HUGE_PAGE_MIB:
        raise BadPlan(f"memory of {name!r}: got {wanted} MiB, expected an even number from {least}")
    return wanted
