"""What came of a run: for people, and as JSON."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from devstack.endurance.memory import JUDGED_SECONDS, Life
from devstack.endurance.run import Figures


def lines(figures: Figures) -> Iterator[str]:
    """Yield the report, line by line."""
    ledger = figures.ledger
    calls = sum(ledger.ends.values())
    yield f"{figures.options.seconds:.0f} s, {figures.options.clients} clients, seed {figures.options.seed}"
    yield f"{calls} calls ({calls / figures.options.seconds:.1f}/s); the parent counted {figures.counted:.0f} requests"
    yield ""
    outcomes: Counter[str] = Counter()
    for (_, outcome), number in ledger.ends.items():
        outcomes[outcome] += number
    yield from (f"{number:8d}  {outcome}" for outcome, number in outcomes.most_common())
    yield ""
    for kind in sorted(ledger.slowest):
        good = sum(n for (each, end), n in ledger.ends.items() if each == kind and end.startswith(("verified", "ref")))
        every = sum(n for (each, _), n in ledger.ends.items() if each == kind)
        yield f"{good:8d} of {every:6d}  {kind:24s} slowest {ledger.slowest[kind]:6.2f} s"
    yield ""
    yield from (f"{number:8d} x {name}" for name, number in sorted(figures.done.items()))
    yield ""
    yield "process                    lived s   RSS MiB at first, last   PSS  KiB/10 min, at last  descriptors threads"
    for life in sorted(figures.watch.lives.values(), key=lambda life: (-life.seconds, life.name)):
        if life.seconds >= figures.options.seconds / 4:
            yield _life(life)
    yield ""
    yield from (
        f"{each.at:8.2f} to {each.until:8.2f} s  {each.kind}  {each.outcome}  {each.text}" for each in ledger.details
    )
    problems = figures.problems()
    yield from (f"BROKEN: {problem}" for problem in problems)
    yield "Every rule was kept." if not problems else f"{len(problems)} rules were broken."


def as_json(figures: Figures) -> str:
    """Return all figures."""
    ledger = figures.ledger
    value: dict[str, Any] = {
        "seconds": figures.options.seconds,
        "clients": figures.options.clients,
        "seed": figures.options.seed,
        "ends": [[kind, outcome, number] for (kind, outcome), number in sorted(ledger.ends.items())],
        "excused": dict(ledger.excused),
        "broken": dict(ledger.broken),
        "details": [asdict(each) for each in ledger.details],
        "events": ledger.events,
        "slowestSeconds": ledger.slowest,
        "requestsCounted": figures.counted,
        "problems": figures.problems(),
        "processes": [
            {
                "name": life.name,
                "seconds": life.seconds,
                "growthKibInTenMinutes": life.growth,
                "growthAtLast": life.growth_at_last,
                "judged": life.seconds >= JUDGED_SECONDS,
                "samples": [asdict(each) for each in life.samples],
            }
            for life in figures.watch.lives.values()
        ],
    }
    return json.dumps(value, indent=1)


def _life(life: Life) -> str:
    first, last = life.samples[0], life.samples[-1]
    judged = " " if life.seconds >= JUDGED_SECONDS else "~"
    memory = f"{first.rss / 1024:7.1f} .. {last.rss / 1024:6.1f}  {last.pss / 1024:6.1f}"
    growth = f"{judged}{life.growth:8.0f} {life.growth_at_last:7.0f}"
    counts = f"{first.descriptors:4d}..{last.descriptors:<4d}  {first.threads}..{last.threads}"
    return f"{life.name:26s} {life.seconds:7.0f}  {memory}  {growth}    {counts}"
