"""Which pictures a file of results gives: `python -m bench.plots RESULTS.json` draws them again, beside it.

Every picture is made from the `points` of one measurement in that file, and from nothing else.
"""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.svg import Chart, Line, Point, draw

MODES = ("document", "batch", "session")
SERVICE_MS = 10  # of the plot by callers
CLIENTS = 64  # of the plot by service time
Points = Sequence[Mapping[str, Any]]


def write(results: Path) -> list[Path]:
    """Draw what the results hold points for; return the files, `RESULTS-PLOT.svg`."""
    measured = json.loads(results.read_text(encoding="utf-8"))["measurements"]
    written = []
    for name, (letter, chart) in PLOTS.items():
        points = measured.get(letter, {}).get("points")
        if points:
            path = results.with_name(f"{results.stem}-{name}.svg")
            path.write_text(draw(chart(points)), encoding="utf-8")
            written.append(path)
    return written


def throughput(points: Points) -> Chart:
    """(d) Answers per second by NSM service time."""
    chosen = [point for point in points if point["clients"] == CLIENTS]
    return Chart(
        title="Throughput by the NSM's service time",
        subtitle=f"{CLIENTS} callers, closed loop; median, bars from the least to the most round",
        x_label="service time of the NSM, ms per document",
        y_label="attested answers per second (log)",
        ticks=[(service, str(service)) for service in sorted({point["service_ms"] for point in chosen})],
        evenly=True,
        lines=[
            Line(name=mode, colour=colour, points=_line(_of(chosen, mode=mode), "service_ms", "answers_per_second"))
            for colour, mode in enumerate(MODES)
        ],
    )


def latency(points: Points) -> Chart:
    """(d) Latency by the number of callers."""
    chosen = [point for point in points if point["service_ms"] == SERVICE_MS]
    return Chart(
        title=f"Latency by callers, NSM service time {SERVICE_MS} ms",
        subtitle="closed loop; p99 drawn through, p50 dashed; median, bars from the least to the most round",
        x_label="callers at the same time (log)",
        y_label="latency, ms (log)",
        ticks=[(clients, str(clients)) for clients in sorted({point["clients"] for point in chosen})],
        lines=[
            Line(
                name=f"{mode}, {field}",
                colour=colour,
                points=_line(_of(chosen, mode=mode), "clients", f"{field}_ms"),
                dashed=field == "p50",
            )
            for colour, mode in enumerate(MODES)
            for field in ("p99", "p50")
        ],
    )


def bodies(points: Points) -> Chart:
    """(f) CPU time by the size of a body."""
    ways = {"answer": "in the answer", "request": "in the request"}
    return Chart(
        title="CPU time by body size",
        subtitle="parent, worker and upstream together, mode session; median, bars from the least to the most round",
        x_label="bytes of the body (log)",
        y_label="CPU milliseconds per answer (log)",
        ticks=[(size, _size(size)) for size in sorted({point["bytes"] for point in points})],
        lines=[
            Line(name=name, colour=colour, points=_line(_of(points, way=way), "bytes", "cpu_ms"))
            for colour, (way, name) in enumerate(ways.items())
        ],
    )


def percentiles(points: Points) -> Chart:
    """(i) Latency percentiles at 70 % of the peak."""
    fields = {"p50_ms": "p50", "p90_ms": "p90", "p99_ms": "p99", "p999_ms": "p99.9"}
    return Chart(
        title="Latency at 70 % of the peak",
        subtitle="requests due on a fixed schedule (open loop); median, bars from the least to the most round",
        x_label="percentile",
        y_label="latency, ms (log)",
        ticks=list(enumerate(fields.values())),
        evenly=True,
        lines=[
            Line(
                name=point["name"].replace("attested fetch, ", "").replace(" (peer)", ""),
                colour=colour,
                points=[Point(index, **point[field]) for index, field in enumerate(fields)],
            )
            for colour, point in enumerate(points)
        ],
    )


PLOTS: Mapping[str, tuple[str, Callable[[Points], Chart]]] = {
    "throughput": ("d", throughput),
    "latency": ("d", latency),
    "bodies": ("f", bodies),
    "percentiles": ("i", percentiles),
}


def _of(points: Points, **wanted: object) -> Points:
    return [point for point in points if all(point[name] == value for name, value in wanted.items())]


def _line(points: Points, x: str, y: str) -> list[Point]:
    return [Point(point[x], **point[y]) for point in sorted(points, key=lambda point: float(point[x]))]


def _size(size: int) -> str:
    return f"{size // 1024**2} MiB" if size >= 1024**2 else f"{size // 1024} KiB"


def main(arguments: list[str]) -> int:
    """Draw the plots of one file of results."""
    for path in write(Path(arguments[0])):
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
