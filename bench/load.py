"""The load generator, a process of its own: `python -m bench.load PORT|SOCKET REQUEST CLIENTS [options] SECONDS`.

REQUEST is a file with one HTTP/1.1 request, or with one frame for the worker at SOCKET. CLIENTS connections are opened
and kept; each sends the request, waits for the whole answer, and sends it again (a closed loop). One thread over epoll.
It prints `Figures`. Latencies are those of the good answers in the measured time.
"""

import argparse
import itertools
import select
import sys
import time
from array import array
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.caller import GOOD_BODY, HEAD_END, Caller
from bench.figures import cpu_seconds, summary

WARM_UP_SECONDS = 0.5  # every connection and pool is in use by then, where an answer takes no longer
GIVE_UP_SECONDS = 20.0  # without any answer


class Load:
    """The closed loop of all clients. Each sends the next of `requests`; a run ends early when all are answered.

    A good answer holds `good_body`. Leaving the context closes the connections.
    """

    def __init__(
        self, place: int | str, requests: Iterator[bytes], clients: int, *, good_body: bytes = GOOD_BODY
    ) -> None:
        self._place = place
        self._requests = requests
        self._good_body = good_body
        self._poll = select.epoll()
        self._callers: dict[int, Caller] = {}
        self._waiting = 0
        self.latencies = array("d")
        self.errors = 0
        self.answered = 0
        for _ in range(clients):
            self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for caller in self._callers.values():
            caller.sock.close()
        self._poll.close()

    def run(self, seconds: float) -> float:
        """Load the server for this long, counting from nothing; return how long it took."""
        self.latencies, self.errors = array("d"), 0
        return self._serve_for(seconds)

    def drain(self) -> None:
        """Ask no more, and wait for what is under way: it would trouble whoever is measured next."""
        self.latencies, self._requests = array("d"), iter(())
        while self._waiting:
            self._serve_for(GIVE_UP_SECONDS)

    def last_answers(self) -> list[tuple[bytes, bytes]]:
        """Return the last whole answer (its body) of every connection, each behind the request for it."""
        last = [caller.last for caller in self._callers.values() if caller.last]
        return [(request, answer.partition(HEAD_END)[2]) for request, answer in last]

    def _serve_for(self, seconds: float) -> float:
        began = time.perf_counter()
        while (now := time.perf_counter()) < began + seconds and self._waiting:
            ready = self._poll.poll(GIVE_UP_SECONDS)
            if not ready:
                raise TimeoutError(f"no answer within {GIVE_UP_SECONDS} s")
            for descriptor, _ in ready:
                self._serve(self._callers[descriptor])
        return now - began

    def _serve(self, caller: Caller) -> None:
        try:
            good = caller.receive(self._good_body)
            if good is None:
                return
            self._waiting -= 1
            if good:
                self.latencies.append(time.perf_counter() - caller.since)
            else:
                self.errors += 1
            self.answered += 1
            self._send(caller)
        except OSError:
            self._lose(caller)

    def _send(self, caller: Caller) -> None:
        request = next(self._requests, None)
        if request is not None:
            self._waiting += 1
            caller.send(request, since=time.perf_counter())

    def _lose(self, caller: Caller) -> None:
        self.errors += 1
        self._waiting -= 1
        del self._callers[caller.sock.fileno()]
        caller.sock.close()
        self._open()

    def _open(self) -> None:
        caller = Caller(self._place)
        self._callers[caller.sock.fileno()] = caller
        self._poll.register(caller.sock.fileno(), select.EPOLLIN)
        self._send(caller)


def main(arguments: list[str]) -> int:
    """Run once and print the figures."""
    options = _options(arguments)
    request = options.request.read_bytes()
    requests = itertools.repeat(request) if options.most is None else itertools.repeat(request, options.most)
    used_before = cpu_seconds()
    with Load(options.place, requests, options.clients) as load:
        if options.warm_up:
            load.run(options.warm_up)
        taken = load.run(options.seconds)
        latencies = load.latencies
        load.drain()
    used = cpu_seconds() - used_before
    summary(latencies, errors=load.errors, answered=load.answered, seconds=taken, cpu_seconds=used).print()
    return 0


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.load")
    parser.add_argument("place", type=lambda text: int(text) if text.isdecimal() else text)
    parser.add_argument("request", type=Path)
    parser.add_argument("clients", type=int)
    parser.add_argument("--warm-up", type=float, default=WARM_UP_SECONDS, help="seconds before the measured ones")
    parser.add_argument("--most", type=int, help="requests in all; the run ends early when they are answered")
    parser.add_argument("seconds", type=float)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
