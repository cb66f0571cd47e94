"""(e) Sealed against unsealed requests, with bodies of 1 KiB and 1 MiB each way.

HTTP -> parent -> worker -> TLS upstream, as in (b). The peer of a sealed request is the same request unsealed, in the
same run, at the same parent and worker.
"""

import json
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import requests

from bench import attested, ours, sized, upstream
from bench.caller import AUTHORIZATION
from bench.load import WARM_UP_SECONDS
from bench.processes import Child, Processes
from bench.report import Figure, Ratio, Report
from bench.rounds import Settings, Spread, Subject, interleave
from bench.sealed_load import PATH, client_of
from bench.upstream import Upstream

MOST_PER_SECOND = {"1 KiB": 1500, "1 MiB": 100}  # sealed requests that are kept ready; a run ends early without them
REPEATED = 20  # times that the client's own work is done in a round
WAIT_SECONDS = 20


def measure(settings: Settings) -> Report:
    """Run the measurement."""
    settings = settings.fewer()
    with Processes() as processes:
        server = upstream.start(processes)
        sizes = [name for name, size in sized.SIZES.items() if size <= server.max_body_bytes]
        policy = sized.write_manifest(processes.folder)
        worker, _ = ours.start_worker(processes, server, manifest=policy, call=sized.call(sized.SIZES[sizes[0]]))
        parent, port = ours.start_parent(processes, policy)
        serving = (parent, worker, server.child)
        subjects = [s for size in sizes for s in _subjects(processes.folder, port, size, serving, settings)]
        series = interleave(processes, subjects, settings)
        figures = [figure for size in sizes for figure in _client(processes.folder, port, size, settings)]
    pairs = zip(sizes, series[::2], series[1::2], strict=True)
    return Report(
        letter="e",
        title="Sealed requests, the whole path",
        settings=settings,
        notes=_notes(server, settings, sizes),
        series=tuple(series),
        ratios=tuple(Ratio(f"sealed / unsealed, {size}", sealed.ratio_to(clear)) for size, clear, sealed in pairs),
        figures=tuple(figures),
    )


def _subjects(folder: Path, port: int, size: str, serving: tuple[Child, ...], settings: Settings) -> list[Subject]:
    size_bytes = sized.SIZES[size]
    ready = int(MOST_PER_SECOND[size] * (settings.seconds + WARM_UP_SECONDS)) + settings.clients
    sealed = (sys.executable, "-m", "bench.sealed_load", port, folder, size_bytes, ready, settings.clients)
    unsealed = ours.load(port, sized.write_request(folder, size_bytes), settings)
    return [
        Subject(name=f"unsealed, {size} (peer)", command=unsealed, serving=serving),
        Subject(name=f"sealed, {size}", command=tuple(map(str, sealed)), serving=serving),
    ]


def _client(folder: Path, port: int, size: str, settings: Settings) -> Iterable[Figure]:
    """Measure what a client does besides: seal a request, open an answer."""
    client, call = client_of(port, folder), json.dumps(sized.call(sized.SIZES[size])).encode()
    asked = client.seal(call)
    headers = {"Content-Type": "application/json", **AUTHORIZATION}
    said = requests.post(f"http://127.0.0.1:{port}{PATH}", data=asked.data, headers=headers, timeout=WAIT_SECONDS)
    attested.check(asked.open(said.content))
    yield _cost(f"the client seals a request, {size}", lambda: client.seal(call), settings)
    yield _cost(f"the client opens an answer, {size}", lambda: asked.open(said.content), settings)


def _cost(name: str, work: Callable[[], object], settings: Settings) -> Figure:
    def milliseconds() -> float:
        before = time.process_time()
        for _ in range(REPEATED):
            work()
        return (time.process_time() - before) * 1000 / REPEATED

    return Figure(name, "ms of CPU", ".2f", Spread.of(milliseconds() for _ in range(settings.rounds)))


def _notes(server: Upstream, settings: Settings, sizes: list[str]) -> tuple[str, ...]:
    left_out = "" if len(sizes) == len(sized.SIZES) else f" It takes no larger bodies: {sizes[-1]} is the largest."
    return (
        "measured  POST /attest/sealed: parent, worker, TLS upstream, statement, one NSM document for every answer, as "
        "in (b). Each request is sealed anew, with a reply key of its own, by SealedClient.",
        "peer      POST /attest/fetch with the same call, at the same parent and worker.",
        "bodies    as many bytes there as back. What is sealed is padded: to 4 KiB there and 16 KiB back at least.",
        "client    requests are sealed before a round, and the last answer of each connection is opened after it: the "
        "client's own part is not in the rates, and shown apart below.",
        f"served    {ours.served(settings)}.",
        f"upstream  {server.name}, HTTPS with keep-alive on loopback TCP; vsock-proxy is left out.{left_out}",
    )
