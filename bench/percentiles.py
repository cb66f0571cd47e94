"""(i) Latency at 70 % of the peak, on a schedule that waits for nobody: see bench/paced.py.

The peer is asked at 70 % of its own peak, and at the rate that we have at 70 % of ours, mode session.
"""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from bench import ours, upstream
from bench.paced import CONNECTIONS
from bench.processes import Processes
from bench.report import Figure, Report, Table, in_full
from bench.rounds import Series, Settings, Spread, interleave
from bench.whole_path import attested_fetches, flask_view

SHARE = 0.7  # of the peak
COLUMNS = {"p50 ms": "p50_ms", "p90 ms": "p90_ms", "p99 ms": "p99_ms", "p99.9 ms": "p999_ms"}


def measure(settings: Settings) -> Report:
    """Run the measurement: first every peak, in a closed loop, then the schedules."""
    settings = settings.fewer()
    with Processes() as processes:
        server = upstream.start(processes)
        targets = [flask_view(processes, server, stock=True), *attested_fetches(processes, server)]
        peaks = interleave(processes, [target.closed(settings) for target in targets], settings)
        rates = [SHARE * peak.spread(lambda sample: sample.rate).median for peak in peaks]
        paced = [target.paced(rate) for target, rate in zip(targets, rates, strict=True)]
        together = targets[0].paced(rates[-1])
        scheduled = interleave(processes, [*paced, together], settings)
    return Report(
        letter="i",
        title="Latency at 70 % of the peak",
        settings=settings,
        notes=(
            "measured  POST /attest/fetch as in (b), and its stock peer. Requests are due at random instants that were "
            "fixed beforehand (Poisson); a latency counts from the instant that a request was due, whether or not it "
            "could be sent then.",
            f"rate      {SHARE:.0%} of what a closed loop of {settings.clients} clients got just before: of each one's "
            "own; and the peer also at the rate of session.",
            f"served    {ours.served(settings).partition(';')[0]}; {CONNECTIONS} keep-alive connections. "
            f"Stock: {ours.stock()}.",
            f"upstream  {server.name}, HTTPS with keep-alive on loopback TCP; vsock-proxy is left out.",
            "late      how late the load generator noticed that a request was due, p99: it is in the latencies.",
        ),
        series=(*peaks, *scheduled),
        tables=(_peaks(peaks), _percentiles(scheduled)),
        figures=tuple(_against(scheduled[-2], scheduled[-1])),
        points=tuple(_points(scheduled)),
    )


def _against(session: Series, peer: Series) -> Iterable[Figure]:
    for name, field in COLUMNS.items():
        pairs = zip(session.samples, peer.samples, strict=True)
        ratios = Spread.of(getattr(a.figures, field) / getattr(b.figures, field) for a, b in pairs)
        yield Figure(
            f"{name.removesuffix(' ms')}, session / peer at the same rate", "(below 1: shorter)", ".2f", ratios
        )


def _points(scheduled: list[Series]) -> Iterable[dict[str, Any]]:
    for series in scheduled:
        latencies = {field: asdict(_latency(series, field)) for field in COLUMNS.values()}
        yield {"name": series.subject.name, **latencies}


def _peaks(peaks: list[Series]) -> Table:
    rows = [(one.subject.name, in_full(one.spread(lambda sample: sample.rate), ",.0f")) for one in peaks]
    return Table(title="The peaks, in a closed loop:", head=("", "answers/s"), rows=rows)


def _percentiles(scheduled: list[Series]) -> Table:
    rows = [
        (
            one.subject.name,
            *(in_full(_latency(one, field), ",.1f") for field in COLUMNS.values()),
            f"{_latency(one, 'late_ms').median:.1f}",
            f"{one.errors}",
        )
        for one in scheduled
    ]
    return Table(title="On schedule:", head=("", *COLUMNS, "late ms", "errors"), rows=rows)


def _latency(series: Series, field: str) -> Spread:
    return series.spread(lambda sample: float(getattr(sample.figures, field)))
