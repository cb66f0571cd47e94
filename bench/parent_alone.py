"""(a) What the parent costs by itself, against a bare Flask view under the same gunicorn.

The enclave is out of the picture: the parent talks over a unix socket to a process that answers every frame with one
recorded reply of the real worker, and the peer answers with the same bytes.
"""

from bench import ours, upstream, vies_call
from bench.ours import Target
from bench.processes import STOCK, Processes, wait_for
from bench.report import Ratio, Report
from bench.rounds import Settings, Subject, interleave


def measure(settings: Settings) -> Report:
    """Run the measurement."""
    with Processes() as processes:
        answer = record_answer()
        peer, stock, parent = interleave(processes, _subjects(processes, *answer, settings), settings)
    return Report(
        letter="a",
        title="The parent alone",
        settings=settings,
        notes=(
            "measured  POST /attest/fetch to the parent. It checks the call and relays it over a unix socket to a "
            "canned worker, which answers every question with one report and one attested reply, recorded from the "
            f"real worker ({len(answer[1]):,} bytes).",
            "peer      a Flask view that parses the same JSON request and answers with the reply's bytes.",
            f"served    {ours.served(settings)}. Stock: {ours.stock()}.",
        ),
        series=(peer, stock, parent),
        ratios=(
            Ratio("the parent / bare Flask view, our conf", parent.ratio_to(peer)),
            Ratio("the parent / bare Flask view, stock", parent.ratio_to(stock)),
        ),
    )


def record_answer() -> tuple[bytes, bytes]:
    """Return a real worker's report and reply to the call: real upstream, real statement, document of a soft NSM."""
    with Processes() as processes:
        _, answer = ours.start_worker(processes, upstream.start(processes))
        return answer


def _subjects(processes: Processes, report: bytes, reply: bytes, settings: Settings) -> list[Subject]:
    recorded, path = processes.folder / "reply.json", ours.worker_socket(processes)
    recorded.write_bytes(reply)
    first = processes.folder / "report.json"
    first.write_bytes(report)
    canned = processes.module("canned worker", "bench.canned", path, first, recorded)
    wait_for(canned, path.exists)
    request, view = vies_call.write_request(processes.folder), f"bench.peers:bare_view({str(recorded)!r})"
    peer, peer_port = processes.gunicorn(view)
    stock, stock_port = processes.gunicorn(view, how=STOCK)
    parent, port = ours.start_parent(processes)
    targets = (
        Target(name="bare Flask view, our conf (peer)", port=peer_port, request=request, serving=(peer,)),
        Target(name="bare Flask view, stock (peer)", port=stock_port, request=request, serving=(stock,)),
        Target(name="the parent", port=port, request=request, serving=(parent, canned)),
    )
    return [target.closed(settings) for target in targets]
