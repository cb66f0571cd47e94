"""`python -m bench [LETTER...] [--seconds N]`: measure, print the tables, write bench/results/.

Without letters, as `make bench` runs it, everything but (j) is measured and goes into latest.json, its plots beside
it. (j) boots images and needs more than a laptop has. Chosen letters, such as c and d, go into latest-c-d.json.
"""

import argparse
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench import (
    booting,
    footprint,
    keep_alive,
    machine,
    parent_alone,
    percentiles,
    plots,
    report,
    sealed_path,
    service_times,
    sizes,
    verification,
    whole_path,
)
from bench.processes import as_program
from bench.report import Report
from bench.rounds import Settings

RESULTS = Path(__file__).parent / "results"

MEASUREMENTS: Mapping[str, Callable[[Settings], Report]] = {
    "a": parent_alone.measure,
    "b": whole_path.measure,
    "c": keep_alive.measure,
    "d": service_times.measure,
    "e": sealed_path.measure,
    "f": sizes.measure,
    "g": verification.measure,
    "h": footprint.measure,
    "i": percentiles.measure,
}
ON_REQUEST: Mapping[str, Callable[[Settings], Report]] = {"j": booting.measure}
ALL = {**MEASUREMENTS, **ON_REQUEST}


def main(arguments: list[str]) -> int:
    """Run the chosen measurements. Returns 0, or 1 when an answer was bad, whatever the figures."""
    options = _options(arguments)
    settings = replace(Settings(), seconds=options.seconds)
    facts = machine.facts()
    print(machine.as_text(facts), flush=True)
    reports = []
    for letter in options.letters or MEASUREMENTS:
        reports.append(ALL[letter](settings))
        print(report.as_text(reports[-1]), flush=True)
    results = _write("-".join(["latest", *options.letters]), facts, reports)
    for path in (results, *plots.write(results)):
        print(path.relative_to(RESULTS.parent.parent))
    errors = sum(one.errors for one in reports)
    if errors:
        print(f"{errors} answers were bad or missing: these figures are worth nothing.")
    return 1 if errors else 0


def _write(name: str, facts: dict[str, Any], reports: list[Report]) -> Path:
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    results = {one.letter: report.as_json(one) for one in reports}
    path.write_text(json.dumps({"machine": facts, "measurements": results}, indent=2) + "\n", encoding="utf-8")
    return path


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Ratios against named peers, in one run.")
    parser.add_argument(
        "letters", nargs="*", metavar="LETTER", help=f"of {', '.join(ALL)}; default {', '.join(MEASUREMENTS)}"
    )
    parser.add_argument("--seconds", type=float, default=Settings().seconds, help="per subject and round")
    options = parser.parse_args(arguments)
    unknown = [letter for letter in options.letters if letter not in ALL]
    if unknown or options.seconds <= 0:
        parser.error(f"no measurement {unknown[0]!r}" if unknown else "--seconds must be above 0")
    return options


if __name__ == "__main__":
    as_program(main, "the benchmark")
