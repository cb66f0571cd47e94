"""(b) An attested fetch, end to end, against the code that people write without enclaves.

HTTP -> parent -> worker -> TLS upstream, with the soft NSM's signing (P-384, service time 0) counted against us; and
the same upstream asked by a Flask view with `requests`, and by bare `requests` calls with no server in between.
"""

import sys

from bench import ours, upstream, vies_call
from bench.ours import Target
from bench.processes import CONFIGURED, STOCK, WEB_THREADS, WEB_WORKERS, Processes
from bench.report import Ratio, Report
from bench.rounds import Settings, Subject, interleave
from bench.upstream import Upstream

MODES = ("document", "batch", "session")
STOCK_VIEW = "Flask + requests, stock (peer)"
OUR_VIEW = "Flask + requests, our conf (peer)"
BARE = "bare requests (peer)"


def measure(settings: Settings) -> Report:
    """Run the measurement."""
    with Processes() as processes:
        server = upstream.start(processes)
        subjects = [
            flask_view(processes, server, stock=True).closed(settings),
            flask_view(processes, server, stock=False).closed(settings),
            _bare_requests(processes, server, settings),
            *(target.closed(settings) for target in attested_fetches(processes, server)),
        ]
        *peers, bare, document, batch, session = interleave(processes, subjects, settings)
    attested = (document, batch, session)
    return Report(
        letter="b",
        title="The whole path, in three modes",
        settings=settings,
        notes=_notes(server, settings),
        series=(*peers, bare, *attested),
        ratios=tuple(
            Ratio(f"{one.subject.name} / {peer.subject.name.removesuffix(' (peer)')}", one.ratio_to(peer))
            for peer in (*peers, bare)
            for one in attested
        ),
    )


def attested_fetches(processes: Processes, server: Upstream) -> list[Target]:
    """Return one target for each of `MODES`; all are asked of the same parent and worker."""
    worker, _ = ours.start_worker(processes, server)
    parent, port = ours.start_parent(processes)
    serving = (parent, worker, server.child)
    return [
        Target(
            name=f"attested fetch, {mode}",
            port=port,
            request=vies_call.write_request(processes.folder, mode),
            serving=serving,
        )
        for mode in MODES
    ]


def flask_view(processes: Processes, server: Upstream, *, stock: bool) -> Target:
    """Return the peer, under a stock gunicorn or under our configuration."""
    view, port = processes.gunicorn(
        f"bench.peers:requests_view({server.url!r}, {str(server.roots)!r})", how=STOCK if stock else CONFIGURED
    )
    request = vies_call.write_request(processes.folder)
    return Target(name=STOCK_VIEW if stock else OUR_VIEW, port=port, request=request, serving=(view, server.child))


def _bare_requests(processes: Processes, server: Upstream, settings: Settings) -> Subject:
    call = vies_call.write_call(processes.folder)
    threads = settings.clients // WEB_WORKERS
    command = (sys.executable, "-m", "bench.bare_requests", server.url, server.roots, call, WEB_WORKERS, threads)
    return Subject(name=BARE, command=tuple(map(str, command)), serving=(server.child,))


def _notes(server: Upstream, settings: Settings) -> tuple[str, ...]:
    return (
        "measured  POST /attest/fetch: parent, worker, TLS upstream, statement, and its proof: one NSM document for "
        "every answer, one for all that wait, or a session key's signature. The NSM is the soft one, service time 0; "
        "its P-384 signature is made in the worker and counts against us.",
        "peer 1    a Flask view that posts the same body to the same upstream with one requests.Session, "
        f"{WEB_THREADS} connections kept. Stock: {ours.stock()}. Our conf: served as the parent is.",
        f"peer 2    requests.Session().post in a loop, no server in between: {WEB_WORKERS} processes x "
        f"{settings.clients // WEB_WORKERS} threads.",
        f"served    {ours.served(settings)}.",
        f"upstream  {server.name}, HTTPS with keep-alive on loopback TCP for all; vsock-proxy is left out.",
    )
