"""(a) What the parent costs by itself, against a bare Flask view under the same gunicorn.

The enclave is out of the picture: the parent talks over a unix socket to a process that answers every frame with one
recorded reply of the real worker, and the peer answers with the same bytes.
"""

import sys
from pathlib import Path

from app.config import SERVICES
from bench import upstream, vies_call
from bench.attested import check, fetch
from bench.processes import WEB_THREADS, WEB_WORKERS, Processes, wait_for
from bench.report import Ratio, Report
from bench.rounds import Settings, Subject, interleave
from devstack.worker import socket_path

TITLE = "The parent alone"


def measure(settings: Settings) -> Report:
    """Run the measurement."""
    with Processes() as processes:
        reply = record_reply(processes)
        subjects = _start(processes, reply, settings)
        peer, parent = interleave(processes, subjects, settings)
        return Report(
            letter="a",
            title=TITLE,
            notes=_notes(settings, len(reply)),
            series=(peer, parent),
            ratios=(Ratio("the parent / the bare Flask view", parent.ratio_to(peer)),),
        )


def record_reply(processes: Processes) -> bytes:
    """Return what a real worker answers to the call: real upstream, real statement, document of a soft NSM."""
    server = upstream.start(processes)
    manifest = SERVICES / "vies.toml"
    worker = processes.module("worker", "bench.worker", manifest, processes.folder, server.port)
    path = socket_path(processes.folder, "vies")
    wait_for(worker, path.exists)
    reply = fetch(path, vies_call.CALL)
    check(reply)
    worker.process.terminate()
    worker.process.wait()
    path.unlink()
    return reply


def _start(processes: Processes, reply: bytes, settings: Settings) -> list[Subject]:
    recorded = processes.folder / "reply.json"
    recorded.write_bytes(reply)
    path = socket_path(processes.folder, "vies")
    canned = processes.module("canned worker", "bench.canned", path, recorded)
    wait_for(canned, path.exists)
    peer, peer_port = processes.gunicorn("gunicorn", f"bench.peers:bare_view({str(recorded)!r})")
    parent, port = processes.gunicorn("gunicorn", f"devstack.parent:create({str(processes.folder)!r}, 'vies')")
    request = vies_call.write_request(processes.folder)
    return [
        Subject(name="bare Flask view (the peer)", command=load(peer_port, request, settings), serving=(peer,)),
        Subject(name="the parent", command=load(port, request, settings), serving=(parent, canned)),
    ]


def load(port: int, request: Path, settings: Settings) -> tuple[str, ...]:
    """Return the load generator's command, without the seconds."""
    return (sys.executable, "-m", "bench.load", str(port), str(request), str(settings.clients))


def _notes(settings: Settings, size: int) -> tuple[str, ...]:
    return (
        f"Measured: POST /attest/fetch to the parent, which checks the call and relays it to a canned worker: a process "
        f"that answers every frame with one attested reply recorded from the real worker ({size:,} bytes).",
        "Peer: a Flask view that parses the same JSON request and answers with the same bytes.",
        f"Both: gunicorn gthread, {WEB_WORKERS} processes x {WEB_THREADS} threads, the parent's own configuration; "
        f"{settings.clients} keep-alive clients.",
    )


