"""What the archive says of itself, as metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.metrics.numbers import Numbers

if TYPE_CHECKING:
    from app.archive.archive import Archive  # which loads SQLAlchemy: only where there is an archive


def show(numbers: Numbers, archive: Archive) -> None:
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
