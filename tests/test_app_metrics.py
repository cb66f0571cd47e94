"""GET /metrics: each request is counted once, under labels that no caller chooses, over all of gunicorn's processes."""

import errno
import io
import json
import os
import re
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from prometheus_client import CollectorRegistry, generate_latest, mmap_dict
from prometheus_client.multiprocess import MultiProcessCollector

from app.config import ArchiveSettings, Config
from app.log import Log
from app.metrics import files, outcomes
from app.metrics.latest import Latest
from app.metrics.meters import Meters
from app.metrics.numbers import Numbers
from app.metrics.tally import BUCKETS
from devstack.processes import children
from tests.fake_enclave import FakeEnclave, Script, keeps, sends, silent, wait_until
from tests.metrics_kit import OPENMETRICS, REPORT, TIMINGS, Shown, reporting, reports
from tests.parent import LEAST, VIES, Gunicorn, parent, serving
from wire import hops
from wire.addresses import UnixAddress
from wire.hops import Report

ROOT = Path(__file__).parent.parent
LABELS = {"service", "route", "outcome", "phase", "enclave", "build", "python", "le", "state"}
UNITS = ("_seconds", "_bytes", "_ratio")
SECRETS = ("planted-path", "planted-query", "planted-header", "planted-body", "planted-id", "planted-service")


def shown(client: FlaskClient) -> Shown:
    response = client.get("/metrics")
    assert response.status_code == 200
    return Shown(response.text)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[FlaskClient]:
    with FakeEnclave(tmp_path / "enclave", reports()) as enclave, parent(enclave.address) as client:
        yield client


def ask(client: FlaskClient, **fields: object) -> int:
    return client.post("/attest/fetch", json={**LEAST, **fields}).status_code


# --- what is counted


def test_a_fetch_is_counted_with_its_service_route_and_outcome(served: FlaskClient) -> None:
    assert [ask(served) for _ in range(3)] == [200] * 3
    seen = shown(served)
    assert seen.value("tytle_requests_total", service="vies", route="fetch", outcome="success") == 3
    assert seen.value("tytle_request_seconds_count", service="vies", route="fetch") == 3
    assert 0 < (seen.value("tytle_request_seconds_sum", service="vies", route="fetch") or 0) < 60


def test_the_phases_are_those_that_the_enclave_reported(served: FlaskClient) -> None:
    assert [ask(served) for _ in range(2)] == [200] * 2
    seen = shown(served)
    names = {"firstByte": "first_byte"}
    for told, spent_us in REPORT.timings_us.items():
        phase = names.get(told, told)
        assert seen.value("tytle_phase_seconds_count", service="vies", phase=phase) == 2
        spent = seen.value("tytle_phase_seconds_sum", service="vies", phase=phase) or 0
        assert spent == pytest.approx(2 * spent_us / 1e6) or (told == "queue" and spent > 2 * spent_us / 1e6)


def test_the_wait_for_a_place_in_the_parent_is_queue(tmp_path: Path) -> None:
    held = threading.Event()

    def answer(_: bytes) -> tuple[bytes, ...]:
        held.wait(0.2)
        return hops.encode_report(Report(success=True, status=200, boot="ab" * 16)), b"{}"

    with (
        FakeEnclave(tmp_path / "enclave", reporting(answer)) as enclave,
        parent(enclave.address, connections=1) as client,
        ThreadPoolExecutor(2) as threads,
    ):
        assert list(threads.map(lambda _: ask(client), range(2))) == [200, 200]
        seen = shown(client)
        assert (seen.value("tytle_phase_seconds_sum", service="vies", phase="queue") or 0) > 0.1
        assert seen.value("tytle_service_places", service="vies", state="free") == 1
        assert seen.value("tytle_service_places", service="vies", state="taken") == 0


def test_a_question_for_an_identity_may_wait_for_a_place_too(tmp_path: Path) -> None:
    held = threading.Event()

    def answer(_: bytes) -> tuple[bytes, ...]:
        held.wait(0.2)
        return (b'{"success": true}',)

    with (
        FakeEnclave(tmp_path / "enclave", reporting(answer)) as enclave,
        parent(enclave.address, connections=1) as client,
        ThreadPoolExecutor(2) as threads,
    ):
        path = "/enclaves/vies/identity"
        assert list(threads.map(lambda _: client.get(path).status_code, range(2))) == [200, 200]


def test_a_phase_that_an_enclave_makes_up_is_passed_over(tmp_path: Path) -> None:
    report = Report(success=True, status=200, boot="ab" * 16, timings_us={"attest": 5, "planted-path": 7})
    with FakeEnclave(tmp_path / "enclave", reports(report)) as enclave, parent(enclave.address) as client:
        assert ask(client) == 200
        assert "planted" not in shown(client).text


def test_an_enclave_without_reports_is_counted_without_phases(tmp_path: Path) -> None:
    with FakeEnclave(tmp_path / "enclave", keeps()) as enclave, parent(enclave.address) as client:
        assert ask(client) == 200
        seen = shown(client)
        assert seen.value("tytle_requests_total", service="vies", route="fetch", outcome="success") == 1
        assert seen.total("tytle_phase_seconds_count") == 0


@pytest.mark.parametrize(
    ("report", "outcome"),
    [
        (Report(success=True, status=404, boot="ab" * 16), "success"),
        (Report(success=False, status=502, boot="ab" * 16), "upstream_failure"),
        (Report(success=False, status=504, boot="ab" * 16), "upstream_failure"),
        (Report(success=False, status=403, boot="ab" * 16), "refused"),
        (Report(success=False, status=400, boot="ab" * 16), "refused"),
        (Report(success=False, status=503, boot="ab" * 16), "busy"),
    ],
)
def test_what_an_enclave_answered_is_an_outcome(report: Report, outcome: str, tmp_path: Path) -> None:
    with FakeEnclave(tmp_path / "enclave", reports(report)) as enclave, parent(enclave.address) as client:
        assert ask(client) == 200
        assert shown(client).value("tytle_requests_total", service="vies", route="fetch", outcome=outcome) == 1


@pytest.mark.parametrize(
    ("script", "outcome"), [(silent, "deadline"), (sends(b""), "unreachable"), (sends(b"\0\0\0\1["), "unreachable")]
)
def test_an_enclave_that_does_not_answer_is_an_outcome(script: Script, outcome: str, tmp_path: Path) -> None:
    with FakeEnclave(tmp_path / "enclave", script) as enclave, parent(enclave.address, timeout_ms=200) as client:
        assert ask(client) in (502, 504)
        seen = shown(client)
        assert seen.value("tytle_requests_total", service="vies", route="fetch", outcome=outcome) == 1
        assert seen.value("tytle_calls_in_flight", service="vies") == 0


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, "success"),
        (400, "bad_request"),
        (401, "unauthorised"),
        (403, "refused"),
        (404, "not_found"),
        (405, "not_found"),
        (413, "bad_request"),
        (429, "limited"),
        (500, "internal_error"),
        (501, "internal_error"),
        (502, "unreachable"),
        (503, "busy"),
        (504, "deadline"),
    ],
)
def test_an_answer_of_the_parents_own_is_an_outcome(status: int, outcome: str) -> None:
    assert outcomes.of_http(status) == outcome
    assert outcome in outcomes.OUTCOMES


def test_a_call_is_in_flight_until_it_is_answered(tmp_path: Path) -> None:
    def held(peer_payload: bytes) -> tuple[bytes, ...]:
        wait_until(lambda: seen_in_flight == [1.0])
        return hops.encode_report(REPORT), b"{}"

    seen_in_flight: list[float | None] = []
    with (
        FakeEnclave(tmp_path / "enclave", reporting(held)) as enclave,
        parent(enclave.address) as client,
        ThreadPoolExecutor(1) as threads,
    ):
        asked = threads.submit(ask, client)
        wait_until(lambda: len(enclave.calls) == 1)
        seen_in_flight.append(shown(client).value("tytle_calls_in_flight", service="vies"))
        assert asked.result() == 200
        assert seen_in_flight == [1.0]
        assert shown(client).value("tytle_calls_in_flight", service="vies") == 0


def test_the_enclaves_queues_are_those_of_its_newest_report(tmp_path: Path) -> None:
    loads = iter([(7, 9), (2, 3)])

    def answer(_: bytes) -> tuple[bytes, ...]:
        waiting, fetches = next(loads)
        told = Report(success=True, status=200, boot="ab" * 16, nsm_queue=waiting, fetches=fetches)
        return hops.encode_report(told), b"{}"

    with FakeEnclave(tmp_path / "enclave", reporting(answer)) as enclave, parent(enclave.address) as client:
        for expected in [(7, 9), (2, 3)]:
            assert ask(client) == 200
            seen = shown(client)
            assert seen.value("tytle_nsm_queue", service="vies", enclave=str(VIES.cid)) == expected[0]
            assert seen.value("tytle_enclave_fetches", service="vies", enclave=str(VIES.cid)) == expected[1]


def test_an_enclaves_connections_are_busy_or_idle(tmp_path: Path) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def held(_: bytes) -> tuple[bytes, ...]:
        entered.set()
        go_on.wait(5)
        return hops.encode_report(REPORT), b"{}"

    def connections(client: FlaskClient) -> list[float | None]:
        states = {"service": "vies", "enclave": str(VIES.cid)}
        return [shown(client).value("tytle_pool_connections", **states, state=state) for state in ("busy", "idle")]

    with (
        FakeEnclave(tmp_path / "enclave", reporting(held)) as enclave,
        parent(enclave.address) as client,
        ThreadPoolExecutor(1) as threads,
    ):
        assert connections(client) == [0, 0]
        asked = threads.submit(ask, client)
        assert entered.wait(5)
        assert connections(client) == [1, 0]
        go_on.set()
        assert asked.result() == 200
        assert connections(client) == [0, 1]


def test_an_enclave_that_is_left_out_is_shown_so(tmp_path: Path) -> None:
    with FakeEnclave(tmp_path / "enclave", sends(b"")) as enclave, parent(enclave.address) as client:
        assert shown(client).value("tytle_enclave_serving", service="vies", enclave=str(VIES.cid)) == 1
        assert ask(client) == 502
        assert shown(client).value("tytle_enclave_serving", service="vies", enclave=str(VIES.cid)) == 0


def test_a_series_is_there_before_its_first_request(served: FlaskClient) -> None:
    seen = shown(served)
    for route in ("fetch", "query", "sealed"):
        for outcome in outcomes.OF_A_SERVICE:
            assert seen.value("tytle_requests_total", service="vies", route=route, outcome=outcome) == 0


# --- what no label may hold


def test_no_label_holds_what_a_caller_or_an_enclave_says(tmp_path: Path) -> None:
    report = Report(success=False, status=502, boot="ab" * 16, timings_us={"planted-body": 1})
    with FakeEnclave(tmp_path / "enclave", reports(report)) as enclave, parent(enclave.address) as client:
        url = "https://ec.europa.eu/planted-path?planted-query=1"
        ask(client, url=url, headers={"authorization": "planted-header"}, body="planted-body", id="planted-id")
        client.post("/attest/query", json={"service": "planted-service", "operation": "planted-path", "params": {}})
        client.post("/attest/sealed", json={"service": "planted-service", "keyId": "00" * 32, "sealed": "AAAA"})
        client.get("/planted-path?planted-query=1", headers={"traceparent": "planted-header"})
        client.open("/attest/fetch", method="PLANTED-PATH")
        client.get("/enclaves/planted-service/identity?challenge=planted-query")
        ask(client, url="https://planted-path/")
        for accept in ("", OPENMETRICS):
            text = client.get("/metrics", headers={"Accept": accept}).text
            assert [secret for secret in (*SECRETS, "PLANTED", "planted") if secret in text] == []


def test_callers_cannot_make_series(served: FlaskClient) -> None:
    def odd(number: int) -> None:
        served.get(f"/nowhere/{number}")
        served.post("/attest/query", json={"service": f"s{number}", "operation": "o", "params": {}})
        ask(served, url=f"https://h{number}.test/", id=f"id-{number}")

    odd(0)
    first = {(one.name, tuple(one.labels.items())) for one in shown(served).samples}
    for number in range(1, 30):
        odd(number)
    grown = {(one.name, tuple(one.labels.items())) for one in shown(served).samples} - first
    assert {labels for _, labels in grown if ("route", "metrics") not in labels} == set()


# --- the format


@pytest.mark.parametrize("accept", ["application/openmetrics-text; version=abc", "text/plain; version=x", ";;=,"])
def test_whoever_accepts_what_there_is_not_gets_plain_text(served: FlaskClient, accept: str) -> None:
    response = served.get("/metrics", headers={"Accept": accept})
    assert (response.status_code, response.headers["Content-Type"].partition(";")[0]) == (200, "text/plain")


@pytest.mark.parametrize("openmetrics", [False, True])
def test_the_exposition_keeps_the_rules_of_naming(served: FlaskClient, openmetrics: bool) -> None:
    ask(served)
    response = served.get("/metrics", headers={"Accept": OPENMETRICS if openmetrics else "text/plain"})
    kind = "application/openmetrics-text" if openmetrics else "text/plain"
    assert response.headers["Content-Type"].startswith(kind)
    assert response.headers["Cache-Control"] == "no-store"
    seen = Shown(response.text, openmetrics=openmetrics)
    assert len(seen.families) >= 7
    for family in seen.families:
        assert re.fullmatch(r"tytle(_[a-z]+)+", family.name), family.name
        assert family.documentation.endswith("."), family.name
        assert family.type in ("counter", "gauge", "histogram"), family.name
        assert family.type != "histogram" or family.name.endswith(UNITS), family.name
        assert family.type != "gauge" or not family.name.endswith(("_total", "_count", "_sum")), family.name
        for sample in family.samples:
            assert set(sample.labels) <= LABELS, sample
            assert family.type != "counter" or sample.name.endswith(("_total", "_created")), sample


def test_a_histograms_buckets_go_from_a_millisecond_to_half_a_minute(served: FlaskClient) -> None:
    ask(served)
    bounds = [
        float(one.labels["le"])
        for one in shown(served).samples
        if one.name == "tytle_phase_seconds_bucket" and one.labels["phase"] == "attest"
    ]
    assert bounds == [*BUCKETS, float("inf")]
    assert (bounds[0], bounds[-2]) == (0.001, 30.0)


# --- several processes


def test_two_processes_are_summed_and_a_reload_forgets_no_request(tmp_path: Path) -> None:
    numbers = tmp_path / "numbers"
    numbers.mkdir()
    (numbers / "counter_1.db").write_bytes(b"what a parent before this one left behind, and is no longer read")
    with (
        FakeEnclave(tmp_path / "enclave", reports()),
        Gunicorn(tmp_path / "enclave", tmp_path / "log", workers=2, environ={files.VARIABLE: str(numbers)}) as gunicorn,
    ):
        made = _ask_until(gunicorn, lambda: len(_busy(numbers)) == 2)
        wait_until(lambda: _requests(gunicorn) == made)  # the other process hands over what it counted once a second
        seen = Shown(_get(gunicorn, "/metrics"))
        assert seen.value("tytle_phase_seconds_count", service="vies", phase="attest") == made
        wait_until(lambda: Shown(_get(gunicorn, "/metrics")).value("tytle_build_info", build="unknown") == 1)

        before = {path.name for path in numbers.glob("gauge_livesum_*.db")}
        gunicorn.process.send_signal(signal.SIGHUP)
        wait_until(lambda: not before & {path.name for path in numbers.glob("gauge_livesum_*.db")}, seconds=20)
        assert _requests(gunicorn) == made
        made += _ask_until(gunicorn, lambda: True)
        wait_until(lambda: _requests(gunicorn) == made)


def test_the_folder_of_the_processes_is_private_and_goes_with_them(tmp_path: Path) -> None:
    with (
        FakeEnclave(tmp_path / "enclave", reports()),
        Gunicorn(tmp_path / "enclave", tmp_path / "log") as gunicorn,
    ):
        assert gunicorn.post(json.dumps(LEAST).encode()).status == 200
        first = _child(gunicorn)
        folders = _open_folders(first)
        assert len(folders) == 1
        assert folders[0].stat().st_mode & 0o777 == 0o700
        gunicorn.process.send_signal(signal.SIGHUP)
        wait_until(lambda: not Path(f"/proc/{first}").exists(), seconds=20)
        assert gunicorn.post(json.dumps(LEAST).encode()).status == 200
        assert _open_folders(_child(gunicorn)) == folders
    assert not folders[0].exists()


def _child(gunicorn: Gunicorn) -> int:
    return children(gunicorn.process.pid)[0]


def _open_folders(pid: int) -> list[Path]:
    """Return the folders of the metric files that a process has mapped."""
    maps = Path(f"/proc/{pid}/maps").read_text()
    return sorted({Path(line.split()[-1]).parent for line in maps.splitlines() if line.endswith(".db")})


def _ask_until(gunicorn: Gunicorn, enough: Callable[[], bool]) -> int:
    made = 0
    while made < 400:
        assert gunicorn.post(json.dumps(LEAST).encode()).status == 200
        made += 1
        if made >= 10 and enough():
            return made
        time.sleep(0.01)
    raise AssertionError("one process took every request")


def _busy(numbers: Path) -> list[Path]:
    """Return the counter files of the processes that have served a fetch."""
    return [path for path in numbers.glob("counter_*.db") if _counted(path) > 0]


def _counted(path: Path) -> float:
    merged = MultiProcessCollector.merge([str(path)])  # type: ignore[no-untyped-call]
    samples = [one for family in merged for one in family.samples if one.name == "tytle_requests_total"]
    return sum(one.value for one in samples if one.labels["route"] == "fetch")


def _get(gunicorn: Gunicorn, path: str) -> str:
    connection = gunicorn.connect()
    try:
        connection.request("GET", path)
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def _requests(gunicorn: Gunicorn) -> float:
    return Shown(_get(gunicorn, "/metrics")).total("tytle_requests_total", route="fetch", outcome="success")


# --- the folder, and the numbers of others


def test_an_operators_folder_is_made_and_emptied(tmp_path: Path) -> None:
    folder = tmp_path / "numbers"
    files.empty(folder)
    (folder / "counter_7.db").write_bytes(b"old")
    (folder / "note").write_bytes(b"not ours")
    files.empty(folder)
    assert [path.name for path in folder.iterdir()] == ["note"]


def test_a_file_that_a_process_is_making_in_this_instant_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "counter_7.db").touch()
    registry = CollectorRegistry()
    files.Shared(registry, path=str(tmp_path))  # type: ignore[no-untyped-call]
    assert generate_latest(registry) == b""


def numbers_of(log: io.StringIO | None = None) -> tuple[Numbers, CollectorRegistry]:
    registry = CollectorRegistry()
    return Numbers(registry, Log(stream=log or io.StringIO())), registry


def text_of(registry: CollectorRegistry) -> Shown:
    return Shown(generate_latest(registry).decode())


def test_a_plain_number_is_read_when_it_is_looked_at() -> None:
    numbers, registry = numbers_of()
    kept = {"rows": 1.0, "dropped": 5.0}
    numbers.gauge("tytle_rows", "Rows.", ("service",), lambda: [(("vies",), kept["rows"])])
    numbers.counter("tytle_dropped_total", "Dropped.", (), lambda: [((), kept["dropped"])])
    for rows, dropped in [(4.0, 5.0), (2.0, 9.0), (3.0, 9.0)]:
        kept.update(rows=rows, dropped=dropped)
        numbers.look()
        assert text_of(registry).value("tytle_rows", service="vies") == rows
        assert text_of(registry).value("tytle_dropped_total") == dropped


def test_a_counter_never_goes_back() -> None:
    numbers, registry = numbers_of()
    values = iter([5.0, 3.0, 6.0])
    numbers.counter("tytle_dropped_total", "Dropped.", (), lambda: [((), next(values))])
    for expected in (5.0, 5.0, 6.0):
        numbers.look()
        assert text_of(registry).value("tytle_dropped_total") == expected


def test_a_number_that_cannot_be_read_does_not_hide_the_others() -> None:
    log = io.StringIO()
    numbers, registry = numbers_of(log)
    numbers.gauge("tytle_broken", "Broken.", (), lambda: [((), 1 / 0)])
    numbers.gauge("tytle_rows", "Rows.", (), lambda: [((), 3.0)])
    numbers.look()
    assert text_of(registry).value("tytle_rows") == 3.0
    assert [json.loads(line)["error"] for line in log.getvalue().splitlines()] == ["ZeroDivisionError"]


def test_a_process_that_serves_looks_again_and_again_and_a_last_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.metrics.numbers.SAMPLE_SECONDS", 0.01)
    numbers, _ = numbers_of()
    looks: list[float] = []
    numbers.gauge("tytle_rows", "Rows.", (), lambda: [((), float(looks.append(1.0) or 0))])  # type: ignore[func-returns-value]
    numbers.start()
    wait_until(lambda: len(looks) > 3)
    numbers.stop()
    time.sleep(0.05)
    ended = len(looks)
    time.sleep(0.05)
    assert len(looks) == ended


def test_a_process_looks_before_it_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library opens a file at a number's first value: a process may have no descriptor for it later."""
    monkeypatch.setattr("app.metrics.numbers.SAMPLE_SECONDS", 3600.0)
    numbers, registry = numbers_of()
    numbers.gauge("tytle_seen", "Seen.", (), lambda: [((), 7)])
    numbers.start()
    assert registry.get_sample_value("tytle_seen") == 7
    numbers.stop()


def test_a_report_is_shown_once_and_is_zero_after_a_silence() -> None:
    now = [100.0]
    latest = Latest(clock=lambda: now[0])
    latest.note(("vies", "16"), 4)
    latest.note(("vies", "20"), 0)
    assert dict(latest.read()) == {("vies", "16"): 4, ("vies", "20"): 0}
    assert dict(latest.read()) == {}
    now[0] += 10.5
    assert dict(latest.read()) == {("vies", "16"): 0}
    assert dict(latest.read()) == {}


def test_meters_of_a_service_begin_at_zero_in_a_process_of_its_own() -> None:
    meters = Meters(["vies"], build="b1", log=Log(stream=io.StringIO()))
    meters.phases("vies", TIMINGS)
    seen = Shown(meters.exposition("")[0].decode())
    assert seen.value("tytle_build_info", build="b1") == 1
    assert seen.total("tytle_requests_total") == 0
    assert seen.total("tytle_phase_seconds_count") == len(TIMINGS)


def test_an_enclaves_socket_is_no_label(tmp_path: Path) -> None:
    with parent(UnixAddress(path=str(tmp_path / "nobody"))) as client:
        assert ask(client) == 502
        assert str(tmp_path) not in shown(client).text


def test_the_archives_numbers_are_shown_where_there_is_one(tmp_path: Path, served: FlaskClient) -> None:
    assert "tytle_archive" not in shown(served).text
    answer = b'{"success":true,"status":200,"attestation":{"attestationId":"%b"}}' % f"enc-{uuid.uuid4()}".encode()
    with FakeEnclave(tmp_path / "other", reports(answer=answer)) as enclave:
        archive = ArchiveSettings(url=f"sqlite:///{tmp_path}/archive.db")
        config = Config(manifests=(VIES,), addresses={VIES.name: (enclave.address,)}, archive=archive)
        with serving(config) as app:
            client = app.test_client()
            assert shown(client).value("tytle_archive_saving") == 1
            assert shown(client).value("tytle_archive_saved_total") == 0
            assert ask(client) == 200
            wait_until(lambda: shown(client).value("tytle_archive_saved_total") == 1)
            seen = shown(client)
            assert (seen.value("tytle_archive_lost_total"), seen.value("tytle_archive_waiting_bytes")) == (0, 0)
            assert str(tmp_path) not in seen.text


@pytest.mark.parametrize("room", [0, 1 << 16], ids=["none at the start", "some, and then none"])
def test_a_process_without_room_for_its_numbers_goes_on_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], room: int
) -> None:
    take = os.posix_fallocate

    def reserve(descriptor: int, offset: int, size: int) -> None:
        if size > room:
            raise OSError(errno.ENOSPC, "No space left on device")
        take(descriptor, offset, size)

    monkeypatch.setattr(files.os, "posix_fallocate", reserve)
    keys = [mmap_dict.mmap_key("a_total", "a_total", ["l"], [f"{n:0100}"], "A.") for n in range(2000)]
    numbers = files.Reserved(str(tmp_path / "counter_7.db"))
    for value, key in enumerate(keys):
        numbers.write_value(key, value, 0.0)  # type: ignore[no-untyped-call]
    assert [numbers.read_value(key)[0] for key in keys] == list(range(2000))  # type: ignore[no-untyped-call]
    assert '"event": "full", "what": "numbers", "error": "No space left on device"' in "".join(capfd.readouterr())
    registry = CollectorRegistry()
    files.Shared(registry, path=str(tmp_path))  # type: ignore[no-untyped-call]
    assert (b"a_total{" in generate_latest(registry)) == bool(room)
    numbers.close()  # type: ignore[no-untyped-call]


def test_the_space_for_numbers_is_taken_before_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "counter_7.db"
    numbers = files.Reserved(str(path))
    for number in range(2000):
        numbers.write_value(f"{number:0100}", 1.0, 0.0)  # type: ignore[no-untyped-call]
    taken = path.stat()
    assert taken.st_blocks * 512 >= taken.st_size > 1 << 16
    numbers.close()  # type: ignore[no-untyped-call]
