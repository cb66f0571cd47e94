"""(f) What a body costs, 1 KiB to 8 MiB, in an answer or a request; and what 20,000 past requests do to the next one.

Cost should grow in proportion to the one, and not at all with the other. The peer of processes with a past are the same
processes without one. Bodies are asked of a third set of processes, without a past either: what large bodies leave
behind in these shows in their own answers to the smallest, the control of the comparison.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any

from bench import ours, sized, upstream
from bench.ours import Target
from bench.processes import BenchError, Processes
from bench.report import Figure, Ratio, Report, Table, in_full
from bench.rounds import Series, Settings, Spread, interleave, sample
from bench.upstream import Upstream

CLIENTS = 4  # of 8 MiB each way; enough to keep two cores busy
MODE = "session"  # its proof costs least, so that the body's part shows
SMALL = 1024
MIB = 1024 * 1024
REQUESTS = 20_000
WARM_UP = 500
MOST_SECONDS = 600  # for the past requests; they end with the last answer
STEPS = (("1 KiB", "256 KiB"), ("256 KiB", "1 MiB"), ("1 MiB", "8 MiB"))
LARGEST = "8 MiB"
WAYS = {"answer": "in the answer", "request": "in the request"}

Place = tuple[str, str]  # way, size
Grid = Mapping[Place, Series]


def measure(settings: Settings) -> Report:
    """Run the measurement."""
    settings = replace(settings.fewer(), seconds=settings.seconds / 2, clients=CLIENTS)
    with Processes() as processes:
        server = upstream.start(processes)
        sizes = {name: size for name, size in sized.MORE_SIZES.items() if size <= server.max_body_bytes}
        old, new, control = (_serve(processes, server, name) for name in ("old", "new", "control"))
        _ask(processes, old, REQUESTS, settings)
        for each in (new, control):
            _ask(processes, each, WARM_UP, settings)
        past = [each.closed(settings) for each in (control, old, new)]  # the control bears what the last round left
        places = [(way, name) for name in sizes for way in WAYS]
        bodies = [_target(processes, control, place, sizes[place[1]]).closed(settings) for place in places]
        third, aged, fresh, *series = interleave(processes, [*past, *bodies], settings)
    grid = dict(zip(places, series, strict=True))
    return Report(
        letter="f",
        title="Bodies, and past requests",
        settings=settings,
        notes=_notes(server, settings),
        series=(third, aged, fresh, *series),
        tables=tuple(_table(grid, way, list(sizes)) for way in WAYS),
        ratios=(
            Ratio(f"after {REQUESTS:,} requests / after {WARM_UP:,}", aged.ratio_to(fresh)),
            Ratio(f"after {WARM_UP:,} requests and bodies / after {WARM_UP:,} (control)", third.ratio_to(fresh)),
        ),
        figures=(*growth(grid, sizes), *_past(aged, fresh, third)),
        points=tuple(points(grid, sizes)),
    )


def growth(grid: Grid, sizes: Mapping[str, int]) -> Iterable[Figure]:
    """Return what one more MiB costs from size to size, and how far the largest is from a straight line."""
    for way, where in WAYS.items():
        cost = {name: [sample.served_ms() for sample in grid[way, name].samples] for name in sizes}
        for small, large in STEPS:
            if large in sizes:
                more = (sizes[large] - sizes[small]) / MIB
                spread = Spread.of((b - a) / more for a, b in zip(cost[small], cost[large], strict=True))
                yield Figure(f"one more MiB {where}, {small} to {large}", "ms of CPU", ".1f", spread)
        if LARGEST in sizes:
            steps = (sizes[LARGEST] - sizes["1 KiB"]) / (sizes["1 MiB"] - sizes["1 KiB"])
            rounds = zip(cost["1 KiB"], cost["1 MiB"], cost[LARGEST], strict=True)
            spread = Spread.of(largest / (least + steps * (middle - least)) for least, middle, largest in rounds)
            yield Figure(f"{LARGEST} {where} / line of 1 KiB, 1 MiB", "(1: linear)", ".2f", spread)


def points(grid: Grid, sizes: Mapping[str, int]) -> Iterable[dict[str, Any]]:
    """Return what the plots show."""
    for (way, name), series in grid.items():
        yield {
            "way": way,
            "bytes": sizes[name],
            "answers_per_second": asdict(series.spread(lambda sample: sample.rate)),
            "cpu_ms": asdict(series.spread(lambda sample: sample.served_ms())),
            "p50_ms": asdict(series.spread(lambda sample: sample.figures.p50_ms)),
        }


def _serve(processes: Processes, server: Upstream, name: str) -> Target:
    """Start a worker and a parent of their own; return them as asked for the smallest body."""
    folder = processes.folder / name
    folder.mkdir()
    policy = sized.write_manifest(processes.folder)
    worker, _ = ours.start_worker(processes, server, manifest=policy, call=sized.call(SMALL), folder=folder)
    parent, port = ours.start_parent(processes, policy, folder=folder)
    request = sized.write_request(processes.folder, SMALL, mode=MODE)
    return Target(name=f"1 KiB, {name} processes", port=port, request=request, serving=(parent, worker, server.child))


def _ask(processes: Processes, target: Target, most: int, settings: Settings) -> None:
    subject = replace(target.closed(settings, "--warm-up", 0, "--most", most), at_least=MOST_SECONDS)
    if errors := sample(processes, subject, settings.seconds).figures.errors:
        raise BenchError(f"(f) {errors} answers were bad or missing")


def _target(processes: Processes, target: Target, place: Place, size: int) -> Target:
    way, name = place
    there, back = (SMALL, size) if way == "answer" else (size, SMALL)
    request = sized.write_request(processes.folder, there, back=back, mode=MODE)
    return replace(target, name=f"{name} {WAYS[way]}", request=request)


def _past(aged: Series, fresh: Series, third: Series) -> Iterable[Figure]:
    pasts = {f"{REQUESTS:,} requests": aged, f"{WARM_UP:,} requests": fresh, f"{WARM_UP:,} and bodies (control)": third}
    for past, series in pasts.items():
        spread = series.spread(lambda sample: sample.served_ms())
        yield Figure(f"an answer after {past}", "ms of CPU", ".2f", spread)


def _notes(server: Upstream, settings: Settings) -> tuple[str, ...]:
    return (
        f"measured  POST /attest/fetch as in (b), mode {MODE}, with text of 1 KiB to 8 MiB (the policy's most) in "
        "the answer or in the request, and 1 KiB the other way.",
        f"past      a parent and a worker that answered {REQUESTS:,} requests, and their peers, which answered "
        f"{WARM_UP:,}, at the begin of the first round. A third set answers the bodies, too: the control.",
        "CPU       of parent, worker and upstream together; the client's is left out.",
        f"served    {ours.served(settings)}.",
        f"upstream  {server.name}, HTTPS with keep-alive on loopback TCP; vsock-proxy is left out.",
    )


def _table(grid: Grid, way: str, sizes: list[str]) -> Table:
    series = [grid[way, name] for name in sizes]
    rows = (
        ("answers/s", *(in_full(one.spread(lambda sample: sample.rate), ",.1f") for one in series)),
        ("CPU ms per answer", *(in_full(one.spread(lambda sample: sample.served_ms()), ",.1f") for one in series)),
        ("p50 ms", *(in_full(one.spread(lambda sample: sample.figures.p50_ms), ",.1f") for one in series)),
    )
    return Table(title=f"The body is {WAYS[way]}:", head=("", *sizes), rows=rows)
