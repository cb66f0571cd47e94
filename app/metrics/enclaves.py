"""What this parent knows of its enclaves, as gauges: connections, and whether an enclave is asked at all."""

from collections.abc import Iterable, Iterator

from app.enclave import Enclave
from app.metrics.numbers import Labels, Numbers


def show(numbers: Numbers, enclaves: Iterable[Enclave]) -> None:
    """Show the numbers of `enclaves`, which do not change while the parent runs."""
    known = tuple((enclave, (enclave.service.name, str(enclave.cid))) for enclave in enclaves)

    def connections() -> Iterator[tuple[Labels, float]]:
        for enclave, labels in known:
            yield (*labels, "busy"), enclave.in_flight
            yield (*labels, "idle"), enclave.pool.idle

    numbers.gauge(
        "tytle_pool_connections",
        "Connections to an enclave: busy ones, with the calls that wait for one, and idle ones.",
        ("service", "enclave", "state"),
        connections,
    )
    numbers.gauge(
        "tytle_enclave_serving",
        "1 where every process gives the enclave calls, 0 where one has ejected it or it is drained.",
        ("service", "enclave"),
        lambda: ((labels, 0 if enclave.ejected or enclave.draining else 1) for enclave, labels in known),
        mode="livemin",
    )
