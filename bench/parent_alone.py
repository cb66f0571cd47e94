"""(a) What the parent costs by itself, against a bare Flask view under the same gunicorn.

The enclave is out of the picture: the parent talks over a unix socket to a process that answers every frame with one
recorded reply of the real worker, and the peer answers with the same bytes.
"""

from bench import ours, upstream, vies_call
from bench.processes import Processes, wait_for
from bench.report import Ratio, Report
from bench.rounds import Settings, Subject, interleave


def measure(settings: Settings) -> Report:
    """Run the measurement."""
    with Processes() as processes:
        reply = record_reply()
        peer, parent = interleave(processes, _subjects(processes, reply, settings), settings)
    return Report(
        letter="a",
        title="The parent alone",
        settings=settings,
        notes=(
            "measured  POST /attest/fetch to the parent. It checks the call and relays it over a unix socket to a "
            "canned worker, which answers every frame with one attested reply, recorded from the real worker "
            f"({len(reply):,} bytes).",
            "peer      a Flask view that parses the same JSON request and answers with the same bytes.",
            f"both      {ours.served(settings)}.",
        ),
        series=(peer, parent),
        ratios=(Ratio("the parent / bare Flask view", parent.ratio_to(peer)),),
    )


def record_reply() -> bytes:
    """Return what a real worker answers to the call: real upstream, real statement, document of a soft NSM."""
    with Processes() as processes:
        _, reply = ours.start_worker(processes, upstream.start(processes))
        return reply


def _subjects(processes: Processes, reply: bytes, settings: Settings) -> list[Subject]:
    recorded, path = processes.folder / "reply.json", ours.worker_socket(processes)
    recorded.write_bytes(reply)
    canned = processes.module("canned worker", "bench.canned", path, recorded)
    wait_for(canned, path.exists)
    peer, peer_port = processes.gunicorn(f"bench.peers:bare_view({str(recorded)!r})")
    parent, port = ours.start_parent(processes)
    request = vies_call.write_request(processes.folder)
    return [
        Subject(name="bare Flask view (peer)", command=ours.load(peer_port, request, settings), serving=(peer,)),
        Subject(name="the parent", command=ours.load(port, request, settings), serving=(parent, canned)),
    ]
