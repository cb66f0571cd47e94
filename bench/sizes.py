"""(f) What a body costs, 1 KiB to 8 MiB, in an answer or a request; and what 20,000 past requests do to the next one.

The peer of a body is the smallest one, and of the last tenth of the requests the first: cost should grow in proportion
to the one, and not at all with the other.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any

from bench import ours, sized, upstream
from bench.processes import Child, Processes
from bench.report import Figure, Report, Table, in_full
from bench.rounds import Series, Settings, Spread, Subject, interleave, sample

ROUNDS = 3
CLIENTS = 4  # of 8 MiB each way; enough to keep two cores busy
MODE = "session"  # its proof costs least, so that the body's part shows
SMALL = 1024
MIB = 1024 * 1024
TENTHS = 10
REQUESTS = 20_000
WARM_UP = 500
MOST_SECONDS = 600  # that a tenth may take; it ends with its last answer
STEPS = (("1 KiB", "256 KiB"), ("256 KiB", "1 MiB"), ("1 MiB", "8 MiB"))
LARGEST = "8 MiB"
WAYS = {"answer": "in the answer", "request": "in the request"}

Place = tuple[str, str]  # way, size
Grid = Mapping[Place, Series]


def measure(settings: Settings) -> Report:
    """Run the measurement."""
    settings = replace(settings, rounds=min(ROUNDS, settings.rounds), clients=CLIENTS)
    with Processes() as processes:
        server = upstream.start(processes)
        sizes = {name: size for name, size in sized.MORE_SIZES.items() if size <= server.max_body_bytes}
        policy = sized.write_manifest(processes.folder)
        worker, _ = ours.start_worker(processes, server, manifest=policy, call=sized.call(SMALL))
        parent, port = ours.start_parent(processes, policy)
        serving = (parent, worker, server.child)
        places = [(way, name) for name in sizes for way in WAYS]
        subjects = [_subject(processes, place, sizes[place[1]], port, serving, settings) for place in places]
        past = _tenths(processes, port, serving, settings)
        grid = dict(zip(places, interleave(processes, subjects, settings), strict=True))
    return Report(
        letter="f",
        title="Bodies, and past requests",
        settings=settings,
        notes=(
            f"measured  POST /attest/fetch as in (b), mode {MODE}, with text of 1 KiB to 8 MiB (the policy's most) in "
            "the answer or in the request, and 1 KiB the other way.",
            f"past      {REQUESTS:,} requests of 1 KiB at new processes after a warm-up, in tenths.",
            "CPU       of parent, worker and upstream together; the client's is left out.",
            f"served    {ours.served(settings)}.",
            f"upstream  {server.name}, HTTPS with keep-alive on loopback TCP; vsock-proxy is left out.",
        ),
        series=(*grid.values(), past),
        tables=tuple(_table(grid, way, list(sizes)) for way in WAYS),
        figures=(*growth(grid, sizes), *_past(past)),
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


def _subject(
    processes: Processes, place: Place, size: int, port: int, serving: tuple[Child, ...], settings: Settings
) -> Subject:
    way, name = place
    there, back = (SMALL, size) if way == "answer" else (size, SMALL)
    request = sized.write_request(processes.folder, there, back=back, mode=MODE)
    return Subject(name=f"{name} {WAYS[way]}", command=ours.load(port, request, settings), serving=serving)


def _tenths(processes: Processes, port: int, serving: tuple[Child, ...], settings: Settings) -> Series:
    request = sized.write_request(processes.folder, SMALL, mode=MODE)

    def subject(most: int) -> Subject:
        command = ours.load(port, request, settings, "--warm-up", 0, "--most", most)
        return Subject(name="1 KiB, a tenth", command=command, serving=serving, at_least=MOST_SECONDS)

    tenth = subject(REQUESTS // TENTHS)
    sample(processes, subject(WARM_UP), settings.seconds)
    return Series(tenth, tuple(sample(processes, tenth, settings.seconds) for _ in range(TENTHS)))


def _past(past: Series) -> Iterable[Figure]:
    first, *_, last = past.samples
    for name, each in (("first", first), ("last", last)):
        yield Figure(f"an answer in the {name} tenth", "ms of CPU", ".3f", Spread.of([each.served_ms()]))
    ratio = Spread.of([last.served_ms() / first.served_ms()])
    yield Figure("the last tenth / the first", "(1: past requests cost nothing)", ".2f", ratio)


def _table(grid: Grid, way: str, sizes: list[str]) -> Table:
    series = [grid[way, name] for name in sizes]
    rows = (
        ("answers/s", *(in_full(one.spread(lambda sample: sample.rate), ",.1f") for one in series)),
        ("CPU ms per answer", *(in_full(one.spread(lambda sample: sample.served_ms()), ",.1f") for one in series)),
        ("p50 ms", *(in_full(one.spread(lambda sample: sample.figures.p50_ms), ",.1f") for one in series)),
    )
    return Table(title=f"The body is {WAYS[way]}:", head=("", *sizes), rows=rows)
