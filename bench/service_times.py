"""(d) What the NSM's service time costs in each mode, by the number of callers.

One NSM serves one request at a time. So a document for every answer caps the throughput at one answer per service time,
whoever else waits shares a document in mode batch, and mode session asks for one now and then. Where the parent has the
same CPUs, they soon are the limit; an enclave has its own. So the worker is asked without a parent, too.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bench import ours, upstream, vies_call
from bench.processes import Child, Processes
from bench.report import Figure, Ratio, Report, Table, in_full
from bench.rounds import Series, Settings, Spread, Subject, interleave
from devstack.worker import socket_path

SERVICE_MS = (0, 2, 10, 50)
CLIENTS = (1, 4, 16, 64, 128)
MODES = ("document", "batch", "session")
MOST_FETCHES = 256  # ours have 64 as they are deployed; the 65th caller would hear 503, and nothing be measured
CONNECTIONS = 128  # of each process of the parent to the worker; 64 as deployed
THREADS = 192  # of each process of the parent; 96 as deployed. A part of them is kept free for other services
ALONE_MS, ALONE_CLIENTS = 10, 64  # where the worker is asked without a parent
LEAST_WARM_UP = 0.3  # seconds
LEAST_SERVICE_TIMES = 20  # in a measured time, so that a throughput is good to a twentieth


@dataclass(frozen=True, slots=True, order=True)
class Cell:
    """One place of the grid."""

    service_ms: int
    clients: int
    mode: str

    @property
    def name(self) -> str:
        """Its name among the series."""
        return f"{self.mode}, S = {self.service_ms} ms, {self.clients} clients"

    @property
    def warm_up(self) -> float:
        """Seconds until latencies are as they stay: in mode document, once round the queue of all clients."""
        turns = self.clients * 1.1 if self.mode == "document" else 4
        return LEAST_WARM_UP + turns * self.service_ms / 1000


CELLS = tuple(Cell(service, clients, mode) for service in SERVICE_MS for clients in CLIENTS for mode in MODES)
ALONE = tuple(Cell(ALONE_MS, ALONE_CLIENTS, mode) for mode in MODES)
Grid = Mapping[Cell, Series]


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """A worker with its service time, a parent before it, and their upstream."""

    parent: Child
    worker: Child
    upstream: Child
    port: int
    socket: Path


def measure(settings: Settings) -> Report:
    """Run the measurement, with shorter and fewer rounds than the others: the grid has many places."""
    settings = replace(settings.fewer(), seconds=settings.seconds / 5)
    with Processes() as processes:
        server = upstream.start(processes)
        serving = {service: _serve(processes, server, service) for service in SERVICE_MS}
        subjects = [_subject(processes, cell, serving[cell.service_ms], settings) for cell in CELLS]
        without = [_alone(processes, cell, serving[cell.service_ms], settings) for cell in ALONE]
        *series, document, batch, session = interleave(processes, [*subjects, *without], settings)
        grid = dict(zip(CELLS, series, strict=True))
        alone = {"document": document, "batch": batch, "session": session}
    return Report(
        letter="d",
        title="Three modes by NSM service time and callers",
        settings=settings,
        notes=(
            "measured  POST /attest/fetch as in (b). The soft NSM takes the service time S for each request, and then "
            "makes its P-384 signature.",
            f"served    {ours.served(settings).partition(';')[0]}; 1 to {CLIENTS[-1]} keep-alive clients in a closed "
            f"loop. The worker's limit is {MOST_FETCHES} fetches at once, the parent's {CONNECTIONS} connections and "
            f"{THREADS} threads for each process.",
            f"alone     at S = {ALONE_MS} ms also {ALONE_CLIENTS} clients that send a worker frames, as a parent does.",
            f"rounds    {settings.rounds} of {settings.seconds:g} s each, or of {LEAST_SERVICE_TIMES} S, after "
            "a warm-up that is long enough for every queue. A queue is emptied before the next one is measured.",
            f"upstream  {server.name}, HTTPS with keep-alive on loopback TCP; vsock-proxy is left out.",
        ),
        series=(*grid.values(), *alone.values()),
        ratios=(*ratios(grid), *ratios_alone(alone)),
        figures=tuple(waits(grid)),
        tables=(*(_table(grid, service) for service in SERVICE_MS), _table_alone(alone)),
        points=tuple(points(grid)),
    )


def ratios(grid: Grid) -> Iterable[Ratio]:
    """Return batch and session against document, at 64 clients."""
    for service in SERVICE_MS:
        document = grid[Cell(service, 64, "document")]
        for mode in ("batch", "session"):
            name = f"{mode} / document, S = {service} ms, 64 clients"
            yield Ratio(name, grid[Cell(service, 64, mode)].ratio_to(document))


def ratios_alone(alone: Mapping[str, Series]) -> Iterable[Ratio]:
    """Return the same of the worker without a parent."""
    for mode in ("batch", "session"):
        name = f"{mode} / document, S = {ALONE_MS} ms, {ALONE_CLIENTS} clients, the worker alone"
        yield Ratio(name, alone[mode].ratio_to(alone["document"]))


def waits(grid: Grid) -> Iterable[Figure]:
    """Return how long an answer waits for its document in mode batch, in service times, at S = 50 ms.

    That is the 99th percentile, less what a lone caller's answer takes without a document (mode session, p50).
    """
    service = 50
    alone = grid[Cell(service, 1, "session")].samples
    for clients in CLIENTS:
        batch = grid[Cell(service, clients, "batch")].samples
        waited = [b.figures.p99_ms - a.figures.p50_ms for b, a in zip(batch, alone, strict=True)]
        name = f"batch, S = {service} ms, {clients} clients: p99 - rest"
        yield Figure(name, "S", ".2f", Spread.of(one / service for one in waited))


def points(grid: Grid) -> Iterable[dict[str, Any]]:
    """Return what the plots show."""
    for cell, series in grid.items():
        yield {
            **asdict(cell),
            "answers_per_second": asdict(series.spread(lambda sample: sample.rate)),
            "p50_ms": asdict(series.spread(lambda sample: sample.figures.p50_ms)),
            "p99_ms": asdict(series.spread(lambda sample: sample.figures.p99_ms)),
        }


def _serve(processes: Processes, server: upstream.Upstream, service_ms: int) -> Serving:
    folder = processes.folder / f"nsm-{service_ms}"
    folder.mkdir()
    options = ("--nsm-seconds", service_ms / 1000, "--fetches", MOST_FETCHES)
    worker, _ = ours.start_worker(processes, server, folder=folder, options=options)
    parent, port = ours.start_parent(processes, folder=folder, connections=CONNECTIONS, threads=THREADS)
    socket = socket_path(folder, ours.VIES.stem)
    return Serving(parent=parent, worker=worker, upstream=server.child, port=port, socket=socket)


def _subject(processes: Processes, cell: Cell, serving: Serving, settings: Settings) -> Subject:
    request = vies_call.write_request(processes.folder, cell.mode)
    children = (serving.parent, serving.worker, serving.upstream)
    return _asked(cell, cell.name, serving.port, request, children, settings)


def _alone(processes: Processes, cell: Cell, serving: Serving, settings: Settings) -> Subject:
    request = vies_call.write_frame(processes.folder, cell.mode)
    children = (serving.worker, serving.upstream)
    return _asked(cell, f"{cell.name}, the worker alone", serving.socket, request, children, settings)


def _asked(
    cell: Cell, name: str, place: int | Path, request: Path, serving: tuple[Child, ...], settings: Settings
) -> Subject:
    clients = replace(settings, clients=cell.clients)
    return Subject(
        name=name,
        command=ours.load(place, request, clients, "--warm-up", cell.warm_up),
        serving=serving,
        at_least=LEAST_SERVICE_TIMES * cell.service_ms / 1000,
    )


def _table_alone(alone: Mapping[str, Series]) -> Table:
    rows = []
    for mode, series in alone.items():
        rate = in_full(series.spread(lambda sample: sample.rate), ",.0f")
        half, last = (series.spread(read).median for read in (lambda s: s.figures.p50_ms, lambda s: s.figures.p99_ms))
        rows.append((mode, rate, f"{half:,.1f}, {last:,.1f}"))
    title = f"The worker alone, NSM service time {ALONE_MS} ms, {ALONE_CLIENTS} clients:"
    return Table(title=title, head=("", "answers/s", "p50, p99 ms"), rows=rows)


def _table(grid: Grid, service: int) -> Table:
    rows: list[tuple[str, ...]] = []
    for mode in MODES:
        series = [grid[Cell(service, clients, mode)] for clients in CLIENTS]
        rates = [in_full(one.spread(lambda sample: sample.rate), ",.0f") for one in series]
        halves = [one.spread(lambda sample: sample.figures.p50_ms).median for one in series]
        lasts = [one.spread(lambda sample: sample.figures.p99_ms).median for one in series]
        rows += [
            (f"{mode}, answers/s", *rates),
            ("    p50, p99 ms", *(f"{half:,.1f}, {last:,.1f}" for half, last in zip(halves, lasts, strict=True))),
        ]
    head = ("", *(f"{clients} clients" if clients > 1 else "1 client" for clients in CLIENTS))
    return Table(title=f"NSM service time {service} ms:", head=head, rows=rows)
