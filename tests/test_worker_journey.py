"""What a report says of the way that a question took: phases, queues, trace. Nothing of it reaches the upstream."""

import json
import threading
import time
from typing import Any

import pytest

from devstack.upstream import Request, Response
from enclave_worker.journey import LEAST_WAIT_NS, Journey
from enclave_worker.upstream.phases import Phases
from enclave_worker.worker import Capacity
from tests.enclave_kit import HOST, Enclave, Gate, enclave, in_threads
from tests.fake_enclave import wait_until
from tests.sealing import sealer
from tests.toy_service import OPERATIONS, TOML
from wire import hops
from wire.hops import Hop, Report

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
HOP = Hop(report=True, trace=f"00-{TRACE}-00f067aa0ba902b7-01")
FETCH = {"id": "r1", "url": f"https://{HOST}/hello", "method": "GET", "headers": {}}
SLOW_US = 50_000


def report_of(running: Enclave, question: dict[str, Any] | bytes = FETCH, **fields: Any) -> Report:
    payload = question if isinstance(question, bytes) else json.dumps({**question, **fields}).encode()
    report = hops.read_report(running.worker.payloads(hops.attach(payload, HOP))[0])
    assert report is not None
    return report


def opened_late(gate: Gate) -> threading.Thread:
    """Let the NSM go on SLOW_US after it was asked."""

    def open_it() -> None:
        gate.busy.wait(5)
        time.sleep(SLOW_US / 1e6)
        gate.open.set()

    thread = threading.Thread(target=open_it)
    thread.start()
    return thread


def slowly(request: Request) -> Response:
    time.sleep(SLOW_US / 1e6)
    return Response(status=200, headers=(("Content-Type", "text/plain"),), body=b"x")


def test_the_phases_of_a_first_fetch_are_all_there_and_fit_into_the_whole() -> None:
    with enclave() as running:
        spent = dict(report_of(running).timings_us)
    total = spent.pop("total")
    assert set(spent) == {"connect", "tls", "firstByte", "body", "attest"}
    assert min(spent.values()) > 0
    assert sum(spent.values()) <= total


def test_a_kept_connection_has_no_connect_and_no_tls() -> None:
    with enclave() as running:
        report_of(running)
        assert set(report_of(running).timings_us) == {"firstByte", "body", "attest", "total"}


def test_an_upstream_that_thinks_costs_time_to_the_first_byte() -> None:
    with enclave(slowly) as running:
        spent = report_of(running).timings_us
    assert spent["total"] >= spent["firstByte"] >= SLOW_US


def test_the_calls_of_a_query_are_added_up() -> None:
    def item(request: Request) -> Response:
        time.sleep(SLOW_US / 1e6)
        said = {"id": request.path[1:], "name": "c3", "cents": 1, "sold": True}
        return Response(status=200, headers=(("Content-Type", "application/json"),), body=json.dumps(said).encode())

    query = {"id": "q1", "service": "test", "operation": "test.twice", "params": {"id": "b2"}}
    with enclave(item, toml=TOML, operations=OPERATIONS) as running:
        report = report_of(running, query)
    assert report.success
    assert report.timings_us["firstByte"] >= 2 * SLOW_US


@pytest.mark.parametrize("mode", ["document", "batch"])
def test_the_wait_for_the_nsm_is_attestation(mode: str) -> None:
    gate = Gate()
    with enclave(nsm=gate) as running:  # type: ignore[arg-type]
        opener = opened_late(gate)
        assert report_of(running, mode=mode).timings_us["attest"] >= SLOW_US
        opener.join()


def test_a_session_that_waits_for_its_document_waits_before_the_upstream_is_asked() -> None:
    gate = Gate()
    with enclave(nsm=gate) as running:  # type: ignore[arg-type]
        opener = opened_late(gate)
        assert report_of(running, mode="session").timings_us["queue"] >= SLOW_US
        opener.join()
        assert "queue" not in report_of(running, mode="session").timings_us


def test_a_failed_fetch_has_the_phases_that_it_came_to() -> None:
    with enclave(slowly, phases=Phases(connect=1.0, tls=1.0, first_byte=0.02)) as running:
        report = report_of(running)
    assert not report.success
    assert set(report.timings_us) >= {"connect", "tls", "firstByte", "attest", "total"}
    assert 20_000 <= report.timings_us["firstByte"] < report.timings_us["total"]


def test_what_is_refused_has_no_phase_but_the_whole() -> None:
    with enclave() as running:
        assert set(report_of(running, url="https://elsewhere.test/").timings_us) == {"total"}
        assert set(report_of(running, b'{"type":"ping"}').timings_us) == {"total"}


def test_of_a_sealed_question_only_what_its_carrier_can_measure_is_told() -> None:
    with enclave() as running:
        seals = sealer(running.worker)
        seals.seal(FETCH)
        report = report_of(running, seals.frame())
    assert (report.success, report.status) == (True, 200)
    assert set(report.timings_us) == {"attest", "total"}


def test_a_report_counts_the_others_under_way_and_what_waits_for_the_nsm() -> None:
    gate = Gate()

    def held(request: Request) -> Response:
        if request.path == "/held":
            gate.open.wait(10)
        return Response(status=200, headers=(), body=b"x")

    with enclave(held, nsm=gate) as running:  # type: ignore[arg-type]

        def load() -> tuple[int, int]:
            report = report_of(running, url="https://elsewhere.test/")
            return report.fetches, report.nsm_queue

        threads = [threading.Thread(target=running.fetch, args=(path,)) for path in ("/held", "/a1", "/a2", "/a3")]
        for thread in threads:
            thread.start()
        wait_until(lambda: load() == (4, 2))  # one of the three is in the NSM, and waits no longer
        gate.open.set()
        for thread in threads:
            thread.join()
        assert load() == (0, 0)


def test_the_trace_id_is_in_the_log_and_nowhere_else() -> None:
    seen: list[Request] = []

    def note(request: Request) -> Response:
        seen.append(request)
        return Response(status=200, headers=(), body=b"x")

    with enclave(note) as running:
        payloads = running.worker.payloads(hops.attach(json.dumps(FETCH).encode(), HOP))
        seals = sealer(running.worker)
        seals.seal(FETCH)
        running.worker.payloads(hops.attach(seals.frame(), HOP))
        running.fetch()
        lines = [json.loads(line) for line in running.log.getvalue().splitlines()]
    assert [line.get("trace") for line in lines if line["event"] == "fetched"] == [TRACE, TRACE, None]
    assert not any(TRACE.encode() in payload for payload in payloads)
    assert len(seen) == 3
    assert TRACE not in repr([(request.method, request.path, request.headers, request.body) for request in seen])


def test_what_finds_no_place_is_logged_under_its_trace() -> None:
    with enclave(slowly, capacity=Capacity(fetches=1)) as running:
        in_threads(4, lambda _: report_of(running))
        lines = [json.loads(line) for line in running.log.getvalue().splitlines()]
    full = [line for line in lines if line["event"] == "full"]
    assert full
    assert {line["trace"] for line in full} == {TRACE}


def test_a_short_look_is_no_wait() -> None:
    assert "queue" not in Journey(queue=LEAST_WAIT_NS - 1).timings_us(sealed=False)
    assert Journey(queue=LEAST_WAIT_NS).timings_us(sealed=True)["queue"] == LEAST_WAIT_NS // 1000
