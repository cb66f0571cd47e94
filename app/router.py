"""Which service serves which host. The table comes from the manifests and never changes while the parent runs."""

from app.config import Config
from app.enclave import Enclave
from app.errors import ApiError
from app.fleet import Fleet


class Router:
    """Finds the enclaves of a service by one of its hosts, compared exactly, or by its name."""

    def __init__(self, config: Config) -> None:
        self.fleets = tuple(
            Fleet(service, config.places(service), connections=config.connections) for service in config.manifests
        )
        self._by_host = {host: fleet for fleet in self.fleets for host in fleet.service.hosts}

    @property
    def enclaves(self) -> tuple[Enclave, ...]:
        """Every enclave, in the order of the services."""
        return tuple(enclave for fleet in self.fleets for enclave in fleet.enclaves)

    def named(self, name: str) -> Fleet:
        """Return the enclaves of the service `name`.

        Raises:
            ApiError: 404, there is none.
        """
        for fleet in self.fleets:
            if fleet.service.name == name:
                return fleet
        raise ApiError(404, "no_enclave", "No enclave configured under this name")

    def find(self, host: str) -> Fleet:
        """Return the enclaves for `host` (lower-case).

        Raises:
            ApiError: 404, no service has it.
        """
        fleet = self._by_host.get(host)
        if fleet is None:
            raise ApiError(404, "no_enclave", f"No enclave configured for host: {host}")
        return fleet

    def close(self) -> None:
        """Close the idle connections to every enclave."""
        for fleet in self.fleets:
            fleet.close()
