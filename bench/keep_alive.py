"""(c) Kept connections against new ones, as the predecessor makes them: for every request a connection between parent
and worker, and one to the upstream with its TLS handshake.

Both are our code. The peer's worker closes each connection after one answer, and its upstream does the same, so that
nothing can be kept.
"""

from bench import ours, upstream, vies_call
from bench.ours import Target
from bench.processes import Processes
from bench.report import Ratio, Report
from bench.rounds import Settings, Subject, interleave
from bench.upstream import Upstream

MODES = ("session", "document")


def measure(settings: Settings) -> Report:
    """Run the measurement."""
    settings = settings.fewer()
    with Processes() as processes:
        server = upstream.start(processes)
        kept = _subjects(processes, server, settings, keeps=True)
        new = _subjects(processes, server, settings, keeps=False)
        series = interleave(processes, [subject for pair in zip(new, kept, strict=True) for subject in pair], settings)
    pairs = zip(MODES, series[::2], series[1::2], strict=True)
    return Report(
        letter="c",
        title="Kept connections, the whole path",
        settings=settings,
        notes=(
            "measured  POST /attest/fetch as in (b), in mode session and, as the predecessor attests, document.",
            "peer      the same parent and worker; but the worker closes each connection after one answer, and so does "
            "the upstream: a new unix connection and a full TLS handshake for every request. The predecessor does so.",
            f"served    {ours.served(settings)}. Clients keep their connections to the parent in both.",
            f"upstream  {server.name}, HTTPS on loopback TCP, P-256 certificate, no resumption. A real network adds "
            "two round trips to every new connection, which are not here.",
        ),
        series=tuple(series),
        ratios=tuple(Ratio(f"kept / new, {mode}", kept.ratio_to(new)) for mode, new, kept in pairs),
    )


def _subjects(processes: Processes, server: Upstream, settings: Settings, *, keeps: bool) -> list[Subject]:
    folder = processes.folder / ("kept" if keeps else "new")
    folder.mkdir()
    options = () if keeps else ("--one-answer",)
    worker, _ = ours.start_worker(processes, server, folder=folder, options=options, keeps=keeps)
    parent, port = ours.start_parent(processes, folder=folder)
    name = "kept connections" if keeps else "new connections (peer)"
    return [
        Target(
            name=f"{name}, {mode}",
            port=port,
            request=vies_call.write_request(processes.folder, mode),
            serving=(parent, worker, server.child),
        ).closed(settings)
        for mode in MODES
    ]
