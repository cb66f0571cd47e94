"""(b) An attested fetch, end to end, against the code that people write without enclaves.

HTTP -> parent -> worker -> TLS upstream, with the soft NSM's signing (P-384, service time 0) counted against us; and
the same upstream asked by a Flask view with `requests`, and by bare `requests` calls with no server in between.
"""

import sys
from pathlib import Path

from app.config import SERVICES
from bench import upstream, vies_call
from bench.attested import check, fetch
from bench.parent_alone import load
from bench.processes import WEB_THREADS, WEB_WORKERS, Child, Processes, wait_for
from bench.report import Ratio, Report
from bench.rounds import Settings, Subject, interleave
from bench.upstream import Upstream
from devstack.worker import socket_path

TITLE = "The whole path, document mode"


def measure(settings: Settings) -> Report:
    """Run the measurement."""
    with Processes() as processes:
        server, child = upstream.start(processes)
        subjects = [
            _flask_and_requests(processes, server, settings),
            _bare_requests(processes, server, settings),
            _attested(processes, server, settings),
        ]
        view, bare, ours = interleave(processes, subjects, settings)
        return Report(
            letter="b",
            title=TITLE,
            notes=_notes(settings, server),
            series=(view, bare, ours),
            ratios=(
                Ratio("the attested fetch / Flask + requests", ours.ratio_to(view)),
                Ratio("the attested fetch / bare requests", ours.ratio_to(bare)),
            ),
        )
