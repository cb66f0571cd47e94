"""The load generator, a process of its own: `python -m bench.load PORT REQUEST CLIENTS SECONDS`.

REQUEST is a file with one HTTP/1.1 request. CLIENTS connections are opened and kept; each sends the request, waits for
the whole answer, and sends it again (a closed loop). It shares the machine with what it measures, so it is one thread
over epoll that parses no more than it must: status, Content-Length, and whether the body says `"success":true`.

It prints one JSON object, see `Figures`. Latencies are those of the good answers in the measured time.
"""

import itertools
import json
import resource
import select
import socket
import sys
import time
from array import array
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

WARM_UP_SECONDS = 0.5  # every connection and pool is in use by then
RECEIVE_BYTES = 256 * 1024
GIVE_UP_SECONDS = 10.0  # without any answer
GOOD_STATUS = b"HTTP/1.1 200 "
GOOD_BODY = b'"success":true'
HEAD_END = b"\r\n\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What one process saw: `requests` good answers in `seconds`, `answered` with those of the warm-up."""

    requests: int
    errors: int
    answered: int
    seconds: float
    p50_ms: float
    p99_ms: float
    cpu_seconds: float


class Client:
    """One kept connection. `last` is the last answer that came whole, with its head, behind the request for it."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sent_at = 0.0
        self.last: tuple[bytes, bytes] | None = None
        self._request = self._received = b""

    def send(self, request: bytes) -> None:
        """Send the request, however long the server takes to read it."""
        self._request, self._received = request, b""
        self.sent_at = time.perf_counter()
        self.sock.sendall(request)

    def receive(self, good_body: bytes) -> bool | None:
        """Read what has arrived: None while the answer is incomplete, then whether it was a good one."""
        data = self.sock.recv(RECEIVE_BYTES)
        if not data:
            raise ConnectionError("the server closed the connection")
        received = self._received = self._received + data
        end = received.find(HEAD_END)
        if end < 0 or len(received) < end + len(HEAD_END) + _content_length(received[:end]):
            return None
        self.last = self._request, received
        return received.startswith(GOOD_STATUS) and received.find(good_body, end) > 0


class Load:
    """The closed loop of all clients. Each sends the next of `requests`; a run ends early when there is none left.

    A good answer holds `good_body`.
    """

    def __init__(self, port: int, requests: Iterator[bytes], clients: int, *, good_body: bytes = GOOD_BODY) -> None:
        self._port = port
        self._requests = requests
        self._good_body = good_body
        self._exhausted = False
        self._poll = select.epoll()
        self._clients: dict[int, Client] = {}
        self.latencies = array("d")
        self.errors = 0
        self.answered = 0
        for _ in range(clients):
            self._open()

    def run(self, seconds: float) -> float:
        """Load the server for this long, counting from nothing; return how long it took."""
        self.latencies, self.errors = array("d"), 0
        began = time.perf_counter()
        while (now := time.perf_counter()) < began + seconds and not self._exhausted:
            ready = self._poll.poll(GIVE_UP_SECONDS)
            if not ready:
                raise TimeoutError(f"no answer within {GIVE_UP_SECONDS} s")
            for descriptor, _ in ready:
                self._serve(self._clients[descriptor])
        return now - began

    def _serve(self, client: Client) -> None:
        try:
            good = client.receive(self._good_body)
            if good is None:
                return
            if good:
                self.latencies.append(time.perf_counter() - client.sent_at)
            else:
                self.errors += 1
            self.answered += 1
            self._send(client)
        except OSError:
            self.errors += 1
            self._replace(client)

    def last_answers(self) -> list[tuple[bytes, bytes]]:
        """Return the last whole answer (its body) of every connection, each behind the request for it."""
        last = [client.last for client in self._clients.values() if client.last]
        return [(request, answer.partition(HEAD_END)[2]) for request, answer in last]

    def _send(self, client: Client) -> None:
        request = next(self._requests, None)
        if request is None:
            self._exhausted = True
        else:
            client.send(request)

    def _replace(self, client: Client) -> None:
        del self._clients[client.sock.fileno()]
        client.sock.close()
        self._open()

    def _open(self) -> None:
        client = Client(self._port)
        self._clients[client.sock.fileno()] = client
        self._poll.register(client.sock.fileno(), select.EPOLLIN)
        self._send(client)


def http_request(path: str, body: bytes) -> bytes:
    """Return the HTTP request that carries JSON to a server on loopback."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def cpu_seconds() -> float:
    """Return the CPU time that this process and its ended children have used so far."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def summary(latencies: "array[float]", *, errors: int, answered: int, seconds: float, cpu_seconds: float) -> Figures:
    """Return the figures of a finished run. `cpu_seconds` is what asking took, without the interpreter's start."""
    ordered = sorted(latencies)
    return Figures(
        requests=len(ordered),
        errors=errors,
        answered=answered,
        seconds=seconds,
        p50_ms=percentile(ordered, 50) * 1000,
        p99_ms=percentile(ordered, 99) * 1000,
        cpu_seconds=cpu_seconds,
    )


def percentile(ordered: list[float], percent: int) -> float:
    """Return the nearest-rank percentile of ordered values; 0 when there are none."""
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)] if ordered else 0.0


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    raise ValueError("an answer without Content-Length cannot be measured here")


def main(arguments: list[str]) -> int:
    """Run once and print the figures."""
    port, path, clients, seconds = arguments
    used_before = cpu_seconds()
    load = Load(int(port), itertools.repeat(Path(path).read_bytes()), int(clients))
    load.run(WARM_UP_SECONDS)
    taken = load.run(float(seconds))
    used = cpu_seconds() - used_before
    figures = summary(load.latencies, errors=load.errors, answered=load.answered, seconds=taken, cpu_seconds=used)
    print(json.dumps(asdict(figures)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
