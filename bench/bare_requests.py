"""The peer without a server in between: `python -m bench.bare_requests URL ROOTS CALL PROCESSES THREADS SECONDS`.

Every process has one `requests.Session` that its threads share; each thread posts, reads the answer, and posts again.
CALL is a JSON file with the call as our parent gets it. It prints the same figures as `bench.load`.
"""

import json
import multiprocessing
import sys
import threading
import time
from array import array
from pathlib import Path
from typing import Any

import requests

from bench import peers
from bench.figures import cpu_seconds, summary
from bench.load import WARM_UP_SECONDS

CONNECT_SECONDS = 0.5  # before the warm-up: fork, handshakes

Counted = tuple["array[float]", int, int]  # latencies of good answers, errors, all answers


def converse(session: requests.Session, url: str, call: dict[str, Any], begin: float, end: float) -> Counted:
    """Post again and again until `end`; count from `begin`. Both are instants on `time.monotonic()`."""
    latencies, errors, answered = array("d"), 0, 0
    while (sent_at := time.monotonic()) < end:
        try:
            answer = session.post(url, data=call["body"], headers=call["headers"], timeout=peers.TIMEOUT_SECONDS)
            good = answer.status_code == 200 and answer.json()["valid"] is True
        except requests.RequestException:
            good = False
        now = time.monotonic()
        answered += 1
        if good and begin <= now < end:
            latencies.append(now - sent_at)
        elif not good:
            errors += 1
    return latencies, errors, answered


def one_process(url: str, roots: str, call: dict[str, Any], threads: int, begin: float, end: float) -> Counted:
    """Run the threads of one process."""
    session = peers.new_session(roots, connections=threads)
    counted: list[Counted] = []
    running = [
        threading.Thread(target=lambda: counted.append(converse(session, url, call, begin, end)))
        for _ in range(threads)
    ]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return merged(counted)


def merged(counted: list[Counted]) -> Counted:
    """Return the sum."""
    latencies: array[float] = array("d")
    for one, _, _ in counted:
        latencies.extend(one)
    return latencies, sum(errors for _, errors, _ in counted), sum(answered for _, _, answered in counted)


def main(arguments: list[str]) -> int:
    """Run once and print the figures."""
    url, roots, path, processes, threads, seconds = arguments
    call = json.loads(Path(path).read_bytes())
    used_before = cpu_seconds()
    begin = time.monotonic() + CONNECT_SECONDS + WARM_UP_SECONDS
    task = (url, roots, call, int(threads), begin, begin + float(seconds))
    with multiprocessing.get_context("fork").Pool(int(processes)) as pool:
        counted = pool.starmap(one_process, [task] * int(processes), chunksize=1)
        pool.close()
        pool.join()
    latencies, errors, answered = merged(counted)
    used = cpu_seconds() - used_before
    summary(latencies, errors=errors, answered=answered, seconds=float(seconds), cpu_seconds=used).print()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
