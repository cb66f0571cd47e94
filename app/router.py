"""Which enclave serves which host. The table comes from the manifests and never changes while the parent runs."""

from dataclasses import dataclass

from app.config import Config
from app.errors import ApiError
from app.pool import EnclavePool
from policy.manifest import Manifest
from wire.addresses import VsockAddress


@dataclass(frozen=True, slots=True, kw_only=True)
class Enclave:
    """A service and the connections to its enclave."""

    service: Manifest
    pool: EnclavePool

    @property
    def cid(self) -> int:
        """The CID that callers are shown: the one in use, or the manifest's where AF_VSOCK is not used."""
        address = self.pool.address
        return address.cid if isinstance(address, VsockAddress) else self.service.cid

    @property
    def hosts(self) -> list[str]:
        """The upstream hosts of the service, in the manifest's order."""
        return [upstream.host for upstream in self.service.upstreams]


class Router:
    """Finds an enclave by host name, compared exactly."""

    def __init__(self, config: Config) -> None:
        self.enclaves = tuple(
            Enclave(service=service, pool=EnclavePool(config.address(service), connections=config.connections))
            for service in config.manifests
        )
        self._by_host = {host: enclave for enclave in self.enclaves for host in enclave.hosts}

    def named(self, name: str) -> Enclave:
        """Return the enclave of the service `name`.

        Raises:
            ApiError: 404, there is none.
        """
        for enclave in self.enclaves:
            if enclave.service.name == name:
                return enclave
        raise ApiError(404, "no_enclave", "No enclave configured under this name")

    def find(self, host: str) -> Enclave:
        """Return the enclave for `host` (lower-case).

        Raises:
            ApiError: 404, no service has it.
        """
        enclave = self._by_host.get(host)
        if enclave is None:
            raise ApiError(404, "no_enclave", f"No enclave configured for host: {host}")
        return enclave

    def close(self) -> None:
        """Close the idle connections to every enclave."""
        for enclave in self.enclaves:
            enclave.pool.close()
