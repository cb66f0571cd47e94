"""(b) An attested fetch, end to end, against the code that people write without enclaves.

HTTP -> parent -> worker -> TLS upstream, with the soft NSM's signing (P-384, service time 0) counted against us; and
the same upstream asked by a Flask view with `requests`, and by bare `requests` calls with no server in between.
"""

import sys

from bench import ours, upstream, vies_call
from bench.processes import WEB_THREADS, WEB_WORKERS, Processes
from bench.report import Ratio, Report
from bench.rounds import Settings, Subject, interleave
from bench.upstream import Upstream

MODES = ("document", "batch", "session")


def measure(settings: Settings) -> Report:
    """Run the measurement."""
    with Processes() as processes:
        server = upstream.start(processes)
        subjects = [
            _flask_view(processes, server, settings),
            _bare_requests(processes, server, settings),
            *_attested_fetches(processes, server, settings),
        ]
        view, bare, *attested = interleave(processes, subjects, settings)
    return Report(
        letter="b",
        title="The whole path, in three modes",
        settings=settings,
        notes=_notes(server, settings),
        series=(view, bare, *attested),
        ratios=(
            *(Ratio(f"{one.subject.name} / Flask + requests", one.ratio_to(view)) for one in attested),
            *(Ratio(f"{one.subject.name} / bare requests", one.ratio_to(bare)) for one in attested),
        ),
    )


def _attested_fetches(processes: Processes, server: Upstream, settings: Settings) -> list[Subject]:
    """Return one subject for each mode; all are asked of the same parent and worker."""
    worker, _ = ours.start_worker(processes, server)
    parent, port = ours.start_parent(processes)
    serving = (parent, worker, server.child)
    return [
        Subject(
            name=f"attested fetch, {mode}",
            command=ours.load(port, vies_call.write_request(processes.folder, mode), settings),
            serving=serving,
        )
        for mode in MODES
    ]


def _flask_view(processes: Processes, server: Upstream, settings: Settings) -> Subject:
    view, port = processes.gunicorn(f"bench.peers:requests_view({server.url!r}, {str(server.roots)!r})")
    command = ours.load(port, vies_call.write_request(processes.folder), settings)
    return Subject(name="Flask + requests (peer)", command=command, serving=(view, server.child))


def _bare_requests(processes: Processes, server: Upstream, settings: Settings) -> Subject:
    call = vies_call.write_call(processes.folder)
    threads = settings.clients // WEB_WORKERS
    command = (sys.executable, "-m", "bench.bare_requests", server.url, server.roots, call, WEB_WORKERS, threads)
    return Subject(name="bare requests (peer)", command=tuple(map(str, command)), serving=(server.child,))


def _notes(server: Upstream, settings: Settings) -> tuple[str, ...]:
    return (
        "measured  POST /attest/fetch: parent, worker, TLS upstream, statement, and its proof: one NSM document for "
        "every answer, one for all that wait, or a session key's signature. The NSM is the soft one, service time 0; "
        "its P-384 signature is made in the worker and counts against us.",
        "peer 1    a Flask view that posts the same body to the same upstream with one requests.Session, "
        f"{WEB_THREADS} connections kept.",
        f"peer 2    requests.Session().post in a loop, no server in between: {WEB_WORKERS} processes x "
        f"{settings.clients // WEB_WORKERS} threads.",
        f"served    {ours.served(settings)}.",
        f"upstream  {server.name}, HTTPS with keep-alive on loopback TCP for all three; vsock-proxy is left out.",
    )
