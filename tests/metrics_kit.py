"""What the tests of metrics share: an exposition read by the library's own parsers, and an enclave that reports."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families as text_families
from prometheus_client.samples import Sample

from tests.fake_enclave import ANSWER, PING, PONG, Peer, Script
from wire import hops
from wire.hops import Report

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
TIMINGS = {"queue": 12, "connect": 2_000, "tls": 3_000, "firstByte": 40_000, "body": 90, "attest": 1_500}
REPORT = Report(success=True, status=200, boot="ab" * 16, timings_us={**TIMINGS, "total": 50_000})


def reports(report: Report = REPORT, answer: bytes = ANSWER) -> Script:
    """Serve as our worker does: a report before each answer."""
    return reporting(lambda _: (hops.encode_report(report), answer))


def reporting(answer: Callable[[bytes], tuple[bytes, ...]]) -> Script:
    def script(peer: Peer) -> None:
        while (payload := peer.read()) is not None:
            for said in (PONG,) if payload == PING else answer(payload):
                peer.reply(said)

    return script


class Shown:
    """One exposition. `samples` in their order."""

    def __init__(self, text: str, *, openmetrics: bool = False) -> None:
        self.text = text
        self.families = list(openmetrics_families(text) if openmetrics else text_families(text))
        self.samples: list[Sample] = [sample for family in self.families for sample in family.samples]

    def value(self, name: str, **labels: str) -> float | None:
        """Return the one sample with this name and these labels, or None."""
        found = [one.value for one in self.samples if one.name == name and labels.items() <= one.labels.items()]
        assert len(found) <= 1, f"{name} {labels}: {len(found)} samples"
        return found[0] if found else None

    def total(self, name: str, **labels: str) -> float:
        """Return the sum of the samples with this name that have these labels."""
        return sum(one.value for one in self.samples if one.name == name and labels.items() <= one.labels.items())
