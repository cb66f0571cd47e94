"""Traces: spans as a collector receives them, and the id that goes on into the enclave."""

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from app.config import Config, ConfigError, from_environment
from app.tracing.traces import NoTracer
from tests.fake_enclave import FakeEnclave, keeps, sends
from tests.metrics_kit import REPORT, TIMINGS, reports
from tests.otlp_collector import Collector, Span, collector
from tests.parent import CHECKOUT, LEAST, VIES, Gunicorn, serving
from wire.addresses import Address
from wire.hops import Report

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = f"00-{TRACE}-00f067aa0ba902b7-01"
UNSAMPLED = f"00-{TRACE}-00f067aa0ba902b7-00"
NAMES = {"firstByte": "first_byte"}


@contextmanager
def traced(address: Address, log: io.StringIO | None = None) -> Iterator[FlaskClient]:
    """Serve as `tests.parent.parent` does, with spans."""
    config = Config(manifests=(VIES,), addresses={VIES.name: (address,)}, timeout_ms=2_000, tracing=True)
    with serving(config, log=log) as app:
        yield app.test_client()


@pytest.fixture
def collected(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with collector() as kept:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", kept.url)
        yield kept


def ask(client: FlaskClient, traceparent: str | None = None, **fields: object) -> None:
    headers = {} if traceparent is None else {"traceparent": traceparent}
    client.post("/attest/fetch", json={**LEAST, **fields}, headers=headers)


def by_name(kept: Collector) -> dict[str, Span]:
    return {span.name: span for span in kept.spans}


def hop_of(enclave: FakeEnclave) -> dict[str, object]:
    hop: dict[str, object] = enclave.calls[-1]["hop"]
    return hop


def test_a_request_is_a_trace_from_the_agent_into_the_enclave(tmp_path: Path, collected: Collector) -> None:
    log = io.StringIO()
    with FakeEnclave(tmp_path / "enclave", reports()) as enclave:
        with traced(enclave.address, log) as client:
            ask(client, CALLER)
        crossed = hop_of(enclave)["trace"]
    assert collected.paths == ["/v1/traces"]
    assert {one["service.name"] for one in collected.resources} == {"tytle-parent"}
    spans = by_name(collected)
    request, inside = spans["attest.fetch"], spans["enclave"]
    assert {span.trace_id for span in spans.values()} == {TRACE}
    assert (request.above, inside.above) == ("00f067aa0ba902b7", request.span_id)
    assert crossed == f"00-{TRACE}-{inside.span_id}-01"
    assert request.attributes == {
        "tytle.service": "vies",
        "tytle.outcome": "success",
        "tytle.boot": REPORT.boot,
        "http.response.status_code": 200,
    }
    assert json.loads(log.getvalue().splitlines()[-1])["traceId"] == TRACE


def test_each_phase_that_the_enclave_measured_is_a_span_as_long_as_it_was(tmp_path: Path, collected: Collector) -> None:
    with FakeEnclave(tmp_path / "enclave", reports()) as enclave, traced(enclave.address) as client:
        ask(client)
    spans = by_name(collected)
    inside = spans.pop("enclave")
    del spans["attest.fetch"]
    assert set(spans) == {NAMES.get(told, told) for told in TIMINGS}
    at_ns = inside.began_ns
    for told, spent_us in TIMINGS.items():
        span = spans[NAMES.get(told, told)]
        assert (span.above, span.began_ns) == (inside.span_id, at_ns)
        spent_ns = span.ended_ns - span.began_ns
        assert spent_ns == spent_us * 1000 or (
            told == "queue" and spent_ns > spent_us * 1000
        )  # a wait here comes on top
        at_ns = span.ended_ns


def test_a_request_without_a_trace_begins_one(tmp_path: Path, collected: Collector) -> None:
    with FakeEnclave(tmp_path / "enclave", reports()) as enclave, traced(enclave.address) as client:
        ask(client)
        ask(client, "00-" + "0" * 32 + "-00f067aa0ba902b7-01")
    first, second = [span for span in collected.spans if span.name == "attest.fetch"]
    assert (first.above, second.above) == ("", "")
    assert first.trace_id != second.trace_id


def test_a_caller_that_samples_nothing_gets_no_span_and_its_trace_id_still_crosses(
    tmp_path: Path, collected: Collector
) -> None:
    with FakeEnclave(tmp_path / "enclave", reports()) as enclave, traced(enclave.address) as client:
        ask(client, UNSAMPLED)
        crossed = str(hop_of(enclave)["trace"])
    assert collected.spans == []
    assert (crossed[:36], crossed[-3:]) == (f"00-{TRACE}-", "-00")


def test_what_fails_is_a_span_with_its_outcome(tmp_path: Path, collected: Collector) -> None:
    failed = Report(success=False, status=502, boot="ab" * 16)
    with FakeEnclave(tmp_path / "one", reports(failed)) as enclave, traced(enclave.address) as client:
        ask(client)
    with FakeEnclave(tmp_path / "two", sends(b"")) as enclave, traced(enclave.address) as client:
        ask(client)
        client.post("/attest/fetch", json={"url": 1})
        client.get("/health")
    ends = [(span.attributes["tytle.outcome"], span.error) for span in collected.spans if span.name == "attest.fetch"]
    assert ends == [(word, word) for word in ("upstream_failure", "unreachable", "bad_request")]
    assert {span.name for span in collected.spans} == {"attest.fetch", "enclave"}


def test_no_span_holds_what_a_caller_an_upstream_or_an_enclave_says(tmp_path: Path, collected: Collector) -> None:
    report = Report(success=True, status=200, boot="ab" * 16, timings_us={"planted-phase": 4, "attest": 1})
    answer = b'{"success":true,"status":200,"error":"planted-answer"}'
    with (
        FakeEnclave(tmp_path / "enclave", reports(report, answer)) as enclave,
        traced(enclave.address) as client,
    ):
        url = "https://ec.europa.eu/planted-path?planted-query=1"
        ask(client, CALLER, url=url, headers={"authorization": "planted-header"}, body="planted-body", id="planted-id")
        ask(client, "planted-trace", url="https://planted-host/")
        client.post("/attest/query", json={"service": "planted-service", "operation": "planted-o", "params": {}})
        client.post("/attest/fetch?planted-query", data=b"planted-body", headers={"tracestate": "planted=state"})
    assert len(collected.spans) >= 4
    assert [body for body in collected.bodies if b"planted" in body] == []


def test_a_collector_that_is_away_costs_a_line_in_the_log_and_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = io.StringIO()
    with collector(status=400) as kept, FakeEnclave(tmp_path / "enclave", reports()) as enclave:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", kept.url)
        with traced(enclave.address, log) as client:
            assert client.post("/attest/fetch", json=LEAST).status_code == 200
    events = [json.loads(line) for line in log.getvalue().splitlines()]
    assert [set(event) for event in events if event["event"] == "tracing trouble"] == [{"time", "event", "where"}]


def test_gunicorn_sends_its_last_spans_when_it_ends(tmp_path: Path, collected: Collector) -> None:
    with FakeEnclave(tmp_path / "enclave", reports()), Gunicorn(tmp_path / "enclave", tmp_path / "log") as gunicorn:
        assert gunicorn.post(json.dumps(LEAST).encode()).status == 200
    assert "attest.fetch" in by_name(collected)


# --- without OpenTelemetry


@pytest.mark.parametrize("traceparent", [CALLER, UNSAMPLED])
def test_without_spans_a_callers_trace_goes_on_as_it_came(traceparent: str, tmp_path: Path) -> None:
    log = io.StringIO()
    with FakeEnclave(tmp_path / "enclave", reports()) as enclave:
        with serving(Config(manifests=(VIES,), addresses={"vies": (enclave.address,)}), log=log) as app:
            ask(app.test_client(), traceparent)
        assert hop_of(enclave) == {"report": True, "trace": traceparent}
    assert json.loads(log.getvalue().splitlines()[-1])["traceId"] == TRACE


@pytest.mark.parametrize("traceparent", [None, "", "planted", CALLER.upper(), CALLER + "-00", "01" + CALLER[2:]])
def test_without_a_proper_traceparent_nothing_goes_on(traceparent: str | None, tmp_path: Path) -> None:
    log = io.StringIO()
    with FakeEnclave(tmp_path / "enclave", keeps()) as enclave:
        with serving(Config(manifests=(VIES,), addresses={"vies": (enclave.address,)}), log=log) as app:
            ask(app.test_client(), traceparent)
        assert hop_of(enclave) == {"report": True}
    assert "traceId" not in log.getvalue()


@given(st.text())
def test_any_text_is_a_traceparent_or_nothing(text: str) -> None:
    assert NoTracer().begin("fetch", text).id in (None, text[3:35])


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_SDK_DISABLED": "True"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
    ],
)
def test_the_standards_variables_say_whether_there_are_spans(environ: dict[str, str], wanted: bool) -> None:
    assert from_environment(environ).tracing == wanted


@pytest.mark.parametrize("build", ["a b", "a/b", "é", "x" * 65])
def test_a_build_is_a_short_plain_name(build: str) -> None:
    with pytest.raises(ConfigError, match="BUILD"):
        from_environment({"BUILD": build})
    assert from_environment({"BUILD": "v1.2-3+g0a"}).build == "v1.2-3+g0a"


WITHOUT = """
import sys
sys.modules["opentelemetry"] = None
from app import create_app
from app.config import ConfigError
try:
    create_app()
except ConfigError as exc:
    print(exc)
else:
    print("started")
"""


@pytest.mark.parametrize("endpoint", ["", "http://127.0.0.1:4318"])
def test_a_parent_without_the_packages_starts_unless_traces_are_wanted(endpoint: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT],
        cwd=CHECKOUT,
        env={"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint},
        capture_output=True,
        text=True,
        check=True,
    )
    wanted = "OTEL_EXPORTER_OTLP_ENDPOINT: OpenTelemetry is not installed: pip install --require-hashes -r"
    assert done.stdout.strip() == (f"{wanted} requirements/tracing.txt" if endpoint else "started")
