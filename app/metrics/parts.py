"""What the parent's parts say of themselves, as metrics: enclaves, gate, archive. Their numbers are their own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from app.enclave import Enclave
from app.gate import Gate
from app.metrics.numbers import Labels, Numbers

if TYPE_CHECKING:
    from app.archive.archive import Archive  # which loads SQLAlchemy: only where there is an archive


def show_enclaves(numbers: Numbers, enclaves: Iterable[Enclave]) -> None:
    """Show the connections of `enclaves`, which do not change while the parent runs, and which of them are asked."""
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


def show_gate(numbers: Numbers, gate: Gate) -> None:
    """Show the places at the services, and the memory for bodies. What was refused is among the requests."""

    def places() -> Iterator[tuple[Labels, float]]:
        for each in gate.bulkheads.occupancy():
            yield (each.service, "taken"), each.running
            yield (each.service, "free"), each.capacity - each.running
            yield (each.service, "waiting"), each.waiting

    numbers.gauge(
        "tytle_service_places",
        "Places for calls to a service: taken, free, and calls that wait for one.",
        ("service", "state"),
        places,
    )
    numbers.gauge(
        "tytle_request_body_bytes",
        "Memory reserved for the bodies of requests.",
        (),
        lambda: [((), gate.numbers().body_bytes)],
    )


def show_archive(numbers: Numbers, archive: Archive) -> None:
    """Show the archive's numbers: each process has a queue of its own before the one database."""
    condition = archive.condition
    numbers.counter("tytle_archive_saved_total", "Answers that were archived.", (), lambda: [((), condition().saved)])
    numbers.counter(
        "tytle_archive_lost_total",
        "Answers that were handed out and could not be archived.",
        (),
        lambda: [((), condition().lost)],
    )
    numbers.gauge(
        "tytle_archive_waiting_bytes",
        "Answers that wait to be archived.",
        (),
        lambda: [((), condition().waiting_bytes)],
    )
    numbers.gauge(
        "tytle_archive_saving",
        "1 where every process can archive at present, else 0.",
        (),
        lambda: [((), int(condition().saving))],
        mode="livemin",
    )
