"""(h) Memory: of a worker, of each process of the parent, and of one idle connection to either.

There is no peer. Every round has processes of its own: freed memory goes back to the system late, if at all, so that a
second look at the same process would find the connections for nothing.
"""

import socket
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path

from bench import ours, upstream, vies_call
from bench.caller import HEAD_END, RECEIVE_BYTES
from bench.processes import BenchError, Child, Processes
from bench.report import Figure, Report
from bench.rounds import Settings, Spread, Subject, sample
from devstack.memory import KIB_PER_MIB, Memory
from wire import frames, messages, sockets
from wire.addresses import UnixAddress

IDLE = 400  # connections; a worker takes 512, a process of the parent 1000
SETTLE_SECONDS = 0.5
WAIT_SECONDS = 20.0
WARM_UP = 200  # requests
HTTP_PING = b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"

Found = dict[tuple[str, str], float]  # (name, unit) -> value


def measure(settings: Settings) -> Report:
    """Run the measurement."""
    settings = settings.fewer()
    found = [one_round(settings) for _ in range(settings.rounds)]
    return Report(
        letter="h",
        title="Memory",
        settings=settings,
        notes=(
            f"measured  resident memory (Rss of /proc/PID/smaps_rollup) after {WARM_UP} attested fetches, and after "
            f"{settings.seconds:g} s of them from {settings.clients} clients in each mode; a page that processes share "
            "counts in each of them, and in proportion where that is said (Pss).",
            "worker    the measured code with the soft NSM in the same process: an enclave's holds /dev/nsm instead.",
            f"idle      {IDLE} connections that were used once, to each: the growth of all processes, divided.",
            "peer      none.",
        ),
        figures=tuple(_figures(found)),
    )


def one_round(settings: Settings) -> Found:
    """Measure one new worker and one new parent."""
    with Processes() as processes:
        server = upstream.start(processes)
        worker, _ = ours.start_worker(processes, server)
        parent, port = ours.start_parent(processes)
        found: Found = {}
        _load(processes, port, settings, "--most", WARM_UP, "--warm-up", 0)
        found |= _look(worker, parent, "after warm-up")
        for mode in ("document", "batch", "session"):
            _load(processes, port, settings, mode=mode)
        found |= _look(worker, parent, "after load")
        path = ours.worker_socket(processes)
        found["one idle connection to the worker", "KiB"] = _each(worker, lambda: _to_worker(path))
        found["one idle connection to the parent", "KiB"] = _each(parent, lambda: _to_parent(port))
        return found


def _load(processes: Processes, port: int, settings: Settings, *options: object, mode: str = "document") -> None:
    request = vies_call.write_request(processes.folder, mode)
    subject = Subject(name="", command=ours.load(port, request, settings, *options), serving=())
    if errors := sample(processes, subject, settings.seconds).figures.errors:
        raise BenchError(f"(h) {errors} answers were bad or missing")


def _look(worker: Child, parent: Child, when: str) -> Found:
    (only,) = _memory(worker)
    master, *servers = _memory(parent)
    everything = [master, *servers]
    return {
        (f"the worker, {when}", "MiB"): only.resident / KIB_PER_MIB,
        (f"the worker, {when}, in proportion", "MiB"): only.proportional / KIB_PER_MIB,
        (f"gunicorn's arbiter, {when}", "MiB"): master.resident / KIB_PER_MIB,
        **{
            (f"gunicorn's process {number}, {when}", "MiB"): each.resident / KIB_PER_MIB
            for number, each in enumerate(servers, 1)
        },
        (f"the parent in all, {when}, in proportion", "MiB"): sum(e.proportional for e in everything) / KIB_PER_MIB,
    }


def _each(child: Child, connect: Callable[[], socket.socket]) -> float:
    before = _resident_kib(child)
    with ExitStack() as stack:
        for _ in range(IDLE):
            stack.enter_context(connect())
        time.sleep(SETTLE_SECONDS)
        return (_resident_kib(child) - before) / IDLE


def _to_worker(path: Path) -> socket.socket:
    deadline = time.monotonic() + WAIT_SECONDS
    sock = sockets.connect(UnixAddress(path=str(path)), deadline=deadline)
    sockets.send(sock, frames.encode(messages.PING), deadline=deadline)
    if sockets.receive_frame(sock, frames.Decoder(), deadline=deadline) is None:
        raise BenchError("(h) the worker turns away idle connections")
    return sock


def _to_parent(port: int) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port), WAIT_SECONDS)
    sock.sendall(HTTP_PING)
    received = b""
    while HEAD_END not in received:
        data = sock.recv(RECEIVE_BYTES)
        if not data:
            raise BenchError("(h) the parent turns away idle connections")
        received += data
    return sock


def _figures(found: list[Found]) -> Iterable[Figure]:
    for name, unit in found[0]:
        yield Figure(name, unit, ".1f", Spread.of(one[name, unit] for one in found))


def _memory(child: Child) -> list[Memory]:
    """Return the memory of a child's processes, first that of the one that was started."""
    return [Memory.of(pid) for pid in child.members()]


def _resident_kib(child: Child) -> int:
    return sum(each.resident for each in _memory(child))
